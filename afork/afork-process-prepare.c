/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The functions that prepare a process before it is run. */

#include "config.h"

#include "afork-process.h"
#include "afork-process-private.h"

#include <fcntl.h>
#include <string.h>

#include "afork-error.h"
#include "afork-runtime.h"
#include "afork-runtime-private.h"
#include "afork-sandbox-private.h"
#include "base/fd.h"
#include "base/i18n.h"

/* Longer items are referenced instead of copied. */
enum { MAX_COPIED_ITEM = 4096 };

/* Fails the process, because the caller asked for something impossible. Takes ERROR. */
static AForkProcess *
refuse (AForkProcess *self,
        GError       *error)
{
  g_autoptr(AForkHold) hold = _afork_process_hold_or_warn (self);
  g_autoptr(GError) owned = error;

  if (hold != NULL)
    _afork_process_fail_command (self, owned);
  return self;
}

static AForkProcess *
send_string (AForkProcess   *self,
             AForkFrameKind  kind,
             const char     *string)
{
  const AForkFrame frame = { .kind = kind, .string = { string } };

  return _afork_process_send_command (self, &frame, -1);
}

static AForkProcess *
send_call_command (AForkProcess       *self,
                   AForkFrameKind      kind,
                   const char         *string,
                   const char * const *args)
{
  AForkFrame frame = { .kind = kind, .string = { string } };
  g_autofree G_GNUC_UNUSED guint8 *bytes = _afork_client_pack_strings (args, &frame.strings);

  return _afork_process_send_command (self, &frame, -1);
}

/* Sends a copy of FD with FRAME. */
static AForkProcess *
send_fd_command (AForkProcess     *self,
                 const AForkFrame *frame,
                 int               fd)
{
  g_autoptr(AForkHold) hold = _afork_process_hold_or_warn (self);
  g_autoptr(GError) error = NULL;
  int copy = -1;

  if (hold == NULL)
    return self;

  /* The copy must not be 0, 1 or 2, even if the caller has closed these. */
  if (!afork_runtime_get_can_pass_fds (self->runtime))
    error = g_error_new (AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                         _("Descriptor %d cannot be sent to a process of the runtime “%s”"),
                         fd, afork_runtime_get_name (self->runtime));
  else if ((copy = _afork_fd_dup (fd)) < 0)
    error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED, _("Descriptor %d cannot be sent: %s"),
                         fd, g_strerror (errno));
  if (error != NULL)
    {
      _afork_process_fail_command (self, error);
      return self;
    }

  return _afork_process_send_command (self, frame, _afork_fd_register (copy));
}

/* Queues an item without copying it. */
static AForkProcess *
send_item (AForkProcess *self,
           GBytes       *bytes)
{
  g_autoptr(AForkHold) hold = _afork_process_hold_or_warn (self);

  if (hold == NULL)
    return self;

  _afork_process_log_item (self, bytes);
  _afork_process_discard_spare_forks (self);
  if (_afork_process_is_started (self) && _afork_client_get_failure (self->client) == NULL)
    _afork_client_send_item (self->client, bytes);
  return self;
}

/**
 * afork_process_require:
 * @self: a process that was not run
 * @module: (type filename): a module; for the native runtime, the path of a shared object, or a
 *   name without a slash, which is looked up as `NAME.so` in the directories of
 *   [property@AFork.Runtime:module-path], in those of the process's environment variable
 *   `AFORK_MODULE_PATH`, separated by colons, and in the directory of installed modules
 *
 * Loads a module. If that fails, the process fails with `AFORK_ERROR_MODULE`.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_require (AForkProcess *self,
                       const char   *module)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (module != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  return send_string (self, AFORK_FRAME_REQUIRE, module);
}

/**
 * afork_process_require_file:
 * @self: a process that was not run
 * @file: a file of this host with a path: for the native runtime a shared object, for those of
 *   Python and JavaScript a source file. It must not change until the process has loaded it
 *
 * Loads a module from a file. A process on this host opens the file itself, by its absolute path.
 *
 * If the process is on another host, the file is copied there, unless that host has it already by
 * its SHA-256. It is kept in the cache of the user there, in the directory `afork-1/modules` of
 * `XDG_CACHE_HOME`, or else of `~/.cache`, which the command makes. It is compared with the SHA-256
 * before it is loaded, each time, and replaced if it is not the same. A copy that was not used for
 * 30 days is deleted when another file is copied. The libraries that a shared object needs are not
 * copied. A process beside this program reads the file, so this program never waits for a disk, and
 * neither side keeps the content in memory, whatever its size.
 *
 * In the names of functions, `MODULE:NAME`, the module has the name by which
 * [method@AFork.Process.require] would find the file in a directory of modules: `thumbnail` for
 * `thumbnail.so` and `thumbnail.py`, and `thumbnail.js`.
 *
 * As each command, this is done after those before it, when the process comes to it, and again for
 * a process that is made by [method@AFork.Process.recreate]. Forks of a process that has loaded the
 * module have it, too.
 *
 * The process fails with `AFORK_ERROR_MODULE`, and the message says why, if the file cannot be read
 * or is not a regular file, if it is not what the runtime can load, if it has changed while it was
 * copied, if it is a shared object for another machine than the host, if no file can be kept there,
 * or if the cache there could be changed by other users. It fails with `AFORK_ERROR_NOT_SUPPORTED`
 * if @file has no path, as most files have that are not on this host.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_require_file (AForkProcess *self,
                            GFile        *file)
{
  AForkFrame frame = { .kind = AFORK_FRAME_REQUIRE_FILE };
  g_autofree char *name = NULL;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (G_IS_FILE (file), self);
  if (!_afork_process_may_prepare (self))
    return self;

  if (g_file_peek_path (file) == NULL)
    {
      g_autofree char *shown = g_file_get_parse_name (file);

      return refuse (self, g_error_new (AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                                        _("“%s” cannot be loaded, because it has no path"), shown));
    }

  name = g_file_get_basename (file);
  frame.string[0] = g_file_peek_path (file);
  frame.string[1] = name;
  return _afork_process_send_command (self, &frame, -1);
}

/**
 * afork_process_eval:
 * @self: a process that was not run
 * @code: source code in the runtime's language, in UTF-8; for the native runtime, a translation
 *   unit in C
 * @args: (nullable) (array zero-terminated=1) (element-type filename): strings for the code, in any
 *   encoding, or `NULL` for none
 *
 * Compiles source code in the process and runs it. Forks of the process that are made later have
 * the results as well.
 *
 * In C, if the code defines a function `afork_eval_init`, an `AForkInitFunc`, the function is
 * called with @args. The functions that the code defines can be called and run like those of a
 * module that was loaded. See [Code in C](code-in-c.html).
 *
 * If the code cannot be compiled, or if there are @args and no function that takes them, the
 * process fails with `AFORK_ERROR_EVAL`, and the message contains the output of the compiler. It
 * fails with `AFORK_ERROR_NOT_SUPPORTED` if its runtime cannot evaluate code. The native runtime
 * needs a plugin for this, which not all builds have.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_eval (AForkProcess       *self,
                    const char         *code,
                    const char * const *args)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (code != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  return send_call_command (self, AFORK_FRAME_EVAL, code, args);
}

/**
 * afork_process_call:
 * @self: a process that was not run
 * @function: a function of a module that was loaded, or of code that was evaluated: its name, which
 *   is looked up in the newest module first; or `MODULE:NAME`, with the module as it was given to
 *   [method@AFork.Process.require]
 * @args: (nullable) (array zero-terminated=1) (element-type filename): strings for the function, in
 *   any encoding, or `NULL` for none
 *
 * Calls a function that prepares the process, in C an `AForkInitFunc`. If there is no such
 * function, the process fails with `AFORK_ERROR_FUNCTION`.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_call (AForkProcess       *self,
                    const char         *function,
                    const char * const *args)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (function != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  return send_call_command (self, AFORK_FRAME_CALL, function, args);
}

/**
 * afork_process_send_arg:
 * @self: a process that was not run
 * @arg: (type filename): a string, in any encoding
 *
 * Queues a string as an item for the function that will run.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_send_arg (AForkProcess *self,
                        const char   *arg)
{
  AForkFrame frame = { .kind = AFORK_FRAME_ITEM_BYTES, .flags = AFORK_FRAME_STRING };
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(GBytes) bytes = NULL;
  gsize size;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (arg != NULL, self);
  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL || !_afork_process_may_prepare (self))
    return self;

  size = strlen (arg);
  if (size <= MAX_COPIED_ITEM)
    {
      frame.bytes = (const guint8 *) arg;
      frame.n_bytes = size;
      return _afork_process_send_command (self, &frame, -1);
    }

  /* The first frame is empty, and the others are those of bytes. */
  frame.flags |= AFORK_FRAME_MORE;
  _afork_process_send_command (self, &frame, -1);
  bytes = g_bytes_new (arg, size);
  return send_item (self, bytes);
}

/**
 * afork_process_send_bytes:
 * @self: a process that was not run
 * @bytes: any bytes; the size is limited only by the memory of both processes
 *
 * Queues bytes as one item for the function that will run. Large items are not copied: the object
 * holds a reference to @bytes until they have been sent, and longer for
 * [method@AFork.Process.recreate] if they are not too large for that.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_send_bytes (AForkProcess *self,
                          GBytes       *bytes)
{
  AForkFrame frame = { .kind = AFORK_FRAME_ITEM_BYTES };

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (bytes != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  frame.bytes = g_bytes_get_data (bytes, &frame.n_bytes);
  if (frame.n_bytes <= MAX_COPIED_ITEM)
    return _afork_process_send_command (self, &frame, -1);

  return send_item (self, bytes);
}

/**
 * afork_process_send_fd:
 * @self: a process that was not run
 * @fd: an open descriptor, from 0; the caller keeps it, and may close it at once
 *
 * Queues a copy of a descriptor as an item for the function that will run. Any number of
 * descriptors can be queued. In the process they are close-on-exec.
 *
 * The process fails with `AFORK_ERROR_FAILED` if @fd is not open or this program has too few
 * descriptors, with `AFORK_ERROR_SPAWN` if the process has too few descriptors, and with
 * `AFORK_ERROR_NOT_SUPPORTED` if the runtime cannot pass descriptors.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_send_fd (AForkProcess *self,
                       int           fd)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_ITEM_FDS, .n_fds = 1 };

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  if (!_afork_process_may_prepare (self))
    return self;

  return send_fd_command (self, &frame, fd);
}

/**
 * afork_process_setenv:
 * @self: a process that was not run
 * @name: (type filename): the name of a variable, not empty and without `=`
 * @value: (type filename) (nullable): its value, or `NULL` to unset it
 *
 * Sets an environment variable in the process. If @name is not a valid name, the process fails with
 * `AFORK_ERROR_FAILED`.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_setenv (AForkProcess *self,
                      const char   *name,
                      const char   *value)
{
  AForkFrame frame = { .kind = AFORK_FRAME_SETENV, .string = { name, value } };

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (name != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  if (*name == '\0' || strchr (name, '=') != NULL)
    {
      g_autofree char *shown = g_filename_display_name (name);

      return refuse (self, g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                                        _("“%s” cannot be the name of an environment variable"),
                                        shown));
    }

  if (value == NULL)
    frame.kind = AFORK_FRAME_UNSETENV;
  return _afork_process_send_command (self, &frame, -1);
}

/**
 * afork_process_chdir:
 * @self: a process that was not run
 * @path: (type filename): the path of a directory, as the process sees it
 *
 * Changes the process's working directory. If that fails, the process fails with
 * `AFORK_ERROR_FAILED`.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_chdir (AForkProcess *self,
                     const char   *path)
{
  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (path != NULL, self);
  if (!_afork_process_may_prepare (self))
    return self;

  return send_string (self, AFORK_FRAME_CHDIR, path);
}

/**
 * afork_process_map_fd:
 * @self: a process that was not run
 * @fd: an open descriptor, from 0; the caller keeps it, and may close it at once
 * @target: the number of the copy in the process: 0, 1, 2, or a number that neither a module of the
 *   process uses nor, in a template of the program, the program; in a process that was executed,
 *   numbers less than 60 are safe
 *
 * Copies a descriptor to the given number in the process, and closes what has that number there.
 * The descriptor is not an item, and programs that the worker executes inherit it. The process
 * fails as with [method@AFork.Process.send_fd], and with `AFORK_ERROR_FAILED` if @target is over
 * the limit of descriptors, or if a main context of the process uses that number.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_map_fd (AForkProcess *self,
                      int           fd,
                      int           target)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_MAP_FD,
    .n_fds = 1,
    .number = { (guint32) target },
  };

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  if (!_afork_process_may_prepare (self))
    return self;
  if (target < 0)
    return refuse (self, g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                                      _("A descriptor cannot have the number %d"), target));

  return send_fd_command (self, &frame, fd);
}

/**
 * afork_process_restrict:
 * @self: a process that was not run
 * @sandbox: what the process may do; it may be changed afterwards
 *
 * Restricts the process, and its forks that are made later, to what @sandbox allows. As each
 * command, this is done after those before it and before those after it.
 *
 * - The network, new programs, and what only administers a system are refused from then on.
 * - Limits, paths, priorities, and the system calls of [enum@AFork.SystemCalls.compute] apply from
 *   the moment in which the process, or a fork of it, is run. Until then, it must be able to load
 *   modules and to be forked. A function that [method@AFork.Process.call] calls is not bound by
 *   these.
 *
 * A process can be restricted several times, and may then do what all sandboxes allow. Nothing
 * takes a restriction back.
 *
 * If something that @sandbox asks for cannot be had, the process fails with `AFORK_ERROR_SANDBOX`,
 * unless [property@AFork.Sandbox:best-effort] is set; the message names what cannot be had, and for
 * each layer why not. A process that may make only system calls of
 * [enum@AFork.SystemCalls.compute] fails in the same way if it is to execute a program, and so does
 * one whose sandbox has too many paths.
 *
 * Returns: (transfer none): @self
 *
 * Since: 0.1
 */
AForkProcess *
afork_process_restrict (AForkProcess *self,
                        AForkSandbox *sandbox)
{
  AForkFrame frame = { .kind = AFORK_FRAME_RESTRICT };
  g_autoptr(AForkHold) hold = NULL;
  g_autoptr(AForkLimits) limits = NULL;
  g_autoptr(AForkLimits) old = NULL;
  g_autoptr(GBytes) bytes = NULL;
  GError *error = NULL;

  g_return_val_if_fail (AFORK_IS_PROCESS (self), NULL);
  g_return_val_if_fail (AFORK_IS_SANDBOX (sandbox), self);
  hold = _afork_process_hold_or_warn (self);
  if (hold == NULL || !_afork_process_may_prepare (self))
    return self;

  bytes = _afork_sandbox_describe (sandbox, _afork_runtime_can_limit_address_space (self->runtime),
                                   &error);
  if (bytes == NULL)
    return refuse (self, error);

  limits = _afork_sandbox_dup_limits (sandbox);
  old = g_steal_pointer (&self->limits);
  self->limits = _afork_limits_merge (old, limits);
  frame.bytes = g_bytes_get_data (bytes, &frame.n_bytes);
  return _afork_process_send_command (self, &frame, -1);
}
