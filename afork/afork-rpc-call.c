/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Making calls. */

#include "config.h"

#include "afork-rpc.h"
#include "afork-rpc-private.h"

#include "afork-error.h"
#include "base/i18n.h"

/* Why no call can be accepted, or NULL. */
static GError *
find_obstacle (AForkRpc *self)
{
  if (self->failure != NULL)
    return g_error_copy (self->failure);
  if (self->closing || self->ended)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED, _("The worker of “%s” has been closed"),
                        self->function);
  return NULL;
}

/* Takes CALL. */
static void
accept (AForkRpc         *self,
        AForkPendingCall *call)
{
  GError *error = NULL;
  g_autoptr(AForkHold) hold = _afork_rpc_hold (self, &error);

  if (hold != NULL)
    error = find_obstacle (self);
  if (error == NULL && _afork_pending_call_is_cancelled (call))
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
  if (error != NULL)
    {
      _afork_pending_call_fail (call, error);
      g_object_unref (call);
      return;
    }

  _afork_rpc_add_call (self, call);
}

/* Runs JOB, which may have been run before: then that is an error, and not of the first run. */
static void
run_job (AForkRpc            *self,
         AForkJob            *job,
         GCancellable        *cancellable,
         GAsyncReadyCallback  callback,
         gpointer             user_data)
{
  const gboolean is_new = afork_job_get_state (job) == AFORK_JOB_STATE_NEW;
  AForkPendingCall *call;

  call = _afork_pending_call_new (G_OBJECT (self), afork_rpc_run_job_async,
                                  afork_job_get_args (job), is_new ? job : NULL,
                                  cancellable, callback, user_data);
  if (is_new)
    {
      accept (self, call);
      return;
    }

  _afork_pending_call_fail (call, g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                               _("The job was run already")));
  g_object_unref (call);
}

/**
 * afork_rpc_call_async:
 * @self: an RPC object
 * @args: (nullable): arguments, any value up to 1 GiB; a floating one is taken, and `NULL` is `()`
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls the worker's function. Nothing waits: the call leaves when the main context turns, with all
 * that were made until then.
 *
 * Cancelling it ends it at once. The worker does not begin with it, or is told by
 * [method@AFork.Call.get_cancellable].
 *
 * Since: 0.1
 */
void
afork_rpc_call_async (AForkRpc            *self,
                      GVariant            *args,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  accept (self, _afork_pending_call_new (G_OBJECT (self), afork_rpc_call_async,
                                         args, NULL,
                                         cancellable, callback, user_data));
}

/**
 * afork_rpc_call_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], a [error@Gio.IOErrorEnum], or an error of the
 *   worker's function
 *
 * Returns the answer. Fails with the error of the worker's function, which is `AFORK_ERROR_FAILED`
 * if this program does not know its domain; with `G_IO_ERROR_CANCELLED` if the call was cancelled
 * first; with `AFORK_ERROR_CLOSED` if it was made after [method@AFork.Rpc.close_async]; with
 * `G_IO_ERROR_MESSAGE_TOO_LARGE` if the arguments or the result are over the limit, which is 1 GiB;
 * and if there can be no answer any more as [class@AFork.Rpc] tells, with the same error for all
 * calls that are not answered by then or are made later.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_call_finish (AForkRpc      *self,
                       GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_rpc_call_async), NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_rpc_call:
 * @self: an RPC object
 * @args: (nullable): arguments, as for [method@AFork.Rpc.call_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.call_finish] has it
 *
 * Does what [method@AFork.Rpc.call_async] does, and waits for the answer. Meanwhile the worker's
 * events are emitted, and nothing else of the program runs. If there are too few descriptors left
 * to wait with, fails with `G_IO_ERROR_TOO_MANY_OPEN_FILES`, as [method@AFork.Process.run] does,
 * and the call was not made.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_call (AForkRpc      *self,
                GVariant      *args,
                GCancellable  *cancellable,
                GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) owned = NULL;
  AForkRpcBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  owned = args != NULL ? g_variant_ref_sink (args) : NULL;
  if (!_afork_rpc_begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_call_async (self, owned, cancellable, _afork_blocking_cb, &blocking.base);
  result = _afork_rpc_end_blocking (self, &blocking);
  return afork_rpc_call_finish (self, result, error);
}

/**
 * afork_rpc_run_job_async:
 * @self: an RPC object
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call with the answer
 * @user_data: data for @callback
 *
 * Calls the worker's function with what @job has. Otherwise like [method@AFork.Rpc.call_async];
 * [method@AFork.Job.cancel] cancels it, too.
 *
 * Since: 0.1
 */
void
afork_rpc_run_job_async (AForkRpc            *self,
                         AForkJob            *job,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_return_if_fail (AFORK_IS_RPC (self));
  g_return_if_fail (AFORK_IS_JOB (job));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  run_job (self, job, cancellable, callback, user_data);
}

/**
 * afork_rpc_run_job_finish:
 * @self: an RPC object
 * @result: what the callback was given
 * @error: return location for an error, as for [method@AFork.Rpc.call_finish]
 *
 * Returns the answer; what came with it, the job has. Also fails with `AFORK_ERROR_TIMED_OUT` if it
 * took longer than [property@AFork.Job:timeout], and with `AFORK_ERROR_CLOSED` if the job was run
 * before, which does not touch what came of that.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_run_job_finish (AForkRpc      *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (_afork_pending_call_is_result (result, self, afork_rpc_run_job_async),
                        NULL);
  g_return_val_if_fail (_afork_pending_call_has_end (result), NULL);

  return _afork_pending_call_propagate (result, error);
}

/**
 * afork_rpc_run_job:
 * @self: an RPC object
 * @job: a job that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an error, as [method@AFork.Rpc.run_job_finish] has it
 *
 * Does what [method@AFork.Rpc.run_job_async] does, and waits for the answer, as
 * [method@AFork.Rpc.call] does.
 *
 * Returns: (transfer full): the result, or `NULL` on error
 *
 * Since: 0.1
 */
GVariant *
afork_rpc_run_job (AForkRpc      *self,
                   AForkJob      *job,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkRpcBlocking blocking;

  g_return_val_if_fail (AFORK_IS_RPC (self), NULL);
  g_return_val_if_fail (AFORK_IS_JOB (job), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_rpc_begin_blocking (self, &blocking, error))
    return NULL;

  afork_rpc_run_job_async (self, job, cancellable, _afork_blocking_cb, &blocking.base);
  result = _afork_rpc_end_blocking (self, &blocking);
  return afork_rpc_run_job_finish (self, result, error);
}
