/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Closing an RPC object, and the end of its worker. */

#include "config.h"

#include "afork-rpc.h"
#include "afork-rpc-private.h"

#include "afork-error.h"
#include "base/context.h"
#include "base/i18n.h"
#include "base/task.h"
#include "base/turn.h"

static void
return_task (AForkRpc *self,
             GTask    *task)
{
  if (self->failure != NULL)
    g_task_return_error (task, g_error_copy (self->failure));
  else
    g_task_return_boolean (task, TRUE);
}

/* Answers those that wait for the end, the first in any case, and others for one turn. True if none
 * are left. */
static gboolean
return_closed (AForkRpc *self)
{
  AForkTurn turn;
  gboolean has_time = _afork_turn_begin (&turn, NULL);
  GTask *task;

  while ((task = _afork_task_queue_pop (&self->close_tasks)) != NULL)
    {
      return_task (self, task);
      g_object_unref (task);
      if (!has_time || !_afork_turn_goes_on (&turn))
        break;
    }

  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);
  return g_queue_is_empty (&self->close_tasks);
}

/* What is pending, in order. True if nothing is left. */
static gboolean
end_for_turn (AForkRpc *self)
{
  g_autoptr(GError) error = NULL;

  error = self->failure != NULL
    ? g_error_copy (self->failure)
    : g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED, _("The worker exited without an answer"));
  if (!_afork_rpc_fail_calls (self, error))
    return FALSE;

  if (self->closed_due)
    {
      self->closed_due = FALSE;
      _afork_rpc_emit_closed (self);
    }
  return !self->ended || return_closed (self);
}

static gboolean
has_pending (AForkRpc *self)
{
  return self->waiting.length > 0 || self->in_flight.n_taken > 0
    || (self->ended && self->close_tasks.length > 0);
}

/* Where to go on. What is pending has to be told in contexts of its own in any case, and that of
 * the object may have gone. */
static GMainContext *
get_context (AForkRpc *self)
{
  GMainContext *context = NULL;

  if (self->link != NULL)
    context = _afork_context_peek (_afork_rpc_link_get_context (self->link));
  if (context != NULL)
    return context;
  if (self->waiting.length > 0)
    return ((AForkPendingCall *) g_queue_peek_head (&self->waiting))->context;
  if (self->close_tasks.length > 0)
    return g_task_get_context (g_queue_peek_head (&self->close_tasks));

  return _afork_get_thread_context ();
}

static void
pending_end_cb (gpointer data)
{
  g_autoptr(AForkRpc) self = g_object_ref (data);

  _afork_rpc_end_pending (self);
}

static void
go_on_later (AForkRpc *self)
{
  AForkWaiter *old = g_steal_pointer (&self->pending_end);

  self->pending_end = _afork_waiter_new_for_iteration (get_context (self), pending_end_cb,
                                                       g_object_ref (self), g_object_unref);
  g_clear_pointer (&old, _afork_waiter_end);
}

void
_afork_rpc_end_pending (AForkRpc *self)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);

  /* A handler may iterate the context, and wait there for what is still pending. */
  if (has_pending (self))
    go_on_later (self);
  if (end_for_turn (self))
    g_clear_pointer (&self->pending_end, _afork_waiter_end);
}

void
_afork_rpc_move_pending (AForkRpc *self)
{
  if (self->pending_end != NULL)
    go_on_later (self);
}

void
_afork_rpc_end (AForkRpc     *self,
                const GError *error)
{
  if (self->failure == NULL && error != NULL)
    self->failure = g_error_copy (error);
  if (!self->ended)
    self->closed_due = TRUE;
  self->ended = TRUE;
  self->lost = self->set_up;
  _afork_rpc_end_pending (self);
}

void
_afork_rpc_give_up (AForkRpc   *self,
                    const char *message)
{
  if (self->failure == NULL)
    self->failure = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED, message);
  self->ended = TRUE;

  /* No handler can be called now. */
  if (has_pending (self))
    go_on_later (self);
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
 * all others are answered has five seconds to exit, and is then killed. So has one without a
 * [property@AFork.Rpc:done-function], and one that does not read what is left for it.
 *
 * Since: 0.1
 */
void
afork_rpc_close_async (AForkRpc            *self,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;
  g_autoptr(GError) error = NULL;

  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_rpc_close_async);
  g_task_set_name (task, "[afork] calls closed");
  hold = _afork_rpc_hold (self, &error);
  if (hold == NULL)
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  self->closing = TRUE;
  g_task_set_check_cancellable (task, FALSE);
  if (self->ended && !has_pending (self) && !self->closed_due)
    {
      return_task (self, task);
      return;
    }

  /* Closing goes on; only nobody waits for it. */
  if (g_cancellable_is_cancelled (cancellable))
    _afork_task_return_cancelled (task);
  else
    _afork_task_queue_push (&self->close_tasks, task);
  if (!self->ended)
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
