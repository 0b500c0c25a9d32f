/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "decoder.h"

#include "../thumbnailer/font-paths.h"
#include "worker/work.h"

#include <errno.h>
#include <fcntl.h>

#define JOB_TIMEOUT 10000                         /* milliseconds */
#define CPU_TIME    10                            /* seconds */
#define MEMORY      (G_GINT64_CONSTANT (1) << 30) /* bytes, of each worker */

/* A module may be in the folder of the program, if both were built there. */
static void
add_own_folder_to_module_path (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program != NULL ? g_path_get_dirname (program) : NULL;
  const char *module_path[] = { folder, NULL };

  afork_runtime_set_module_path (afork_runtime_get_native (), module_path);
}

/* Decoders are loaded once, here. Then the template is confined: its forks, which are the workers,
 * can read nothing but fonts, make no connection, and start or signal no process. The window comes
 * first when processors are busy. */
static AForkProcess *
new_template (const char *module)
{
  const char *arguments[] = { "quiet", NULL };
  g_autoptr(AForkSandbox) sandbox = afork_sandbox_new_for_decoding ();
  g_auto(GStrv) fonts = font_paths_new ();
  AForkProcess *template = afork_process_new ();

  afork_sandbox_set_read_paths (sandbox, (const char * const *) fonts);
  afork_sandbox_set_memory (sandbox, MEMORY);
  afork_sandbox_set_cpu_time (sandbox, CPU_TIME);
  afork_sandbox_set_nice (sandbox, 10);
  afork_process_set_title (template, "pictures");
  afork_process_require (template, module);
  afork_process_call (template, "prepare", arguments);
  afork_process_restrict (template, sandbox);
  return template;
}

/* A picture takes a worker long, so each worker has one at a time, and all of them start at once.
 * What comes from a worker may be forged by a picture that has taken it over. */
AForkPool *
decoder_new_pool (const char *module)
{
  g_autoptr(AForkProcess) template = NULL;

  add_own_folder_to_module_path ();
  template = new_template (module);
  return g_object_new (AFORK_TYPE_POOL,
                       "process", template,
                       "function", "work",
                       "load", 1,
                       "start-delay", 0,
                       "min-idle", 1,
                       "timeout", JOB_TIMEOUT,
                       "forward-stderr", FALSE,
                       "trusted", FALSE,
                       NULL);
}

static GUnixFDList *
open_file (GFile   *file,
           GError **error)
{
  int fd = open (g_file_peek_path (file), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

  if (fd >= 0)
    return g_unix_fd_list_new_from_array (&fd, 1);

  g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  return NULL;
}

/* If its worker exits, another one gets the job. If that exits, too, the picture is to blame. */
AForkJob *
decoder_new_job (GFile   *file,
                 int      size,
                 GError **error)
{
  g_autoptr(GUnixFDList) fds = open_file (file, error);
  g_autofree char *basename = g_file_get_basename (file);
  g_autofree char *name = g_utf8_make_valid (basename, -1);
  AForkJob *job;

  if (fds == NULL)
    return NULL;

  job = afork_job_new (g_variant_new (DECODE_ARGS, 0, name, size));
  afork_job_set_fds (job, fds);
  afork_job_set_retries (job, 1);
  return job;
}

/* Whether there are as many pixels as the worker says. */
static gboolean
is_sound (GBytes  *pixels,
          int      width,
          int      height,
          guint64  stride)
{
  const gsize size = g_bytes_get_size (pixels);

  return width > 0 && height > 0 && width <= G_MAXINT16 && height <= G_MAXINT16
    && stride >= 4 * (guint64) width && stride <= size / (guint64) height;
}

static GdkTexture *
new_texture (AForkJob  *job,
             GVariant  *value,
             GError   **error)
{
  int width = 0, height = 0;
  guint64 stride = 0;
  GBytes **blobs;
  gsize n_blobs;

  blobs = afork_job_get_result_blobs (job, &n_blobs);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE (DECODE_RESULT)))
    g_variant_get (value, DECODE_RESULT, &width, &height, &stride, NULL, NULL);
  if (n_blobs == 1 && is_sound (blobs[0], width, height, stride))
    return gdk_memory_texture_new (width, height, GDK_MEMORY_DEFAULT, blobs[0], stride);

  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                       "The worker has returned something else than a picture");
  return NULL;
}

static void
ran_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  GError *error = NULL;
  g_autoptr(GVariant) value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);
  GdkTexture *texture = NULL;

  if (value != NULL)
    texture = new_texture (g_task_get_source_object (task), value, &error);
  if (texture != NULL)
    g_task_return_pointer (task, texture, g_object_unref);
  else
    g_task_return_error (task, error);
}

void
decoder_run_async (AForkPool           *pool,
                   AForkJob            *job,
                   GAsyncReadyCallback  callback,
                   gpointer             user_data)
{
  GTask *task = g_task_new (job, NULL, callback, user_data);

  g_task_set_source_tag (task, decoder_run_async);
  afork_pool_run_job_async (pool, job, NULL, ran_cb, task);
}

GdkTexture *
decoder_run_finish (AForkJob      *job,
                    GAsyncResult  *result,
                    GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, job), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
