/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Handing a process over: to a function, to a program, or to another caller. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <dlfcn.h>

#include "afork-error.h"
#include "afork-runtime.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "server/objects.h"

/* To a function. */

/**
 * afork_process_run_async:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, in C an `AForkRunFunc`; named as for
 *   [method@AFork.Process.call]
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the function is about to be entered, or
 *   when it is known that it will not be
 * @user_data: data for @callback
 *
 * Has the process enter a function, with a socket that is connected to the caller and the items
 * that were queued. When the function returns, the process exits with status 0.
 *
 * From this call on, the process cannot be prepared any more. Cancelling it kills the process; one
 * that is on its way still is killed when it is there, so a program that is about to exit waits for
 * its end first.
 *
 * Since: 0.1
 */
void
afork_process_run_async (AForkProcess        *self,
                         const char          *function,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (function != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_run_async);
  g_task_set_name (task, "[afork] process run");
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  self->function = g_strdup (function);
  _afork_process_notify_function (self);
  if (_afork_process_expect_run (self, task))
    _afork_client_run (self->client, function, afork_process_get_title (self));
}

void
_afork_process_run_for (AForkProcess *self,
                        const char   *function,
                        AForkRanFunc  func,
                        gpointer      data)
{
  g_autoptr(AForkProcess) kept G_GNUC_UNUSED = g_object_ref (self);
  g_autoptr(GError) error = NULL;

  if (!_afork_process_mark_run (self, &error))
    {
      func (self, NULL, error, data);
      return;
    }

  self->function = g_strdup (function);
  _afork_process_notify_function (self);
  if (!_afork_process_ensure_started (self, &error))
    {
      func (self, NULL, error, data);
      return;
    }

  self->ran_func = func;
  self->ran_data = data;
  _afork_client_run (self->client, function, afork_process_get_title (self));
}

/**
 * afork_process_run_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Returns the socket. It is a stream of bytes; what the function writes can be read here, and the
 * other way round. When the process and all that have the other end have ended, it ends. It is
 * closed when the connection is, or when the connection and its streams have gone.
 *
 * Fails as the process has failed, with the code of the first thing that could not be done:
 * `AFORK_ERROR_SPAWN` if there was no process, or no descriptor was left for it there or here,
 * `AFORK_ERROR_MODULE`, `AFORK_ERROR_EVAL`, `AFORK_ERROR_FUNCTION`, `AFORK_ERROR_NOT_SUPPORTED` or
 * `AFORK_ERROR_FAILED` if it could not be prepared, `AFORK_ERROR_THREADS` if its template could not
 * be forked, `AFORK_ERROR_EXITED` or `AFORK_ERROR_SIGNALED` if it ended too early,
 * `AFORK_ERROR_LOST` if nobody can say how, `AFORK_ERROR_PROTOCOL` if it sent what it may not. If
 * it was its template that failed, the code is the template's. `AFORK_ERROR_CLOSED` if the process
 * was told to run before. `G_IO_ERROR_PERMISSION_DENIED` if the process was to be killed, by
 * cancelling this among other things, and cannot be: see [method@AFork.Process.force_exit].
 *
 * Returns: (transfer full): a connection, or `NULL` on error
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_run_finish (AForkProcess  *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_run_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * afork_process_run:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, as for [method@AFork.Process.run_async]
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Does what [method@AFork.Process.run_async] does, and waits until the function is about to be
 * entered, however long that takes. For programs that have nothing else to do meanwhile.
 *
 * The first call of a thread that waits takes a descriptor, which the thread keeps, and so does one
 * that is made within another. If there are fewer than 64 left, it fails with
 * `G_IO_ERROR_TOO_MANY_OPEN_FILES`, and the process has not been run.
 *
 * Returns: (transfer full): a connection, or `NULL` on error, as
 *   [method@AFork.Process.run_finish] has it
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_run (AForkProcess  *self,
                   const char    *function,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;
  AForkBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_process_begin_blocking (self, &blocking, G_OBJECT (self), error))
    return NULL;

  afork_process_run_async (self, function, cancellable, _afork_blocking_call_cb, &blocking);
  result = _afork_blocking_call_end (&blocking);
  return afork_process_run_finish (self, result, error);
}

/* What FUNC is called in titles and messages: its name if its object exports it, else its place. */
static char *
name_function (AForkRunFunc func,
               guint64      offset)
{
  g_autofree char *object = NULL;
  Dl_info info = { 0 };

  if (dladdr ((void *) func, &info) != 0 && info.dli_saddr == (void *) func)
    return g_strdup (info.dli_sname);

  object = info.dli_fname != NULL ? g_path_get_basename (info.dli_fname) : g_strdup ("");
  return g_strdup_printf ("%s+%#" G_GINT64_MODIFIER "x", object, offset);
}

/**
 * afork_process_run_func_async: (skip)
 * @self: a process that was not run
 * @func: a function of this program, or of a shared object that is loaded; it need not be
 *   exported, and may be static
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the function is about to be entered, or
 *   when it is known that it will not be
 * @user_data: data for @callback
 *
 * Does what [method@AFork.Process.run_async] does, with a function that is given by its address.
 *
 * The process must have the same program or shared object as this one: it is a template that was
 * forked off this program or a fork of it, or it is of the program's own runtime, or the shared
 * object is one that was required there. The two recognise it by the build ID that the linker
 * gives it (`-Wl,--build-id`, which is usual), not by its path. [property@AFork.Process:function]
 * is the function's name if it is exported, and else says where it is.
 *
 * Since: 0.1
 */
void
afork_process_run_func_async (AForkProcess        *self,
                              AForkRunFunc         func,
                              GCancellable        *cancellable,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GTask) task = NULL;
  char object[AFORK_OBJECT_ID_SIZE];
  guint64 offset = 0;

  g_return_if_fail (AFORK_IS_PROCESS (self));
  g_return_if_fail (func != NULL);
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, afork_process_run_func_async);
  g_task_set_name (task, "[afork] process run");
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  if (!afork_object_describe ((const void *) func, object, &offset))
    _afork_process_kill_with_error (self, AFORK_ERROR_FUNCTION,
                                    _("The function at %p is in no program or shared object with a "
                                      "build ID"),
                                    (void *) func);
  self->function = name_function (func, offset);
  _afork_process_notify_function (self);
  if (_afork_process_expect_run (self, task))
    _afork_client_run_func (self->client, object, offset, afork_process_get_title (self));
}

/**
 * afork_process_run_func_finish: (skip)
 * @self: a process
 * @result: what the callback was given
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Returns the socket, as [method@AFork.Process.run_finish] does, and fails as that does. The error
 * is `AFORK_ERROR_FUNCTION` as well if the program or shared object that has the function is not
 * in the process, or has no build ID.
 *
 * Returns: (transfer full): a connection, or `NULL` on error
 *
 * Since: 0.1
 */
GSocketConnection *
afork_process_run_func_finish (AForkProcess  *self,
                               GAsyncResult  *result,
                               GError       **error)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, afork_process_run_func_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* To a program. */

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
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  if (argv[0] == NULL)
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_FAILED,
                                      _("There is no program to be executed"));
    }
  else if (!afork_runtime_get_can_pass_fds (self->runtime))
    {
      g_autofree char *program = g_filename_display_name (argv[0]);

      _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                      _("“%s” cannot be executed by a process of the runtime “%s”"),
                                      program, afork_runtime_get_name (self->runtime));
    }
  if (_afork_process_expect_run (self, task))
    _afork_client_exec (self->client, argv);
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
  AForkBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (argv != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  if (!_afork_process_begin_blocking (self, &blocking, G_OBJECT (self), error))
    return NULL;

  afork_process_exec_async (self, argv, cancellable, _afork_blocking_call_cb, &blocking);
  result = _afork_blocking_call_end (&blocking);
  return afork_process_exec_finish (self, result, error);
}

/* To another caller. */

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
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  self->detached = TRUE;
  if (!afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                    _("A process of the runtime “%s” cannot be detached"),
                                    afork_runtime_get_name (self->runtime));
  if (_afork_process_expect_run (self, task))
    _afork_client_detach (self->client);
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
  AForkBlockingCall blocking;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), -1);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), -1);

  if (!_afork_process_begin_blocking (self, &blocking, G_OBJECT (self), error))
    return -1;

  afork_process_detach_async (self, cancellable, _afork_blocking_call_cb, &blocking);
  result = _afork_blocking_call_end (&blocking);
  return afork_process_detach_finish (self, result, error);
}
