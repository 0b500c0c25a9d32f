/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "contact-sheet.h"

#include "auto-fd.h"
#include "descriptors.h"
#include "picture.h"
#include "png-text.h"
#include "text.h"
#include "thumbnail-keys.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>

#define TIMEOUT   120      /* seconds */
#define FILE_MODE 0666

typedef struct
{
  ContactSheet  sheet;
  OutputFile   *output;
  GUnixFDList  *files;        /* has its descriptor */
} Making;

static void
making_free (Making *self)
{
  g_clear_object (&self->files);
  g_free (self);
}

/* The file of a sheet */

static gboolean
is_sheet (int fd)
{
  g_autoptr(GHashTable) texts = png_text_read (fd);

  return texts != NULL && thumbnail_keys_are_of_sheet (texts);
}

gboolean
contact_sheet_may_replace (const char  *path,
                           GError     **error)
{
  struct stat info;
  g_auto(AutoFd) fd = -1;

  if (lstat (path, &info) < 0 && errno == ENOENT)
    return TRUE;

  if (stat (path, &info) < 0)
    output_file_set_errno (error, path, errno);
  else if (!S_ISREG (info.st_mode))
    {
      g_autofree char *cause = g_strdup_printf ("It is %s, not a file",
                                                picture_describe_kind (info.st_mode));

      output_file_set_error (error, path, G_IO_ERROR_NOT_REGULAR_FILE, cause);
    }
  else if ((fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) < 0)
    output_file_set_errno (error, path, errno);
  else if (!is_sheet (fd))
    output_file_set_error (error, path, G_IO_ERROR_EXISTS,
                           "It exists, and is no contact sheet of this program");
  else
    return TRUE;

  return FALSE;
}

/* Returns the path of the file that a symbolic link leads to, or else PATH itself. */
static char *
follow_link (const char *path)
{
  char *target = NULL;
  char *result;

  if (g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    target = realpath (path, NULL);
  result = g_strdup (target != NULL ? target : path);
  free (target);
  return result;
}

OutputFile *
contact_sheet_open (const char  *path,
                    GError     **error)
{
  g_autofree char *target = follow_link (path);

  if (!contact_sheet_may_replace (path, error))
    return NULL;

  output_file_sweep_for (target);
  return output_file_new (target, FILE_MODE, error);
}

gboolean
contact_sheet_remove (const char *path)
{
  g_autofree char *target = follow_link (path);

  return contact_sheet_may_replace (path, NULL) && g_unlink (target) == 0;
}

/* Drawing */

/* Returns those of PICTURES that have a thumbnail. */
static GPtrArray *
collect_pictures (GPtrArray *pictures)
{
  GPtrArray *shown = g_ptr_array_new ();

  for (guint i = 0; i < pictures->len; i++)
    {
      Picture *picture = pictures->pdata[i];

      if (picture->thumbnail != NULL)
        g_ptr_array_add (shown, picture);
    }

  return shown;
}

guint
contact_sheet_count (guint n_thumbnails,
                     guint n_shown)
{
  return (n_thumbnails + n_shown - 1) / n_shown;
}

static void
close_fd (gpointer fd)
{
  close (*(int *) fd);
}

/* Returns the output, followed by the thumbnails of sheet NUMBER, and adds the names of their
 * pictures to NAMES. All sheets have about as many. */
static GUnixFDList *
open_files (OutputFile       *output,
            GPtrArray        *shown,
            guint             n_shown,
            guint             number,
            GVariantBuilder  *names,
            GError          **error)
{
  g_autoptr(GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  const guint n_sheets = contact_sheet_count (shown->len, n_shown);
  const guint first = (guint) ((guint64) shown->len * number / n_sheets);
  const guint end = (guint) ((guint64) shown->len * (number + 1) / n_sheets);
  int fd = output_file_give_fd (output);

  g_array_set_clear_func (fds, close_fd);
  g_array_append_val (fds, fd);
  for (guint i = first; i < end; i++)
    {
      const Picture *picture = shown->pdata[i];
      g_autofree char *filename = g_path_get_basename (picture->path);

      fd = open (picture->thumbnail, O_RDONLY | O_CLOEXEC);
      if (fd < 0 && descriptors_are_used_up (errno))
        {
          output_file_set_errno (error, output->path, errno);
          return NULL;
        }
      if (fd < 0)
        continue;

      g_array_append_val (fds, fd);
      g_variant_builder_add_value (names,
                                   g_variant_new_take_string (text_from_filename (filename)));
    }

  g_array_set_clear_func (fds, NULL);
  return g_unix_fd_list_new_from_array ((const int *) fds->data, (int) fds->len);
}

static void
drawn_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Making *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!worker_pool_run_finish (result, &self->sheet.width, &self->sheet.height, &error))
    {
      g_autofree char *name = g_filename_display_name (self->output->path);

      g_prefix_error (&error, "Contact sheet %s: ", name);
      g_task_return_error (task, error);
    }
  else if (!contact_sheet_may_replace (self->output->path, &error)
           || !output_file_commit (self->output, &error))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

void
contact_sheet_make_async (WorkerPool          *workers,
                          GPtrArray           *pictures,
                          guint                n_shown,
                          guint                number,
                          guint                pixels,
                          OutputFile          *output,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr(GPtrArray) shown = collect_pictures (pictures);
  g_auto(GVariantBuilder) names = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);
  Making *self = g_new0 (Making, 1);
  GError *error = NULL;

  g_task_set_source_tag (task, contact_sheet_make_async);
  g_task_set_task_data (task, self, (GDestroyNotify) making_free);
  self->output = output;

  self->files = open_files (output, shown, n_shown, number, &names, &error);
  if (self->files == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  self->sheet.n_pictures = (guint) g_unix_fd_list_get_length (self->files) - 1;
  worker_pool_run_async (workers, "contact-sheet",
                         g_variant_new ("(huas@a{ss})", 0, pixels * 5 / 8, &names,
                                        thumbnail_keys_new_for_sheet ()),
                         self->files, 0, TIMEOUT, cancellable, drawn_cb, g_steal_pointer (&task));
}

gboolean
contact_sheet_make_finish (GAsyncResult  *result,
                           ContactSheet  *sheet,
                           GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), FALSE);

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;

  *sheet = ((Making *) g_task_get_task_data (G_TASK (result)))->sheet;
  return TRUE;
}
