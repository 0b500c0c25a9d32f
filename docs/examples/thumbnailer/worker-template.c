/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker-template.h"

#include <fcntl.h>
#include <unistd.h>

/* A module may be in the directory of the program, if both were built there. */
static void
add_own_folder_to_module_path (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program != NULL ? g_path_get_dirname (program) : NULL;
  const char *module_path[] = { folder, NULL };

  afork_runtime_set_module_path (afork_runtime_get_native (), module_path);
}

WorkerTemplate *
worker_template_new (const char *module,
                     gboolean    verbose)
{
  WorkerTemplate *self = g_new0 (WorkerTemplate, 1);

  self->module = g_strdup (module);
  self->messages = verbose ? -1 : open ("/dev/null", O_WRONLY | O_CLOEXEC);
  add_own_folder_to_module_path ();

  return self;
}

void
worker_template_free (WorkerTemplate *self)
{
  if (self->process != NULL)
    {
      afork_process_force_exit (self->process);
      afork_process_wait (self->process, NULL, NULL);
      g_object_unref (self->process);
    }

  if (self->messages >= 0)
    close (self->messages);
  g_free (self->module);
  g_free (self);
}

/* There is only this template, so a default template to fork it from is not needed. */
static AForkProcess *
prepare (WorkerTemplate *self)
{
  AForkProcess *process = afork_process_new_exec (NULL);

  afork_process_set_title (process, "thumbnailer");
  if (self->messages >= 0)
    afork_process_map_fd (process, self->messages, STDERR_FILENO);
  afork_process_require (process, self->module);
  afork_process_call (process, "prepare", NULL);

  return process;
}

/* A template may exit as any process may, and is then replaced. */
AForkProcess *
worker_template_fork (WorkerTemplate *self)
{
  if (self->process != NULL
      && afork_process_get_state (self->process) == AFORK_PROCESS_STATE_EXITED)
    g_clear_object (&self->process);

  if (self->process == NULL)
    self->process = prepare (self);

  return afork_process_fork (self->process);
}

/* If several workers have failed because of it, the first one replaces it. */
void
worker_template_replace (WorkerTemplate *self,
                         AForkProcess   *process)
{
  afork_process_force_exit (process);
  if (self->process == process)
    g_clear_object (&self->process);
}
