/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Handing a process over to another caller. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include "afork-error.h"
#include "afork-runtime.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "process/blocking-call.h"

/**
 * afork_process_detach_async:
 * @self: a process that was not run
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the process can be handed over, or when
 *   it is known that it cannot
 * @user_data: data for @callback
 *
 * Gives the process up to another program, or to another thread of this one, which goes on
 * preparing, forking and running it; see [ctor@AFork.Process.new_from_fd]. Everything that was
 * queued for it is done first.
 *
 * From this call on, the process cannot be prepared or run from here. Its end is still seen: what
 * forked it goes on reaping and reporting it, and so do its forks that live, which stay with @self.
 * Cancelling the operation kills the process.
 *
 * Since: 0.1
 */
void
afork_process_detach_async (AForkProcess        *self,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_detach_async);
  g_task_set_name (task, "[afork] process detach");
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_begin_hand_over (self, task))
    return;

  self->detached = TRUE;
  if (!afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_abandon (self, AFORK_ERROR_NOT_SUPPORTED,
                            _("A process of the runtime “%s” cannot be detached"),
                            afork_runtime_get_name (self->runtime));
  if (_afork_process_await_hand_over (self, task))
    _afork_peer_detach (self->peer);
}

/**
 * afork_process_detach_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Returns a descriptor by which the process can be taken over, once: in this program, or in
 * another one that is sent it over a Unix socket, such as a worker that gets it by
 * [method@AFork.Process.send_fd]. When all copies of it are closed, the process ends. Nothing else
 * is to be done with it.
 *
 * Fails as [method@AFork.Process.run_finish] does, for everything that was queued is done by then,
 * and with `AFORK_ERROR_NOT_SUPPORTED` if its runtime cannot pass descriptors.
 *
 * Returns: a descriptor, close-on-exec, which is the caller's to close, or -1 on error
 *
 * Since: 0.1
 */
int
afork_process_detach_finish (AForkProcess  *self,
                             GAsyncResult  *result,
                             GError       **error)
{
  g_autofree int *fd = NULL;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), -1);
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_detach_async), -1);

  fd = g_task_propagate_pointer (G_TASK (result), error);
  if (fd == NULL)
    return -1;

  /* It is the program's from now on. */
  _afork_fd_disown (*fd);
  return *fd;
}

/**
 * afork_process_detach:
 * @self: a process that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Does what [method@AFork.Process.detach_async] does, and waits until the process can be handed
 * over; fails as [method@AFork.Process.run] does if there are too few descriptors to wait with.
 *
 * Returns: a descriptor, close-on-exec, which is the caller's to close, or -1 on error, as
 *   [method@AFork.Process.detach_finish] has it
 *
 * Since: 0.1
 */
int
afork_process_detach (AForkProcess  *self,
                      GCancellable  *cancellable,
                      GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), -1);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), -1);

  if (!_afork_blocking_begin (&blocking, G_OBJECT (self), self, error))
    return -1;

  afork_process_detach_async (self, cancellable, _afork_blocking_cb, &blocking);
  result = _afork_blocking_end (&blocking);
  return afork_process_detach_finish (self, result, error);
}
