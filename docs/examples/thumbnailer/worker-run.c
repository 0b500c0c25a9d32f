/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker-run.h"

#include "text.h"

#include <signal.h>
#include <string.h>

#define END_TIMEOUT 3         /* seconds for a template to report the exit of its worker */

typedef struct
{
  WorkerTemplate *workers;
  AForkProcess   *template;    /* of the process */
  AForkProcess   *process;
  AForkRpc       *rpc;
  guint           timeout;
  guint           timer_id;
  gboolean        was_ready;   /* when the time is over */
  gboolean        timed_out;
  GVariant       *result;
  GError         *refusal;     /* why there is none */
  int             width;       /* of the picture that the worker has handled */
  int             height;
} WorkerRun;

G_DEFINE_QUARK (worker-error-quark, worker_error)

static void
worker_run_free (WorkerRun *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  g_clear_pointer (&self->result, g_variant_unref);
  g_clear_error (&self->refusal);
  g_clear_object (&self->rpc);
  g_clear_object (&self->process);
  g_clear_object (&self->template);
  g_free (self);
}

static gboolean
end_time_out_cb (gpointer user_data)
{
  WorkerRun *self = user_data;

  self->timer_id = 0;
  worker_template_replace (self->workers, self->template);

  return G_SOURCE_REMOVE;
}

/* The template reports its exit, unless that hangs, too. */
static void
kill_worker (WorkerRun *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  self->timer_id = g_timeout_add_seconds (END_TIMEOUT, end_time_out_cb, self);
  afork_process_force_exit (self->process);
}

/* If there is no worker yet, the template hangs. */
static gboolean
time_out_cb (gpointer user_data)
{
  WorkerRun *self = user_data;

  self->timed_out = TRUE;
  self->timer_id = 0;
  self->was_ready = afork_process_get_state (self->process) >= AFORK_PROCESS_STATE_RUNNING;
  if (!self->was_ready)
    worker_template_replace (self->workers, self->template);
  kill_worker (self);

  return G_SOURCE_REMOVE;
}

/* Signals of other processes, or of the kernel when memory has run out, are not caused by the
 * work. */
static void
set_killed_error (GError **error,
                  int      number)
{
  gboolean sent = number == SIGHUP || number == SIGINT || number == SIGKILL || number == SIGTERM;
  const char *abbreviation = sigabbrev_np (number);      /* real-time signals have none */
  g_autofree char *name = abbreviation != NULL ? g_strconcat ("SIG", abbreviation, NULL)
                                               : g_strdup_printf ("signal %d", number);

  g_set_error (error,
               sent ? AFORK_ERROR : WORKER_ERROR,
               sent ? (int) AFORK_ERROR_SIGNALED : (int) WORKER_ERROR_DIED,
               "The worker was killed by %s", name);
}

/* The result is not trusted, and may be of the wrong type. */
static gboolean
check_result (WorkerRun  *self,
              GError    **error)
{
  if (self->result != NULL && g_variant_is_of_type (self->result, G_VARIANT_TYPE ("(ii)")))
    {
      g_variant_get (self->result, "(ii)", &self->width, &self->height);
      return TRUE;
    }

  if (self->refusal != NULL)
    {
      g_autofree char *text = text_from_bytes (self->refusal->message,
                                               strlen (self->refusal->message));

      g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_REFUSED, text);
    }
  else
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_PROTOCOL,
                         "The worker did not say what came of it");
  return FALSE;
}

/* The worker has exited because of WHY, which is NULL if it exited properly. */
static gboolean
check_end (WorkerRun     *self,
           const GError  *why,
           GError       **error)
{
  int number;

  if (why == NULL)
    return check_result (self, error);

  if (g_error_matches (why, AFORK_ERROR, AFORK_ERROR_PROTOCOL))
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_PROTOCOL,
                         "The worker said more than it should");
  else if (afork_process_get_term_signal (self->process, &number))
    set_killed_error (error, number);
  else if (afork_process_get_exit_status (self->process, &number) && number != 0)
    g_set_error (error, WORKER_ERROR, WORKER_ERROR_DIED,
                 "The worker exited with status %d", number);
  else if (g_error_matches (why, AFORK_ERROR, AFORK_ERROR_EXITED))
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_PROTOCOL,
                         "The worker did not say what came of it");
  else
    g_propagate_error (error, g_error_copy (why));

  return FALSE;
}

static void
closed_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  WorkerRun *self = g_task_get_task_data (task);
  g_autoptr(GError) why = NULL;
  GError *error = NULL;

  afork_rpc_close_finish (self->rpc, result, &why);
  if (g_task_return_error_if_cancelled (task))
    return;

  if (self->timed_out && self->was_ready)
    g_task_return_new_error (task, WORKER_ERROR, WORKER_ERROR_TIMED_OUT,
                             "The worker took longer than %u s", self->timeout);
  else if (self->timed_out)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                             "No worker was ready within %u s", self->timeout);
  else if (!check_end (self, why, &error))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/* The worker exits now. It does so by itself, unless no operation waits for it any more. */
static void
answered_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  WorkerRun *self = g_task_get_task_data (task);

  self->result = afork_rpc_run_job_finish (self->rpc, result, &self->refusal);
  if (g_error_matches (self->refusal, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    kill_worker (self);

  afork_rpc_close_async (self->rpc, NULL, closed_cb, g_steal_pointer (&task));
}

void
worker_run_async (WorkerTemplate      *workers,
                  const char          *function,
                  AForkJob            *job,
                  guint                timeout,
                  GCancellable        *cancellable,
                  GAsyncReadyCallback  callback,
                  gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  WorkerRun *self = g_new0 (WorkerRun, 1);

  g_task_set_source_tag (task, worker_run_async);
  g_task_set_task_data (task, self, (GDestroyNotify) worker_run_free);

  self->workers = workers;
  self->process = worker_template_fork (workers);
  self->template = g_object_ref (workers->process);
  self->rpc = g_object_new (AFORK_TYPE_RPC,
                            "process", self->process,
                            "function", function,
                            "forward-stderr", workers->messages < 0,
                            "trusted", FALSE,
                            NULL);
  self->timeout = timeout;
  self->timer_id = g_timeout_add_seconds (timeout, time_out_cb, self);

  afork_rpc_run_job_async (self->rpc, job, cancellable, answered_cb, g_steal_pointer (&task));
}

gboolean
worker_run_finish (GAsyncResult  *result,
                   int           *width,
                   int           *height,
                   GError       **error)
{
  WorkerRun *self;

  g_return_val_if_fail (g_task_is_valid (result, NULL), FALSE);

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;

  self = g_task_get_task_data (G_TASK (result));
  *width = self->width;
  *height = self->height;
  return TRUE;
}
