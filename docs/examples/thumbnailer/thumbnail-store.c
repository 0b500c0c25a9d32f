/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-store.h"

#include "auto-fd.h"
#include "png-text.h"
#include "thumbnail-keys.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>

#define FOLDER_MODE 0700
#define FILE_MODE   0600

struct _ThumbnailStore
{
  char *root;           /* with no link in it */
  char *thumbnails;     /* folders */
  char *failures;
};

/* Sizes */

static const guint size_pixels[] = { 128, 256, 512, 1024 };

const char * const thumbnail_size_names[] = { "normal", "large", "x-large", "xx-large", NULL };

guint
thumbnail_size_get_pixels (const char *size_name)
{
  for (gsize i = 0; thumbnail_size_names[i] != NULL; i++)
    if (g_str_equal (thumbnail_size_names[i], size_name))
      return size_pixels[i];

  return 0;
}

/* Folders */

static void
set_folder_error (GError     **error,
                  const char  *path)
{
  int saved_errno = errno;
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
               "Folder %s could not be made: %s", name, g_strerror (saved_errno));
}

static gboolean
make_folder (const char  *path,
             GError     **error)
{
  if (g_mkdir_with_parents (path, FOLDER_MODE) == 0)
    return TRUE;

  set_folder_error (error, path);
  return FALSE;
}

ThumbnailStore *
thumbnail_store_new (const char  *root,
                     const char  *size_name,
                     GError     **error)
{
  g_autoptr(ThumbnailStore) self = g_new0 (ThumbnailStore, 1);
  g_autofree char *folder =
    root != NULL ? g_canonicalize_filename (root, NULL)
                 : g_build_filename (g_get_user_cache_dir (), "thumbnails", NULL);

  self->thumbnails = g_build_filename (folder, size_name, NULL);
  self->failures = g_build_filename (folder, "fail", THUMBNAILER_ID, NULL);
  if (!make_folder (self->thumbnails, error) || !make_folder (self->failures, error))
    return NULL;

  self->root = realpath (folder, NULL);
  if (self->root == NULL)
    {
      set_folder_error (error, folder);
      return NULL;
    }

  return g_steal_pointer (&self);
}

void
thumbnail_store_free (ThumbnailStore *self)
{
  free (self->root);
  g_free (self->thumbnails);
  g_free (self->failures);
  g_free (self);
}

gboolean
thumbnail_store_contains (const ThumbnailStore *self,
                          const char           *filename)
{
  char *path = realpath (filename, NULL);
  gsize length = strlen (self->root);
  gboolean contains = path != NULL
                      && strncmp (path, self->root, length) == 0
                      && (path[length] == '\0' || path[length] == '/');

  free (path);
  return contains;
}

/* Files */

static char *
build_path (const char    *folder,
            const Picture *picture)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_MD5, picture->uri, -1);
  g_autofree char *basename = g_strconcat (digest, ".png", NULL);

  return g_build_filename (folder, basename, NULL);
}

/* The texts of a file, if it is about the picture as that is now. */
static GHashTable *
read_texts (int            fd,
            const Picture *picture)
{
  g_autoptr(GHashTable) texts = png_text_read (fd);

  return texts != NULL && thumbnail_keys_match (texts, picture) ? g_steal_pointer (&texts) : NULL;
}

static GHashTable *
find_texts (const char    *path,
            const Picture *picture)
{
  g_auto(AutoFd) fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

  return fd >= 0 ? read_texts (fd, picture) : NULL;
}

char *
thumbnail_store_find (const ThumbnailStore *self,
                      const Picture        *picture)
{
  g_autofree char *path = build_path (self->thumbnails, picture);
  g_autoptr(GHashTable) texts = find_texts (path, picture);

  return texts != NULL ? g_steal_pointer (&path) : NULL;
}

char *
thumbnail_store_find_failure (const ThumbnailStore *self,
                              const Picture        *picture)
{
  g_autofree char *path = build_path (self->failures, picture);
  g_autoptr(GHashTable) texts = find_texts (path, picture);

  return texts != NULL ? thumbnail_keys_dup_cause (texts) : NULL;
}

OutputFile *
thumbnail_store_create (const ThumbnailStore  *self,
                        const Picture         *picture,
                        GError               **error)
{
  g_autofree char *path = build_path (self->thumbnails, picture);

  return output_file_new (path, FILE_MODE, error);
}

OutputFile *
thumbnail_store_create_failure (const ThumbnailStore  *self,
                                const Picture         *picture,
                                GError               **error)
{
  g_autofree char *path = build_path (self->failures, picture);

  return output_file_new (path, FILE_MODE, error);
}

static void
forget_failure (const ThumbnailStore *self,
                const Picture        *picture,
                const OutputFile     *newest)
{
  g_autofree char *path = build_path (self->failures, picture);

  if (!g_str_equal (path, newest->path))
    g_unlink (path);
}

gboolean
thumbnail_store_commit (const ThumbnailStore  *self,
                        const Picture         *picture,
                        OutputFile            *output,
                        GError               **error)
{
  g_autoptr(GHashTable) texts = read_texts (output->fd, picture);

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
