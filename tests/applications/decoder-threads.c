/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The decoder of `pictures` with threads of the program instead of workers, as many programs do it:
 * each picture is decoded by a GTask in a thread. */

#include "decoder.h"

#include <errno.h>
#include <fcntl.h>

AForkPool *
decoder_new_pool (const char *module)
{
  g_autoptr(AForkProcess) template = afork_process_new ();

  return afork_pool_new (template, "work");
}

AForkJob *
decoder_new_job (GFile   *file,
                 int      size,
                 GError **error)
{
  return afork_job_new (g_variant_new ("(^ayi)", g_file_peek_path (file), size));
}

static void
decode_in_thread (GTask        *task,
                  gpointer      object,
                  gpointer      data,
                  GCancellable *cancellable)
{
  GError *error = NULL;
  g_autoptr(GdkPixbuf) pixbuf = NULL;
  const char *path;
  int size;

  g_variant_get (afork_job_get_args (object), "(^&ayi)", &path, &size);
  pixbuf = gdk_pixbuf_new_from_file_at_scale (path, size, size, TRUE, &error);
  if (pixbuf != NULL)
    g_task_return_pointer (task, gdk_texture_new_for_pixbuf (pixbuf), g_object_unref);
  else
    g_task_return_error (task, error);
}

void
decoder_run_async (AForkPool           *pool,
                   AForkJob            *job,
                   GAsyncReadyCallback  callback,
                   gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (job, NULL, callback, user_data);

  g_task_run_in_thread (task, decode_in_thread);
}

GdkTexture *
decoder_run_finish (AForkJob      *job,
                    GAsyncResult  *result,
                    GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
