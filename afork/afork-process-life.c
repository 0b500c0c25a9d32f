/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What becomes of a process: waiting for its end, and bringing it about. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <sys/wait.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "base/task.h"
#include "process/blocking-call.h"

static void
return_end (AForkProcess *self,
            GTask        *task)
{
  AForkLife *life = _afork_peer_get_life (self->peer);
  g_autofree char *loss = _afork_life_describe_loss (life);
  GError *failure = _afork_peer_get_failure (self->peer);

  if (_afork_life_get_wait_status (life) >= 0)
    g_task_return_boolean (task, TRUE);
  else if (failure != NULL)
    g_task_return_error (task, g_error_copy (failure));
  else if (_afork_process_is_stranded (self))
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_CLOSED,
                             _("The main context of the process is gone"));
  else
    g_task_return_new_error (task, AFORK_ERROR, AFORK_ERROR_LOST, "%s", loss);
}

static const GError *
get_kill_error (AForkProcess *self)
{
  return _afork_life_get_kill_error (_afork_peer_get_life (self->peer));
}

static void
return_wait (AForkPeer *peer,
             GObject   *owner,
             gpointer   data)
{
  return_end (AFORK_PROCESS (owner), data);
}

/* Has RETURN_FUNC answer all of them. */
static void
take_waits (AForkProcess      *self,
            AForkPeerTellFunc  return_func)
{
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->wait_tasks)) != NULL)
    {
      _afork_peer_tell_next (self->peer, return_func, task);
      g_object_unref (task);
    }
}

void
_afork_process_return_waits (AForkProcess *self)
{
  take_waits (self, return_wait);
}

/* Answers TASK now, or when more is known. */
static void
await_end (AForkProcess *self,
           GTask        *task)
{
  if (self->state == AFORK_PROCESS_STATE_EXITED || _afork_process_is_stranded (self))
    {
      return_end (self, task);
    }
  else if (get_kill_error (self) != NULL)
    {
      g_task_return_error (task, g_error_copy (get_kill_error (self)));
    }
  else if (self->disposed)
    {
      g_task_return_error (task, _afork_process_new_disposed_error ());
    }
  else
    {
      _afork_task_queue_push (&self->wait_tasks, task);
    }
}

/* It could not be killed; but meanwhile that may be otherwise. */
static void
return_unkillable (AForkPeer *peer,
                   GObject   *owner,
                   gpointer   data)
{
  await_end (AFORK_PROCESS (owner), data);
}

void
_afork_process_fail_waits (AForkProcess *self)
{
  take_waits (self, return_unkillable);
}

void
_afork_process_kill_after_context (AForkProcess *self,
                                   guint         ms)
{
  _afork_peer_kill_after_context (self->peer, ms);
}

GError *
_afork_process_new_disposed_error (void)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                      _("The process object has been disposed of"));
}

void
_afork_process_fail_waits_disposed (AForkProcess *self)
{
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->wait_tasks)) != NULL)
    {
      _afork_task_return_error_later (task, _afork_process_new_disposed_error ());
      g_object_unref (task);
    }
}

void
_afork_process_watch_unkillable (AForkProcess        *self,
                                 AForkUnkillableFunc  func,
                                 gpointer             data)
{
  if (self->unkillable_func != NULL)
    return;

  self->unkillable_func = func;
  self->unkillable_data = data;
}

void
_afork_process_unwatch_unkillable (AForkProcess *self,
                                   gpointer      data)
{
  if (self->unkillable_data != data)
    return;

  self->unkillable_func = NULL;
  self->unkillable_data = NULL;
}

/**
 * afork_process_wait_async:
 * @self: a process
 * @cancellable: (nullable): a cancellable, which ends the wait and not the process
 * @callback: (nullable) (scope async): what to call when the process has ended
 * @user_data: data for @callback
 *
 * Waits until the process has ended. Works for every process, whoever's child it is.
 *
 * An operation keeps its object. A process that was not run ends when the last reference to it is
 * dropped, so one that is only waited for does not: have it run, detach it, or kill it with
 * [method@AFork.Process.force_exit].
 *
 * Since: 0.1
 */
void
afork_process_wait_async (AForkProcess        *self,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_wait_async);
  g_task_set_name (task, "[afork] process wait");
  if (g_task_return_error_if_cancelled (task))
    return;
  hold = _afork_process_hold_for_task (self, task);
  if (hold != NULL)
    await_end (self, task);
}

/**
 * afork_process_wait_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Tells whether the process has ended and it is known how, for
 * [method@AFork.Process.get_exit_status] and [method@AFork.Process.get_term_signal].
 *
 * Fails with `AFORK_ERROR_LOST` if it is not known: its template died before it, and the kernel
 * does not tell (Linux does from 6.15 on), and with `AFORK_ERROR_CLOSED` if its main context has
 * gone before it. If the process never came to be, fails as [method@AFork.Process.run_finish] does.
 * If it was to be killed and cannot be, fails with `G_IO_ERROR_PERMISSION_DENIED`, and the process
 * perhaps lives on: see [method@AFork.Process.force_exit].
 *
 * Returns: true if it is known how the process ended
 *
 * Since: 0.1
 */
gboolean
afork_process_wait_finish (AForkProcess  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_wait_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * afork_process_wait:
 * @self: a process
 * @cancellable: (nullable): a cancellable, which ends the wait and not the process
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Waits, in this call, until the process has ended. If there are too few descriptors left to wait
 * with, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, as [method@AFork.Process.run] does.
 *
 * Returns: true if it is known how the process ended, as [method@AFork.Process.wait_finish] has it
 *
 * Since: 0.1
 */
gboolean
afork_process_wait (AForkProcess  *self,
                    GCancellable  *cancellable,
                    GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (!_afork_blocking_begin (&blocking, G_OBJECT (self), self, error))
    return FALSE;

  afork_process_wait_async (self, cancellable, _afork_blocking_cb, &blocking);
  result = _afork_blocking_end (&blocking);
  return afork_process_wait_finish (self, result, error);
}

/**
 * afork_process_get_exit_status:
 * @self: a process
 * @exit_status: (out) (optional): return location for the status it exited with, 0 to 255
 *
 * Tells whether the process exited by itself.
 *
 * Returns: true if it has ended so, false if it lives, was ended by a signal, or nobody knows
 *
 * Since: 0.1
 */
gboolean
afork_process_get_exit_status (AForkProcess *self,
                               int          *exit_status)
{
  int wait_status;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);

  wait_status = _afork_life_get_wait_status (_afork_peer_get_life (self->peer));
  if (wait_status < 0 || !WIFEXITED (wait_status))
    return FALSE;

  if (exit_status != NULL)
    *exit_status = WEXITSTATUS (wait_status);
  return TRUE;
}

/**
 * afork_process_get_term_signal:
 * @self: a process
 * @signal: (out) (optional): return location for the signal's number
 *
 * Tells whether the process was ended by a signal.
 *
 * Returns: true if it has ended so, false if it lives, exited by itself, or nobody knows
 *
 * Since: 0.1
 */
gboolean
afork_process_get_term_signal (AForkProcess *self,
                               int          *signal)
{
  int wait_status;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);

  wait_status = _afork_life_get_wait_status (_afork_peer_get_life (self->peer));
  if (wait_status < 0 || !WIFSIGNALED (wait_status))
    return FALSE;

  if (signal != NULL)
    *signal = WTERMSIG (wait_status);
  return TRUE;
}

/**
 * afork_process_get_usage:
 * @self: a process
 * @user_usec: (out): return location for the processor time spent in the program, in microseconds
 * @system_usec: (out): return location for the processor time spent in the kernel, in microseconds
 * @max_rss_kib: (out): return location for the most memory that was resident at once, in KiB
 *
 * Tells what the process has used, once it has ended and as long as its template or this process
 * could reap it.
 *
 * Of a process that was executed, Linux counts as resident also what this process had then, so
 * @max_rss_kib means something only of forks.
 *
 * Returns: true if that is known
 *
 * Since: 0.1
 */
gboolean
afork_process_get_usage (AForkProcess *self,
                         guint64      *user_usec,
                         guint64      *system_usec,
                         guint64      *max_rss_kib)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (user_usec != NULL, FALSE);
  g_return_val_if_fail (system_usec != NULL, FALSE);
  g_return_val_if_fail (max_rss_kib != NULL, FALSE);

  return _afork_life_get_usage (_afork_peer_get_life (self->peer),
                                user_usec, system_usec, max_rss_kib);
}

/**
 * afork_process_send_signal:
 * @self: a process
 * @signal: a signal's number, 1 to 64; another one is ignored
 *
 * Sends a signal to the process: at once, or as soon as it is known. Does nothing once it has
 * ended. It can never reach another process. Where this program may not send it, the process's
 * template is asked to; see [method@AFork.Process.force_exit].
 *
 * A process that was not run ignores `SIGINT` and `SIGTERM`. Sent by this call, they wait for what
 * it will run, and are sent to that. To end a process that was not run, kill it or drop it.
 *
 * Since: 0.1
 */
void
afork_process_send_signal (AForkProcess *self,
                           int           signal)
{
  g_autoptr(AForkHold) hold = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  if (signal < 1 || signal > 64)
    {
      g_debug ("There is no signal %d", signal);
      return;
    }

  hold = _afork_process_hold_or_warn (self);
  if (hold != NULL)
    _afork_peer_send_signal (self->peer, signal);
}

/**
 * afork_process_force_exit:
 * @self: a process
 *
 * Kills the process: at once, or as soon as it is known. A run that was not answered yet fails with
 * `AFORK_ERROR_CLOSED`, and so does one that comes later. Does nothing once the process has ended.
 *
 * Where this program may not signal the process, because it has given up its rights or a sandbox
 * keeps it from that, the template of the process is asked to kill it. If that may not either, does
 * not answer within five seconds, or is not there any more, the process cannot be killed: whoever
 * waits for its end, then or later, gets `G_IO_ERROR_PERMISSION_DENIED`. It lives on until it ends
 * by itself. If it was not run yet, its socket is closed, and so it ends when it has done what it
 * was told.
 *
 * Since: 0.1
 */
void
afork_process_force_exit (AForkProcess *self)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autofree char *name = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));

  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL)
    return;

  name = _afork_life_get_name (_afork_peer_get_life (self->peer));
  _afork_process_abandon (self, AFORK_ERROR_CLOSED, _("%s was killed by its caller"), name);
}
