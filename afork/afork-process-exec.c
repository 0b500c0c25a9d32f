/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Handing a process over to a program. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include "afork-error.h"
#include "afork-runtime.h"
#include "base/i18n.h"
#include "process/blocking-call.h"

/**
 * afork_process_exec_async:
 * @self: a process that was not run
 * @argv: (array zero-terminated=1) (element-type filename): a program and its arguments, together
 *   less than 1 MiB; looked up in the `PATH` of the process's environment if it has no slash;
 *   `/bin/sh` executes what is in no format that the system knows
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the program was executed, or when it is
 *   known that it was not
 * @user_data: data for @callback
 *
 * Has the process execute a program in its place. The program has the environment and the folder
 * that were prepared, the descriptors that were mapped, and the other end of the connection as its
 * standard input and output, unless these were mapped. Items that were queued do not reach it.
 *
 * A program that is executed through a template costs the caller no more than a fork of the
 * template, whatever the caller's size.
 *
 * From this call on, the process cannot be prepared any more. Cancelling it kills the process. It
 * works only with runtimes that can pass descriptors.
 *
 * Since: 0.1
 */
void
afork_process_exec_async (AForkProcess        *self,
                          const char * const  *argv,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (argv != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_exec_async);
  g_task_set_name (task, "[afork] process exec");
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_begin_hand_over (self, task))
    return;

  if (argv[0] == NULL)
    {
      _afork_process_abandon (self, AFORK_ERROR_FAILED, _("There is no program to be executed"));
    }
  else if (!afork_runtime_get_can_pass_fds (self->runtime))
    {
      g_autofree char *program = g_filename_display_name (argv[0]);

      _afork_process_abandon (self, AFORK_ERROR_NOT_SUPPORTED,
                              _("“%s” cannot be executed by a process of the runtime “%s”"),
                              program, afork_runtime_get_name (self->runtime));
    }
  if (_afork_process_await_hand_over (self, task))
    _afork_peer_exec (self->peer, argv);
}

/**
 * afork_process_exec_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Returns the socket that is connected to the program. The program has been executed by then, and
 * may have ended.
 *
 * Fails as [method@AFork.Process.run_finish] does; with `AFORK_ERROR_FAILED` if there is no program
 * in the arguments; and with `AFORK_ERROR_SPAWN` and the system's own message if the program could
 * not be executed.
 *
 * Returns: (transfer full): a connection, or `NULL` on error
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_exec_finish (AForkProcess  *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_exec_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * afork_process_exec:
 * @self: a process that was not run
 * @argv: (array zero-terminated=1) (element-type filename): a program and its arguments, as for
 *   [method@AFork.Process.exec_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Does what [method@AFork.Process.exec_async] does, and waits until the program has been executed;
 * fails as [method@AFork.Process.run] does if there are too few descriptors to wait with.
 *
 * Returns: (transfer full): a connection, or `NULL` on error, as
 *   [method@AFork.Process.exec_finish] has it
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_exec (AForkProcess        *self,
                    const char * const  *argv,
                    GCancellable        *cancellable,
                    GError             **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlocking blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (argv != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_blocking_begin (&blocking, G_OBJECT (self), self, error))
    return NULL;

  afork_process_exec_async (self, argv, cancellable, _afork_blocking_cb, &blocking);
  result = _afork_blocking_end (&blocking);
  return afork_process_exec_finish (self, result, error);
}
