/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Closing an RPC object, and the end of its worker. */

#include "config.h"

#include "afork-rpc.h"
#include "afork-rpc-private.h"

#include "afork-error.h"
#include "afork-i18n-private.h"
#include "afork-task-private.h"

static void
close_cancelled_cb (gpointer data)
{
  g_autoptr(GTask) task = g_object_ref (data);
  AForkRpc *self = g_task_get_source_object (task);

  if (!g_ptr_array_remove (self->close_tasks, task))
    return;

  _afork_task_unwatch_cancellable (task);
  _afork_task_return_cancelled (task);
}

static void
add_close_task (AForkRpc *self,
                GTask    *task)
{
  g_task_set_check_cancellable (task, FALSE);
  _afork_task_watch_cancellable (task, close_cancelled_cb);
  g_ptr_array_add (self->close_tasks, g_object_ref (task));
}

/* The next task that waits, or NULL. */
static GTask *
take_close_task (AForkRpc *self)
{
  GTask *task;

  if (self->close_tasks->len == 0)
    return NULL;

  task = g_ptr_array_steal_index (self->close_tasks, 0);
  _afork_task_unwatch_cancellable (task);
  return task;
}

static void
return_task (AForkRpc *self,
             GTask    *task)
{
  if (self->failure != NULL)
    g_task_return_error (task, g_error_copy (self->failure));
  else
    g_task_return_boolean (task, TRUE);
}

static void
return_closed (AForkRpc *self)
{
  GTask *task;

  while ((task = take_close_task (self)) != NULL)
    {
      return_task (self, task);
      g_object_unref (task);
    }
}

static gboolean
return_later_cb (gpointer data)
{
  return_task (g_task_get_source_object (data), data);
  return G_SOURCE_REMOVE;
}

/* The same where no handler can be called now. */
static void
return_closed_later (AForkRpc *self)
{
  GTask *task;

  while ((task = take_close_task (self)) != NULL)
    {
      g_autoptr(GSource) source = g_idle_source_new ();

      g_source_set_static_name (source, "[afork] calls closed");
      g_task_attach_source (task, source, return_later_cb);
      g_object_unref (task);
    }
}

void
_afork_rpc_end (AForkRpc     *self,
                const GError *error)
{
  g_autoptr(GError) unanswered = NULL;

  if (self->failure == NULL && error != NULL)
    self->failure = g_error_copy (error);
  unanswered = self->failure != NULL
    ? g_error_copy (self->failure)
    : g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED, _("The worker exited without an answer"));
  self->ended = TRUE;

  if (self->set_up)
    _afork_rpc_fail_lost_calls (self, unanswered);
  else
    _afork_rpc_fail_calls (self, unanswered);
  if (!self->closed_emitted)
    {
      self->closed_emitted = TRUE;
      _afork_rpc_emit_closed (self);
    }
  return_closed (self);
}

void
_afork_rpc_give_up (AForkRpc   *self,
                    const char *message)
{
  if (self->failure == NULL)
    self->failure = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED, message);
  self->ended = TRUE;

  _afork_rpc_fail_calls_later (self, self->failure);
  return_closed_later (self);
}

/**
 * afork_rpc_close_async:
 * @self: an RPC object
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the worker has ended
 * @user_data: data for @callback
 *
 * Has the worker end when all calls that were made until now are answered. More are refused. May be
 * called more than once. Cancelling it only means not to wait any longer.
 *
 * Calls that were cancelled or out of time are not waited for: a worker that is still at one when
 * all others are answered has five seconds to end, and is then killed.
 *
 * Since: 0.1
 */
void
afork_rpc_close_async (AForkRpc            *self,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_rpc_close_async);
  g_task_set_name (task, "[afork] calls closed");
  self->closing = TRUE;
  add_close_task (self, task);
  if (self->ended)
    return_closed (self);
  else
    _afork_rpc_send_waiting (self);
}

/**
 * afork_rpc_close_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Tells whether the worker ended properly: it exited with status 0 after it was closed. If not,
 * fails with what calls would fail with.
 *
 * Returns: true if it did
 *
 * Since: 0.1
 */
gboolean
afork_rpc_close_finish (AForkRpc      *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_rpc_close_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * afork_rpc_close:
 * @self: an RPC object
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.close_finish] has it
 *
 * Does what [method@AFork.Rpc.close_async] does, and waits until the worker has ended, as
 * [method@AFork.Rpc.call] does for an answer.
 *
 * Returns: true if the worker ended properly
 *
 * Since: 0.1
 */
gboolean
afork_rpc_close (AForkRpc      *self,
                 GCancellable  *cancellable,
                 GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkRpcBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (!_afork_rpc_begin_blocking (self, &blocking, error))
    return FALSE;

  afork_rpc_close_async (self, cancellable, _afork_blocking_cb, &blocking.base);
  result = _afork_rpc_end_blocking (self, &blocking);
  return afork_rpc_close_finish (self, result, error);
}
