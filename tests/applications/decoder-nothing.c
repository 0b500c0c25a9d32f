/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The decoder of `pictures` without any work: each picture is the same texture, which is there at
 * once. What is drawn takes as long as with decoded pictures. */

#include "decoder.h"

#define SIZE 256        /* pixels */

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
  return afork_job_new (NULL);
}

static GdkTexture *
get_texture (void)
{
  static GdkTexture *texture;

  if (texture == NULL)
    {
      guchar *pixels = g_malloc (SIZE * SIZE * 4);
      g_autoptr(GBytes) bytes = g_bytes_new_take (pixels, SIZE * SIZE * 4);

      for (guint i = 0; i < SIZE * SIZE * 4; i++)
        pixels[i] = i % 4 == 3 ? 255 : (guchar) (i * 7 / SIZE);
      texture = gdk_memory_texture_new (SIZE, SIZE, GDK_MEMORY_DEFAULT, bytes, SIZE * 4);
    }
  return texture;
}

void
decoder_run_async (AForkPool           *pool,
                   AForkJob            *job,
                   GAsyncReadyCallback  callback,
                   gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (job, NULL, callback, user_data);

  g_task_return_pointer (task, g_object_ref (get_texture ()), g_object_unref);
}

GdkTexture *
decoder_run_finish (AForkJob      *job,
                    GAsyncResult  *result,
                    GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
