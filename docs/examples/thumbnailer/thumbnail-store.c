/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-store.h"

#include "auto-fd.h"
#include "descriptors.h"
#include "png-text.h"
#include "thumbnail-keys.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER_MODE 0700
#define FILE_MODE   0600

#define SUFFIX      ".png"

/* A file of another run that was not changed for so long is left by a process that was killed. */
#define LEFT_TIME   (60 * 60)      /* seconds */

struct _ThumbnailStore
{
  char *root;                           /* with no link in it */
  char *thumbnails[N_THUMBNAIL_SIZES];  /* folders, or NULL if the size is not wanted */
  char *failures;                       /* a folder */
};

G_DEFINE_QUARK (thumbnail-store-error-quark, thumbnail_store_error)

/* Sizes */

static const struct
{
  const char *name;
  guint       pixels;
} sizes[] = {
  [THUMBNAIL_SIZE_NORMAL] = { "normal", 128 },
  [THUMBNAIL_SIZE_LARGE] = { "large", 256 },
  [THUMBNAIL_SIZE_X_LARGE] = { "x-large", 512 },
  [THUMBNAIL_SIZE_XX_LARGE] = { "xx-large", 1024 },
};

gboolean
thumbnail_size_parse (const char    *name,
                      ThumbnailSize *size)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (g_str_equal (sizes[i].name, name))
      {
        *size = i;
        return TRUE;
      }

  return FALSE;
}

guint
thumbnail_size_get_pixels (ThumbnailSize size)
{
  return sizes[size].pixels;
}

const char *
thumbnail_size_get_name (ThumbnailSize size)
{
  return sizes[size].name;
}

/* Folders */

static void
set_store_error (GError     **error,
                 const char  *path,
                 int          saved_errno)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, THUMBNAIL_STORE_ERROR, 0, "Folder %s cannot be used: %s", name,
               g_strerror (saved_errno));
}

static gboolean
make_folder (const char  *path,
             GError     **error)
{
  if (g_mkdir_with_parents (path, FOLDER_MODE) == 0)
    return TRUE;

  set_store_error (error, path, errno);
  return FALSE;
}

static gboolean
make_folders (const ThumbnailStore  *self,
              GError               **error)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->thumbnails[i] != NULL && !make_folder (self->thumbnails[i], error))
      return FALSE;

  return make_folder (self->failures, error);
}

static void
sweep (const ThumbnailStore *self)
{
  gint64 before = g_get_real_time () / G_USEC_PER_SEC - LEFT_TIME;

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->thumbnails[i] != NULL)
      output_file_sweep (self->thumbnails[i], SUFFIX, before);
  output_file_sweep (self->failures, SUFFIX, before);
}

ThumbnailStore *
thumbnail_store_new (const char  *root,
                     guint        wanted,
                     GError     **error)
{
  g_autoptr(ThumbnailStore) self = g_new0 (ThumbnailStore, 1);
  g_autofree char *folder =
    root != NULL ? g_strdup (root) : g_build_filename (g_get_user_cache_dir (), "thumbnails", NULL);

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if ((wanted & 1u << i) != 0)
      self->thumbnails[i] = g_build_filename (folder, sizes[i].name, NULL);
  self->failures = g_build_filename (folder, "fail", THUMBNAILER_ID, NULL);
  if (!make_folders (self, error))
    return NULL;

  self->root = realpath (folder, NULL);
  if (self->root == NULL)
    {
      set_store_error (error, folder, errno);
      return NULL;
    }

  sweep (self);
  return g_steal_pointer (&self);
}

void
thumbnail_store_free (ThumbnailStore *self)
{
  free (self->root);
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    g_free (self->thumbnails[i]);
  g_free (self->failures);
  g_free (self);
}

gboolean
thumbnail_store_wants (const ThumbnailStore *self,
                       ThumbnailSize         size)
{
  return self->thumbnails[size] != NULL;
}

/* Whether PATH is that of FOLDER, or of a file below it. Both are absolute, with no link. */
static gboolean
is_within (const char *path,
           const char *folder)
{
  gsize length = strlen (folder);

  while (length > 0 && folder[length - 1] == '/')
    length--;
  return strncmp (path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Other files in the directory are not of the store: it may be that of the pictures. */
gboolean
thumbnail_store_contains (const ThumbnailStore *self,
                          const char           *filename)
{
  g_autofree char *failures = g_build_filename (self->root, "fail", NULL);
  char *path = realpath (filename, NULL);
  gboolean contains = path != NULL && is_within (path, failures);

  for (ThumbnailSize i = 0; path != NULL && i < N_THUMBNAIL_SIZES; i++)
    {
      g_autofree char *folder = g_build_filename (self->root, sizes[i].name, NULL);

      contains = contains || is_within (path, folder);
    }

  free (path);
  return contains;
}

/* Files */

static char *
build_path (const char *folder,
            const char *uri)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_MD5, uri, -1);
  g_autofree char *basename = g_strconcat (digest, SUFFIX, NULL);

  return g_build_filename (folder, basename, NULL);
}

/* The texts of a file, if it is about URI and about the picture as that is now. */
static GHashTable *
read_texts (int            fd,
            const char    *uri,
            const Picture *picture)
{
  g_autoptr(GHashTable) texts = png_text_read (fd);

  return texts != NULL && thumbnail_keys_match (texts, uri, picture) ? g_steal_pointer (&texts)
                                                                     : NULL;
}

static int
open_to_read (const char *path)
{
  return open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

/* Returns the path of the file about URI in FOLDER, if it is about the picture as that is now. */
static char *
find_file (const char     *folder,
           const char     *uri,
           const Picture  *picture,
           GHashTable    **texts)
{
  g_autofree char *path = build_path (folder, uri);
  g_auto(AutoFd) fd = open_to_read (path);

  *texts = fd >= 0 ? read_texts (fd, uri, picture) : NULL;
  return *texts != NULL ? g_steal_pointer (&path) : NULL;
}

/* Beside the picture. URIs are relative there, and programs do not agree on their form. */
static char *
find_shared (ThumbnailSize  size,
             const Picture *picture)
{
  g_autofree char *folder = g_path_get_dirname (picture->path);
  g_autofree char *shared = g_build_filename (folder, ".sh_thumbnails", sizes[size].name, NULL);
  g_autofree char *dotted = g_strconcat (".", strrchr (picture->uri, '/'), NULL);
  const char *uris[] = { dotted, dotted + strlen ("./") };

  for (gsize i = 0; i < G_N_ELEMENTS (uris); i++)
    {
      g_autoptr(GHashTable) texts = NULL;
      char *path = find_file (shared, uris[i], picture, &texts);

      if (path != NULL)
        return path;
    }

  return NULL;
}

char *
thumbnail_store_find (const ThumbnailStore *self,
                      ThumbnailSize         size,
                      const Picture        *picture)
{
  g_autoptr(GHashTable) texts = NULL;
  char *path = find_file (self->thumbnails[size], picture->uri, picture, &texts);

  return path != NULL ? path : find_shared (size, picture);
}

char *
thumbnail_store_find_failure (const ThumbnailStore *self,
                              const Picture        *picture,
                              guint                 cpu_time)
{
  g_autoptr(GHashTable) texts = NULL;
  g_autofree char *path = find_file (self->failures, picture->uri, picture, &texts);

  guint limit = path != NULL ? thumbnail_keys_get_limit (texts) : 0;

  if (path == NULL || (limit > 0 && limit < cpu_time))
    return NULL;

  return thumbnail_keys_dup_cause (texts);
}

/* A folder that was removed meanwhile is made again. */
static OutputFile *
create (const ThumbnailStore  *self,
        const char            *folder,
        const Picture         *picture,
        GError               **error)
{
  g_autofree char *path = build_path (folder, picture->uri);
  OutputFile *output = output_file_try_new (path, FILE_MODE);

  /* This is about the program, or the system, and about no file. */
  if (output == NULL && descriptors_are_used_up (errno))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES, g_strerror (errno));
      return NULL;
    }
  if (output == NULL && errno == EISDIR)
    return output_file_new (path, FILE_MODE, error);
  if (output == NULL && make_folders (self, error))
    {
      output = output_file_try_new (path, FILE_MODE);
      if (output == NULL)
        set_store_error (error, folder, errno);
    }

  return output;
}

OutputFile *
thumbnail_store_create (const ThumbnailStore  *self,
                        ThumbnailSize          size,
                        const Picture         *picture,
                        GError               **error)
{
  return create (self, self->thumbnails[size], picture, error);
}

OutputFile *
thumbnail_store_create_failure (const ThumbnailStore  *self,
                                const Picture         *picture,
                                GError               **error)
{
  return create (self, self->failures, picture, error);
}

void
thumbnail_store_prefix_error (const ThumbnailStore  *self,
                              GError               **error)
{
  g_autofree char *name = g_filename_display_name (self->root);

  g_prefix_error (error, "Folder %s cannot be used: ", name);
}

static void
forget_failure (const ThumbnailStore *self,
                const Picture        *picture,
                const OutputFile     *newest)
{
  g_autofree char *path = build_path (self->failures, picture->uri);

  if (!g_str_equal (path, newest->path))
    g_unlink (path);
}

gboolean
thumbnail_store_commit (const ThumbnailStore  *self,
                        const Picture         *picture,
                        OutputFile            *output,
                        GError               **error)
{
  g_autoptr(GHashTable) texts = read_texts (output->fd, picture->uri, picture);

  if (texts == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "The worker did not write a thumbnail");
      return FALSE;
    }

  if (!output_file_commit (output, error))
    return FALSE;

  forget_failure (self, picture, output);
  return TRUE;
}

/* Cleaning */

/* If the home is the root directory, everything would be in it. */
static gboolean
is_in_home (const char *folder)
{
  char *path = realpath (folder, NULL);
  char *home = realpath (g_get_home_dir (), NULL);
  gboolean result = path != NULL && home != NULL && !g_str_equal (home, "/")
                    && is_within (path, home);

  free (path);
  free (home);
  return result;
}

static gboolean
is_empty (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);

  return dir == NULL || g_dir_read_name (dir) == NULL;
}

/* Whether a file is gone, and not only the medium that it is on: then all that is missing was in
 * the home of the user, or the folder is there. An empty folder may be where the medium belongs. */
static gboolean
is_gone (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  GStatBuf info;

  if (g_lstat (path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR))
    return FALSE;

  if (g_file_test (folder, G_FILE_TEST_IS_DIR))
    return is_in_home (folder) || !is_empty (folder);

  while (!g_file_test (folder, G_FILE_TEST_EXISTS))
    {
      char *parent = g_path_get_dirname (folder);

      g_free (folder);
      folder = parent;
    }
  return is_in_home (folder);
}

/* Whether a file of the store is about a picture that is gone. */
static gboolean
is_obsolete (const char *path)
{
  g_auto(AutoFd) fd = open_to_read (path);
  g_autoptr(GHashTable) texts = fd >= 0 ? png_text_read (fd) : NULL;
  const char *uri = texts != NULL ? thumbnail_keys_get_uri (texts) : NULL;
  g_autofree char *picture = uri != NULL ? g_filename_from_uri (uri, NULL, NULL) : NULL;

  return picture != NULL && is_gone (picture);
}

/* Which files of the store are cleaned away. */
typedef struct
{
  const char * const *base_uris;        /* or NULL, for pictures that are gone */
  gint64              since;
} Cleaning;

/* Whether a file of the store is about one of the pictures. */
static gboolean
is_below (const char     *path,
          const Cleaning *cleaning)
{
  g_auto(AutoFd) fd = open_to_read (path);
  g_autoptr(GHashTable) texts = fd >= 0 ? png_text_read (fd) : NULL;
  const char *uri = texts != NULL ? thumbnail_keys_get_uri (texts) : NULL;

  if (uri == NULL || thumbnail_keys_get_mtime (texts) >= cleaning->since)
    return FALSE;

  for (gsize i = 0; cleaning->base_uris[i] != NULL; i++)
    if (g_str_has_prefix (uri, cleaning->base_uris[i]))
      return TRUE;
  return FALSE;
}

static guint
clean_folder (const char     *folder,
              const Cleaning *cleaning)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n_removed = 0;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_str_has_suffix (name, SUFFIX)
          && (cleaning->base_uris != NULL ? is_below (path, cleaning) : is_obsolete (path))
          && g_unlink (path) == 0)
        n_removed++;
    }

  return n_removed;
}

static guint
clean (const ThumbnailStore *self,
       const Cleaning       *cleaning)
{
  guint n_removed = clean_folder (self->failures, cleaning);

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    {
      g_autofree char *folder = g_build_filename (self->root, sizes[i].name, NULL);

      n_removed += clean_folder (folder, cleaning);
    }

  return n_removed;
}

guint
thumbnail_store_clean (const ThumbnailStore *self)
{
  const Cleaning cleaning = { 0 };

  return clean (self, &cleaning);
}

guint
thumbnail_store_clean_below (const ThumbnailStore *self,
                             const char * const   *base_uris,
                             gint64                since)
{
  const Cleaning cleaning = { base_uris, since };

  return clean (self, &cleaning);
}

/* Files by the URI of their picture */

gboolean
thumbnail_store_has (const ThumbnailStore *self,
                     ThumbnailSize         size,
                     const char           *uri)
{
  g_autofree char *path = build_path (self->thumbnails[size], uri);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
remove_file (const char *folder,
             const char *uri)
{
  g_autofree char *path = build_path (folder, uri);

  g_unlink (path);
}

void
thumbnail_store_remove (const ThumbnailStore *self,
                        const char           *uri)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->thumbnails[i] != NULL)
      remove_file (self->thumbnails[i], uri);
  remove_file (self->failures, uri);
}
