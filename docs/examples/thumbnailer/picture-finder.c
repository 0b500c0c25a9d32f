/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture-finder.h"

#include "auto-fd.h"
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdlib.h>

#define ATTRIBUTES                       \
  G_FILE_ATTRIBUTE_STANDARD_NAME ","     \
  G_FILE_ATTRIBUTE_STANDARD_TYPE ","     \
  G_FILE_ATTRIBUTE_STANDARD_IS_SYMLINK "," \
  G_FILE_ATTRIBUTE_STANDARD_CONTENT_TYPE

typedef struct
{
  GPtrArray            *pictures;
  GHashTable           *seen;       /* their paths */
  const ThumbnailStore *store;
  char                 *thumbnails; /* the folder that all programs share, with no link, or NULL */
  int                   priority;   /* of what is found now */
} PictureFinder;

static Picture *
add_picture (PictureFinder *self,
             const char    *filename)
{
  g_autoptr(Picture) picture = picture_new (filename);

  if (g_hash_table_contains (self->seen, picture->path))
    return NULL;

  picture->priority = self->priority;
  g_hash_table_add (self->seen, picture->path);
  g_ptr_array_add (self->pictures, picture);
  return g_steal_pointer (&picture);
}

static void
add_failure (PictureFinder *self,
             const char    *filename,
             GError        *error)
{
  Picture *picture = add_picture (self, filename);

  if (picture != NULL)
    picture_fail (picture, g_steal_pointer (&error));
  g_clear_error (&error);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return g_strcmp0 (g_file_info_get_name (*(GFileInfo **) a),
                    g_file_info_get_name (*(GFileInfo **) b));
}

/* A folder could not be read. Replaces the error by one without the name of the folder, because
 * pictures and folders are grouped by the cause. */
static void
drop_name (const char  *filename,
           GError     **error)
{
  g_auto(AutoFd) fd = open (filename, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int saved_errno = errno;

  if (fd >= 0)
    return;

  g_clear_error (error);
  g_set_error_literal (error, G_IO_ERROR, descriptors_error_code (saved_errno),
                       g_strerror (saved_errno));
}

/* A GFile would take `..` for the parent by its text, also behind a link. */
static GPtrArray *
list_folder (const char  *filename,
             GError     **error)
{
  char *real = realpath (filename, NULL);
  g_autoptr(GFile) folder = g_file_new_for_path (real != NULL ? real : filename);
  g_autoptr(GFileEnumerator) enumerator = NULL;
  g_autoptr(GPtrArray) infos = g_ptr_array_new_with_free_func (g_object_unref);
  GFileInfo *info;

  free (real);
  enumerator = g_file_enumerate_children (folder, ATTRIBUTES, G_FILE_QUERY_INFO_NONE, NULL, error);
  if (enumerator == NULL)
    {
      drop_name (filename, error);
      return NULL;
    }

  do
    {
      if (!g_file_enumerator_iterate (enumerator, &info, NULL, NULL, error))
        return NULL;
      if (info != NULL)
        g_ptr_array_add (infos, g_object_ref (info));
    }
  while (info != NULL);

  g_ptr_array_sort (infos, compare_names);
  return g_steal_pointer (&infos);
}

static gboolean
is_image_type (const char *type)
{
  return type != NULL && g_str_has_prefix (type, "image/");
}

/* By its name, whatever its contents are. If the name says nothing, by its first bytes. */
static gboolean
looks_like_picture (GFileInfo *info)
{
  g_autofree char *type = g_content_type_guess (g_file_info_get_name (info), NULL, 0, NULL);

  return is_image_type (type) || is_image_type (g_file_info_get_content_type (info));
}

static gboolean
is_folder (GFileInfo *info)
{
  return g_file_info_get_file_type (info) == G_FILE_TYPE_DIRECTORY;
}

/* A link to a directory is not followed, because it may lead to a parent. */
static gboolean
is_link_to_folder (GFileInfo  *info,
                   const char *filename)
{
  return g_file_info_get_is_symlink (info) && g_file_test (filename, G_FILE_TEST_IS_DIR);
}

/* Thumbnails of thumbnails are not wanted, whichever program has made these. */
static gboolean
is_folder_of_thumbnails (PictureFinder *self,
                         const char    *filename,
                         const char    *basename)
{
  char *path;
  gboolean result;

  if (g_str_equal (basename, ".sh_thumbnails"))
    return TRUE;

  path = realpath (filename, NULL);
  result = path != NULL && g_strcmp0 (path, self->thumbnails) == 0;
  free (path);
  return result;
}

static void
find_in_folder (PictureFinder *self,
                const char    *filename)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = NULL;

  if (thumbnail_store_contains (self->store, filename))
    return;

  infos = list_folder (filename, &error);
  if (infos == NULL)
    {
      add_failure (self, filename, g_steal_pointer (&error));
      return;
    }

  for (guint i = 0; i < infos->len; i++)
    {
      GFileInfo *info = infos->pdata[i];
      g_autofree char *child = g_build_filename (filename, g_file_info_get_name (info), NULL);

      if (is_link_to_folder (info, child))
        continue;
      if (is_folder (info))
        {
          if (!is_folder_of_thumbnails (self, child, g_file_info_get_name (info)))
            find_in_folder (self, child);
        }
      else if (looks_like_picture (info))
        add_picture (self, child);
    }
}

static void
find (PictureFinder *self,
      const char    *filename)
{
  if (g_file_test (filename, G_FILE_TEST_IS_DIR))
    find_in_folder (self, filename);
  else if (!thumbnail_store_contains (self->store, filename))
    add_picture (self, filename);
}

static void
find_all (PictureFinder      *self,
          const char * const *filenames,
          int                 priority)
{
  self->priority = priority;
  for (gsize i = 0; filenames != NULL && filenames[i] != NULL; i++)
    find (self, filenames[i]);
}

GPtrArray *
picture_finder_find (const char * const   *first,
                     const char * const   *filenames,
                     const ThumbnailStore *store)
{
  g_autoptr(GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree char *shared = g_build_filename (g_get_user_cache_dir (), "thumbnails", NULL);
  PictureFinder self = { .seen = seen, .store = store, .thumbnails = realpath (shared, NULL) };

  self.pictures = g_ptr_array_new_with_free_func ((GDestroyNotify) picture_free);
  find_all (&self, first, 1);
  find_all (&self, filenames, 0);
  free (self.thumbnails);

  return self.pictures;
}
