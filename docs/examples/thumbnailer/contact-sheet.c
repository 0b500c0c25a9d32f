/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "contact-sheet.h"

#include "auto-fd.h"
#include "picture.h"

#include <fcntl.h>

#define MAX_PICTURES 400      /* a process has at most 1024 descriptors, unless it asks for more */
#define TIMEOUT      120      /* seconds */

typedef struct
{
  ContactSheet  sheet;
  OutputFile   *output;
} Making;

static GPtrArray *
collect_thumbnails (GPtrArray *pictures)
{
  GPtrArray *paths = g_ptr_array_new ();

  for (guint i = 0; i < pictures->len; i++)
    {
      Picture *picture = pictures->pdata[i];

      if (picture->thumbnail != NULL)
        g_ptr_array_add (paths, picture->thumbnail);
    }

  return paths;
}

guint
contact_sheet_count (GPtrArray *pictures)
{
  g_autoptr(GPtrArray) paths = collect_thumbnails (pictures);

  return (paths->len + MAX_PICTURES - 1) / MAX_PICTURES;
}

/* The output, followed by the thumbnails of sheet NUMBER. All sheets have about as many. */
static GUnixFDList *
open_files (OutputFile  *output,
            GPtrArray   *paths,
            guint        number,
            GError     **error)
{
  g_autoptr(GUnixFDList) files = g_unix_fd_list_new ();
  const guint n_sheets = (paths->len + MAX_PICTURES - 1) / MAX_PICTURES;
  const guint first = (guint) ((guint64) paths->len * number / n_sheets);
  const guint end = (guint) ((guint64) paths->len * (number + 1) / n_sheets);

  if (g_unix_fd_list_append (files, output->fd, error) < 0)
    return NULL;

  for (guint i = first; i < end; i++)
    {
      g_auto(AutoFd) fd = open (paths->pdata[i], O_RDONLY | O_CLOEXEC);

      if (fd >= 0 && g_unix_fd_list_append (files, fd, error) < 0)
        return NULL;
    }

  return g_steal_pointer (&files);
}

static void
drawn_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Making *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!worker_pool_run_finish (result, &self->sheet.width, &self->sheet.height, &error)
      || !output_file_commit (self->output, &error))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

void
contact_sheet_make_async (WorkerPool          *workers,
                          GPtrArray           *pictures,
                          guint                number,
                          guint                pixels,
                          OutputFile          *output,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr(GPtrArray) paths = collect_thumbnails (pictures);
  g_autoptr(GUnixFDList) files = NULL;
  Making *self = g_new0 (Making, 1);
  GError *error = NULL;

  g_task_set_source_tag (task, contact_sheet_make_async);
  g_task_set_task_data (task, self, g_free);
  self->output = output;

  files = open_files (output, paths, number, &error);
  if (files == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  self->sheet.n_pictures = (guint) g_unix_fd_list_get_length (files) - 1;
  worker_pool_run_async (workers, "contact-sheet", g_variant_new ("(hu)", 0, pixels * 5 / 8), files,
                         0, TIMEOUT, cancellable, drawn_cb, g_steal_pointer (&task));
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
