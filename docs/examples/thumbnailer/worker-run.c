/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker-run.h"

#include "text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_REPLY   4096      /* bytes; what a worker says is not trusted */
#define END_TIMEOUT 3         /* seconds for a template to tell that a worker it forked is dead */

typedef struct
{
  WorkerTemplate    *workers;
  AForkProcess      *template;    /* of the process */
  AForkProcess      *process;
  GSocketConnection *connection;
  char               reply[MAX_REPLY];
  gsize              reply_size;
  guint              timeout;
  guint              timer_id;
  gboolean           timed_out;
  GSource           *cancelled;
  GError            *error;       /* why the function was not entered */
  int                width;      /* of the picture the worker has dealt with */
  int                height;
} WorkerRun;

G_DEFINE_QUARK (worker-error-quark, worker_error)

static void
worker_run_free (WorkerRun *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  g_source_destroy (self->cancelled);
  g_source_unref (self->cancelled);
  g_clear_error (&self->error);
  g_clear_object (&self->connection);
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

/* Of its end the template tells, unless that hangs, too. */
static void
kill_worker (WorkerRun *self)
{
  g_clear_handle_id (&self->timer_id, g_source_remove);
  self->timer_id = g_timeout_add_seconds (END_TIMEOUT, end_time_out_cb, self);
  afork_process_force_exit (self->process);
}

/* If there is no worker yet, it is the template that hangs. */
static gboolean
time_out_cb (gpointer user_data)
{
  WorkerRun *self = user_data;

  self->timed_out = TRUE;
  self->timer_id = 0;
  if (afork_process_get_state (self->process) < AFORK_PROCESS_STATE_RUNNING)
    worker_template_replace (self->workers, self->template);
  kill_worker (self);

  return G_SOURCE_REMOVE;
}

static gboolean
cancelled_cb (GCancellable *cancellable,
              gpointer      user_data)
{
  kill_worker (user_data);

  return G_SOURCE_REMOVE;
}

static gboolean
check_reply (WorkerRun  *self,
             GError    **error)
{
  g_autofree char *reply = NULL;

  if (self->reply_size > 0 && self->reply[self->reply_size - 1] == '\n')
    reply = text_from_bytes (self->reply, self->reply_size - 1);

  if (reply != NULL && sscanf (reply, "ok %d %d", &self->width, &self->height) == 2)
    return TRUE;

  if (reply != NULL && g_str_has_prefix (reply, "error "))
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_REFUSED, reply + strlen ("error "));
  else
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_PROTOCOL,
                         "The worker did not say what came of it");
  return FALSE;
}

/* Signals that somebody sent, the kernel when memory ran out perhaps, are not the work's fault. */
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

static gboolean
check_end (WorkerRun  *self,
           GError    **error)
{
  int number;

  if (self->reply_size == MAX_REPLY)
    g_set_error_literal (error, WORKER_ERROR, WORKER_ERROR_PROTOCOL,
                         "The worker said more than it should");
  else if (afork_process_get_term_signal (self->process, &number))
    set_killed_error (error, number);
  else if (afork_process_get_exit_status (self->process, &number) && number != 0)
    g_set_error (error, WORKER_ERROR, WORKER_ERROR_DIED,
                 "The worker exited with status %d", number);
  else
    return check_reply (self, error);

  return FALSE;
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  WorkerRun *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (g_task_return_error_if_cancelled (task))
    return;

  if (self->error != NULL)
    g_task_return_error (task, g_steal_pointer (&self->error));
  else if (self->timed_out)
    g_task_return_new_error (task, WORKER_ERROR, WORKER_ERROR_TIMED_OUT,
                             "The worker took longer than %u s", self->timeout);
  else if (!afork_process_wait_finish (self->process, result, &error)
           || !check_end (self, &error))
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/* A worker that broke the connection has ended or is about to; how it ended tells more. */
static void
replied_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  WorkerRun *self = g_task_get_task_data (task);

  g_input_stream_read_all_finish (G_INPUT_STREAM (object), result, &self->reply_size, NULL);
  if (self->reply_size == MAX_REPLY)
    afork_process_force_exit (self->process);

  g_clear_object (&self->connection);
  afork_process_wait_async (self->process, NULL, ended_cb, g_steal_pointer (&task));
}

/* A worker that is not wanted any more may be on its way all the same. It is killed when it is
 * there, by a main loop that turns until then. */
static void
entered_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  WorkerRun *self = g_task_get_task_data (task);

  self->connection = afork_process_run_finish (self->process, result, &self->error);
  if (self->connection == NULL && self->timed_out)
    {
      g_clear_error (&self->error);
      g_set_error (&self->error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                   "No worker was ready within %u s", self->timeout);
    }

  if (self->connection == NULL)
    afork_process_wait_async (self->process, NULL, ended_cb, g_steal_pointer (&task));
  else
    g_input_stream_read_all_async (g_io_stream_get_input_stream (G_IO_STREAM (self->connection)),
                                   self->reply, MAX_REPLY, G_PRIORITY_DEFAULT, NULL,
                                   replied_cb, g_steal_pointer (&task));
}

void
worker_run_async (WorkerTemplate      *workers,
                  AForkProcess        *process,
                  const char          *function,
                  guint                timeout,
                  GCancellable        *cancellable,
                  GAsyncReadyCallback  callback,
                  gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (process, cancellable, callback, user_data);
  WorkerRun *self = g_new0 (WorkerRun, 1);

  g_task_set_source_tag (task, worker_run_async);
  g_task_set_task_data (task, self, (GDestroyNotify) worker_run_free);

  self->workers = workers;
  self->template = g_object_ref (workers->process);
  self->process = g_object_ref (process);
  self->timeout = timeout;
  self->timer_id = g_timeout_add_seconds (timeout, time_out_cb, self);
  self->cancelled = g_cancellable_source_new (cancellable);
  g_source_set_callback (self->cancelled, G_SOURCE_FUNC (cancelled_cb), self, NULL);
  g_source_attach (self->cancelled, NULL);

  afork_process_run_async (process, function, cancellable, entered_cb, g_steal_pointer (&task));
}

gboolean
worker_run_finish (AForkProcess  *process,
                   GAsyncResult  *result,
                   int           *width,
                   int           *height,
                   GError       **error)
{
  WorkerRun *self;

  g_return_val_if_fail (g_task_is_valid (result, process), FALSE);

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;

  self = g_task_get_task_data (G_TASK (result));
  *width = self->width;
  *height = self->height;
  return TRUE;
}
