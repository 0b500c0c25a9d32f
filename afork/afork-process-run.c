/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Running a process: a function, a program, or for another caller. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <dlfcn.h>

#include "afork-error.h"
#include "afork-runtime.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "server/objects.h"

/* Run a function. */

/**
 * afork_process_run_async:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, in C an `AForkRunFunc`; named as for
 *   [method@AFork.Process.call]
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the process is about to enter the
 *   function, or when this has failed
 * @user_data: data for @callback
 *
 * Runs a function in the process. The function gets a socket that is connected to the caller, and
 * the items that were queued. When the function returns, the process exits with status 0.
 *
 * After this call, the process cannot be prepared any more. Cancelling the operation kills the
 * process. If the process is not known yet, it is killed as soon as it is known, so a program that
 * is about to exit should wait for the exit of the process first.
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
  g_task_set_name (task, "[afork] process run");
  g_task_set_source_tag (task, afork_process_run_async);
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  self->function = g_strdup (function);
  _afork_process_notify_function (self);
  if (_afork_process_set_run_task (self, task))
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
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [method@AFork.Process.run_async], and returns the socket. The
 * socket is a stream of bytes in both directions. It ends when all processes that have the other
 * end have closed it or exited. It is closed with the connection, or when the connection and its
 * streams are finalized.
 *
 * If the process has failed, fails with the error of the first failure:
 * `AFORK_ERROR_SPAWN` if it could not be started, or if there were too few descriptors there or
 * here, `AFORK_ERROR_MODULE`, `AFORK_ERROR_EVAL`, `AFORK_ERROR_FUNCTION`,
 * `AFORK_ERROR_NOT_SUPPORTED` or `AFORK_ERROR_FAILED` if a command failed, `AFORK_ERROR_THREADS` if
 * its template could not be forked, `AFORK_ERROR_EXITED` or `AFORK_ERROR_SIGNALED` if it exited
 * before it entered the function, `AFORK_ERROR_LOST` if it did so and its exit status is unknown,
 * and `AFORK_ERROR_PROTOCOL` if it violated the protocol. If its template has failed, the error is
 * the template's.
 *
 * Fails with `AFORK_ERROR_CLOSED` if the process was run before, and with
 * `G_IO_ERROR_PERMISSION_DENIED` if the process had to be killed, for example because the operation
 * was cancelled, and cannot be killed; see [method@AFork.Process.force_exit].
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
 * Does what [method@AFork.Process.run_async] does, and blocks until the process is about to enter
 * the function, without a time limit.
 *
 * The first blocking call of a thread opens a descriptor, which the thread keeps. A blocking call
 * within another one opens one more. If none is left, the call fails with
 * `G_IO_ERROR_TOO_MANY_OPEN_FILES`, and the process is not run.
 *
 * Returns: (transfer full): a connection, or `NULL` on error, as with
 *   [method@AFork.Process.run_finish]
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

char *
_afork_process_name_func (gconstpointer func)
{
  g_autofree char *object = NULL;
  char id[AFORK_OBJECT_ID_SIZE];
  Dl_info info = { 0 };
  guint64 offset = 0;

  if (func == NULL)
    return NULL;
  if (dladdr (func, &info) != 0 && info.dli_saddr == func)
    return g_strdup (info.dli_sname);

  afork_object_describe (func, id, &offset);
  object = info.dli_fname != NULL ? g_path_get_basename (info.dli_fname) : g_strdup ("");
  return g_strdup_printf ("%s+%#" G_GINT64_MODIFIER "x", object, offset);
}

char *
_afork_process_describe_func (gconstpointer func)
{
  g_autofree char *name = _afork_process_name_func (func);
  char object[AFORK_OBJECT_ID_SIZE] = "";
  guint64 offset = 0;

  if (func == NULL)
    return NULL;

  /* Without a build ID, the worker does not find the function, and says why. */
  afork_object_describe (func, object, &offset);
  return g_strdup_printf ("%c%s+%" G_GINT64_MODIFIER "x %s", AFORK_ADDRESS_MARK, object, offset,
                          name);
}

/**
 * afork_process_run_func_async: (skip)
 * @self: a process that was not run
 * @func: a function of this program, or of a shared object that is loaded; it need not be
 *   exported, and may be static
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the process is about to enter the
 *   function, or when this has failed
 * @user_data: data for @callback
 *
 * Does what [method@AFork.Process.run_async] does, with the address of a function instead of a
 * name.
 *
 * The process must have the program or shared object that contains the function. This is so if the
 * process is a template that was forked from this program, or a fork of it; if it has the program's
 * own runtime; or if it has loaded the shared object as a module. The object is identified by its
 * build ID, which the linker writes (`-Wl,--build-id`, usually the default), and not by its path.
 * [property@AFork.Process:function] is the name of the function if it is exported, or else its
 * object and offset.
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
  g_task_set_name (task, "[afork] process run");
  g_task_set_source_tag (task, afork_process_run_func_async);
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  if (!afork_object_describe ((gconstpointer) func, object, &offset))
    _afork_process_kill_with_error (self, AFORK_ERROR_FUNCTION,
                                    _("The function at %p is in no program or shared object with a "
                                      "build ID"),
                                    (void *) func);
  self->function = _afork_process_name_func ((gconstpointer) func);
  _afork_process_notify_function (self);
  if (_afork_process_set_run_task (self, task))
    _afork_client_run_func (self->client, object, offset, afork_process_get_title (self));
}

/**
 * afork_process_run_func_finish: (skip)
 * @self: a process
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [method@AFork.Process.run_func_async], and returns the socket.
 * Fails as [method@AFork.Process.run_finish] does. The error is also `AFORK_ERROR_FUNCTION` if the
 * process does not have the program or shared object that contains the function, or if that has no
 * build ID.
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

/* Execute a program. */

/**
 * afork_process_exec_async:
 * @self: a process that was not run
 * @argv: (array zero-terminated=1) (element-type filename): a program and its arguments, less than
 *   1 MiB in total; a program without a slash is looked up in the `PATH` of the process's
 *   environment; `/bin/sh` executes files in a format that the system does not know
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the program was executed, or when this has
 *   failed
 * @user_data: data for @callback
 *
 * Replaces the process by a program. The program has the environment, the working directory and the
 * mapped descriptors of the process. The other end of the connection is its standard input and
 * output, unless these were mapped. The program does not get queued items.
 *
 * Executing a program through a template costs the caller no more than a fork of the template,
 * independent of the caller's size.
 *
 * After this call, the process cannot be prepared any more. Cancelling the operation kills the
 * process. This works only with runtimes that can pass descriptors.
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
  g_task_set_name (task, "[afork] process exec");
  g_task_set_source_tag (task, afork_process_exec_async);
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  if (argv[0] == NULL)
    {
      _afork_process_kill_with_error (self, AFORK_ERROR_FAILED,
                                      _("There is no program to execute"));
    }
  else if (!afork_runtime_get_can_pass_fds (self->runtime))
    {
      g_autofree char *program = g_filename_display_name (argv[0]);

      _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                      _("“%s” cannot be executed by a process of the runtime “%s”"),
                                      program, afork_runtime_get_name (self->runtime));
    }
  if (_afork_process_set_run_task (self, task))
    _afork_client_exec (self->client, argv);
}

/**
 * afork_process_exec_finish:
 * @self: a process
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [method@AFork.Process.exec_async], and returns the socket that
 * is connected to the program. The program was executed, and may have exited since.
 *
 * Fails as [method@AFork.Process.run_finish] does, with `AFORK_ERROR_FAILED` if the array of
 * arguments is empty, and with `AFORK_ERROR_SPAWN` and the system's message if the program could
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
 * Does what [method@AFork.Process.exec_async] does, and blocks until the program was executed.
 * Fails as [method@AFork.Process.run] does if there are too few descriptors to wait with.
 *
 * Returns: (transfer full): a connection, or `NULL` on error, as with
 *   [method@AFork.Process.exec_finish]
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

/* Detach it for another caller. */

/**
 * afork_process_detach_async:
 * @self: a process that was not run
 * @cancellable: (nullable): a cancellable
 * @callback: (nullable) (scope async): what to call when the process can be taken over, or when
 *   this has failed
 * @user_data: data for @callback
 *
 * Detaches the process from this object, so that another program, or another thread of this one,
 * can take it over, and prepare, fork and run it; see [ctor@AFork.Process.new_from_fd]. The process
 * executes the queued commands first.
 *
 * After this call, @self cannot prepare or run the process. Its exit is still noticed, because its
 * template still reaps and reports it. Its living forks stay with @self, and their exit is reported
 * as well. Cancelling the operation kills the process.
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
  g_task_set_name (task, "[afork] process detach");
  g_task_set_source_tag (task, afork_process_detach_async);
  hold = _afork_process_hold_for_task (self, task);
  if (hold == NULL || !_afork_process_start_run (self, task))
    return;

  if (!afork_runtime_get_can_pass_fds (self->runtime))
    _afork_process_kill_with_error (self, AFORK_ERROR_NOT_SUPPORTED,
                                    _("A process of the runtime “%s” cannot be detached"),
                                    afork_runtime_get_name (self->runtime));
  if (_afork_process_set_run_task (self, task))
    _afork_client_detach (self->client);
}

/**
 * afork_process_detach_finish:
 * @self: a process
 * @result: the result that the callback got
 * @error: return location for an [error@AFork.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Finishes an operation started with [method@AFork.Process.detach_async], and returns a descriptor
 * with which the process can be taken over, once. This can be done in this program, or in another
 * process that gets the descriptor over a Unix socket, for example a worker that gets it by
 * [method@AFork.Process.send_fd]. When all copies of the descriptor are closed, the process exits.
 * Do not use the descriptor for anything else.
 *
 * Fails as [method@AFork.Process.run_finish] does, because the queued commands are executed first,
 * and with `AFORK_ERROR_NOT_SUPPORTED` if its runtime cannot pass descriptors.
 *
 * Returns: a descriptor, close-on-exec, which the caller must close, or -1 on error
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

  /* The caller owns it from now on. */
  _afork_fd_unregister (*fd);
  return *fd;
}

/**
 * afork_process_detach:
 * @self: a process that was not run
 * @cancellable: (nullable): a cancellable
 * @error: return location for an [error@AFork.Error] or a [error@Gio.IOErrorEnum]
 *
 * Does what [method@AFork.Process.detach_async] does, and blocks until the process can be taken
 * over. Fails as [method@AFork.Process.run] does if there are too few descriptors to wait with.
 *
 * Returns: a descriptor, close-on-exec, which the caller must close, or -1 on error, as with
 *   [method@AFork.Process.detach_finish]
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
