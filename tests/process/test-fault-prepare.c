/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Commands for a process that fail. */

#include "config.h"

#include "test-fault-util.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <unistd.h>

typedef struct
{
  const char *path;
  void      (*prepare) (AForkProcess *process);
  const char *function;
  int         code;
  const char *text;
  int         status;           /* the exit status of the process, or -1 if it is killed */
} Case;

/* afork-server exits with this plus a number for each kind of error. */
enum
{
  EXIT_FAILED = 110,
  EXIT_MODULE = 112,
  EXIT_FUNCTION = 114,
  EXIT_NOT_SUPPORTED = 117,
};

enum { MIB = 1024 * 1024, NO_FD = 19999 };

static char *no_module;         /* a file that is not a shared object */

/* Modules. */

static void
require_missing_path (AForkProcess *process)
{
  afork_process_require (process, "/afork/no-such-module.so");
}

static void
require_missing_name (AForkProcess *process)
{
  afork_process_require (process, "no-such-module");
}

static void
require_no_module (AForkProcess *process)
{
  afork_process_require (process, no_module);
}

static void
require_folder (AForkProcess *process)
{
  afork_process_require (process, "/tmp/");
}

static void
require_nothing (AForkProcess *process)
{
  afork_process_require (process, "");
}

static void
require_undefined (AForkProcess *process)
{
  afork_process_require (process, "undefined");
}

static void
require_twice (AForkProcess *process)
{
  afork_process_require (process, "no-such-module");
  afork_process_require (process, "another-missing-module");
}

/* As long as a command may be. The message of the server is shorter. */
static void
require_longest (AForkProcess *process)
{
  g_autofree char *name = g_strnfill (MIB - 5, 'x');

  afork_process_require (process, name);
}

static void
require_too_long (AForkProcess *process)
{
  g_autofree char *name = g_strnfill (MIB - 4, 'x');

  afork_process_require (process, name);
}

/* Symbols. */

static void
require_nothing_at_all (AForkProcess *process)
{
}

static void
require_faults (AForkProcess *process)
{
  afork_process_require (process, "echo");
  afork_process_require (process, "faults");
}

static void
call_missing (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "no_such_function", STRV ("argument"));
}

static void
call_of_libc (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "system", STRV ("true"));
}

static void
call_of_other_module (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "echo:call_exit", STRV ("3"));
}

/* Functions that are called. */

static void
call_exit_0 (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "call_exit", STRV ("0"));
}

static void
call_exit_3 (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "call_exit", STRV ("3"));
}

static void
call_signal (AForkProcess *process,
             int           signal)
{
  g_autofree char *text = g_strdup_printf ("%d", signal);

  require_faults (process);
  afork_process_call (process, "call_signal", STRV (text));
}

static void
call_segv (AForkProcess *process)
{
  call_signal (process, SIGSEGV);
}

static void
call_abort (AForkProcess *process)
{
  call_signal (process, SIGABRT);
}

static void
call_kill (AForkProcess *process)
{
  call_signal (process, SIGKILL);
}

static void
call_close (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "call_close", NULL);
}

static void
call_garbage (AForkProcess *process)
{
  require_faults (process);
  afork_process_call (process, "call_garbage", NULL);
}

/* Other commands. */

static void
eval_without_plugin (AForkProcess *process)
{
  afork_process_setenv (process, "AFORK_EVAL", "/afork/no-such-plugin.so");
  afork_process_eval (process, "int nothing;", NULL);
}

static void
chdir_missing (AForkProcess *process)
{
  afork_process_chdir (process, "/afork/no-such-folder");
}

static void
setenv_too_long (AForkProcess *process)
{
  g_autofree char *value = g_strnfill (MIB, 'x');

  afork_process_setenv (process, "NAME", value);
}

static void
call_too_long (AForkProcess *process)
{
  g_auto(GStrv) args = g_new0 (char *, 200001);

  for (guint i = 0; i < 200000; i++)
    args[i] = g_strdup ("x");
  require_faults (process);
  afork_process_call (process, "call_exit", (const char * const *) args);
}

static void
title_too_long (AForkProcess *process)
{
  g_autofree char *title = g_strnfill (MIB, 'x');

  afork_process_set_title (process, title);
}

static void
send_no_fd (AForkProcess *process)
{
  afork_process_send_fd (process, NO_FD);
}

static void
map_no_fd (AForkProcess *process)
{
  afork_process_map_fd (process, NO_FD, 5);
}

static void
map_too_high (AForkProcess *process)
{
  afork_process_map_fd (process, STDERR_FILENO, G_MAXINT);
}

/* Commands after the first failure are not done, and have no effect. */
static void
fail_first (AForkProcess *process)
{
  chdir_missing (process);
  call_exit_3 (process);
  require_missing_name (process);
}

static const Case cases[] = {
  { "require/missing-path", require_missing_path, "f", AFORK_ERROR_MODULE,
    "/afork/no-such-module.so: cannot open shared object file: No such file or directory",
    EXIT_MODULE },
  { "require/missing-name", require_missing_name, "f", AFORK_ERROR_MODULE,
    "no-such-module.so: cannot open shared object file", EXIT_MODULE },
  { "require/no-module", require_no_module, "f", AFORK_ERROR_MODULE, "invalid ELF header",
    EXIT_MODULE },
  { "require/folder", require_folder, "f", AFORK_ERROR_MODULE, "/tmp/", EXIT_MODULE },
  { "require/nothing", require_nothing, "f", AFORK_ERROR_MODULE, "Module “”", EXIT_MODULE },
  { "require/undefined", require_undefined, "f", AFORK_ERROR_MODULE,
    "undefined symbol: nobody_has_this", EXIT_MODULE },
  { "require/twice", require_twice, "f", AFORK_ERROR_MODULE, "no-such-module", EXIT_MODULE },
  { "require/longest", require_longest, "f", AFORK_ERROR_MODULE, "Module “xxx", EXIT_MODULE },
  { "require/too-long", require_too_long, "f", AFORK_ERROR_FAILED,
    "REQUIRE is longer than the 1048576 bytes", -1 },

  { "function/without-module", require_nothing_at_all, "f", AFORK_ERROR_FUNCTION,
    "“f”, because no module has been loaded", EXIT_FUNCTION },
  { "function/missing", require_faults, "no_such_function", AFORK_ERROR_FUNCTION,
    "“no_such_function”", EXIT_FUNCTION },
  { "function/of-other-module", require_faults, "echo:run_return", AFORK_ERROR_FUNCTION,
    "“echo:run_return”", EXIT_FUNCTION },
  { "function/of-missing-module", require_faults, "ech:echo", AFORK_ERROR_FUNCTION,
    "no module “ech”", EXIT_FUNCTION },
  { "function/of-libc", require_faults, "system", AFORK_ERROR_FUNCTION, "“system”",
    EXIT_FUNCTION },
  { "function/of-libc-by-module", require_faults, "faults:exit", AFORK_ERROR_FUNCTION,
    "“faults:exit”", EXIT_FUNCTION },
  { "function/hidden", require_faults, "hang", AFORK_ERROR_FUNCTION, "“hang”", EXIT_FUNCTION },
  { "function/nothing", require_faults, "", AFORK_ERROR_FUNCTION, "“”", EXIT_FUNCTION },
  { "function/only-module", require_faults, "faults:", AFORK_ERROR_FUNCTION, "“faults:”",
    EXIT_FUNCTION },
  { "call/missing", call_missing, "echo", AFORK_ERROR_FUNCTION, "“no_such_function”",
    EXIT_FUNCTION },
  { "call/of-libc", call_of_libc, "echo", AFORK_ERROR_FUNCTION, "“system”", EXIT_FUNCTION },
  { "call/of-other-module", call_of_other_module, "echo", AFORK_ERROR_FUNCTION,
    "“echo:call_exit”", EXIT_FUNCTION },

  { "call/exit-0", call_exit_0, "echo", AFORK_ERROR_EXITED, "exited with status 0", 0 },
  { "call/exit-3", call_exit_3, "echo", AFORK_ERROR_EXITED, "exited with status 3", 3 },
  { "call/segv", call_segv, "echo", AFORK_ERROR_SIGNALED, "signal 11", -1 },
  { "call/abort", call_abort, "echo", AFORK_ERROR_SIGNALED, "signal 6", -1 },
  { "call/kill", call_kill, "echo", AFORK_ERROR_SIGNALED, "signal 9", -1 },
  { "call/too-long", call_too_long, "echo", AFORK_ERROR_FAILED, "CALL is longer than", -1 },
  { "call/garbage", call_garbage, "echo", AFORK_ERROR_PROTOCOL, "protocol", -1 },

  { "eval/without-plugin", eval_without_plugin, "f", AFORK_ERROR_NOT_SUPPORTED,
    "/afork/no-such-plugin.so: cannot open shared object file", EXIT_NOT_SUPPORTED },
  { "chdir", chdir_missing, "f", AFORK_ERROR_FAILED,
    "“/afork/no-such-folder”: No such file or directory", EXIT_FAILED },
  { "setenv/too-long", setenv_too_long, "f", AFORK_ERROR_FAILED, "SETENV is longer than", -1 },
  { "title/too-long", title_too_long, "f", AFORK_ERROR_FAILED, "TITLE is longer than", -1 },
  { "send-fd/closed", send_no_fd, "f", AFORK_ERROR_FAILED,
    "Descriptor 19999 cannot be sent: Bad file descriptor", -1 },
  { "map-fd/closed", map_no_fd, "f", AFORK_ERROR_FAILED,
    "Descriptor 19999 cannot be sent: Bad file descriptor", -1 },
  { "map-fd/too-high", map_too_high, "f", AFORK_ERROR_FAILED,
    "could not be mapped to 2147483647: Too many open files", EXIT_FAILED },
  { "first", fail_first, "f", AFORK_ERROR_FAILED, "/afork/no-such-folder",
    EXIT_FAILED },
};

/* The process fails with this error, exits, and later operations fail with the same error. */
static void
expect (const Case   *self,
        AForkProcess *process)
{
  Outcome waited = { 0 };

  expect_run_error (process, self->function, AFORK_ERROR, self->code, self->text);
  if (self->status >= 0)
    assert_exit_status (process, self->status);

  afork_process_wait_async (process, NULL, outcome_wait_cb, &waited);
  outcome_await (&waited);
  outcome_clear (&waited);
  expect_run_error (process, "again", AFORK_ERROR, AFORK_ERROR_CLOSED, "already been started");
}

static void
test_new (Census        *census,
          gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = afork_process_new ();

  self->prepare (process);
  expect (self, process);
}

static void
test_exec (Census        *census,
           gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  self->prepare (process);
  expect (self, process);
}

/* If a queued command of a process fails, all its forks fail, too, whether they existed at that
 * time or not. */
static void
test_template (Census        *census,
               gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) early = NULL;
  g_autoptr(AForkProcess) late = NULL;

  self->prepare (process);
  early = afork_process_fork (process);
  expect_run_error (early, self->function, AFORK_ERROR, self->code, self->text);
  late = afork_process_fork (process);
  expect_run_error (late, self->function, AFORK_ERROR, self->code, self->text);
}

/* This is also so for processes of a runtime that cannot fork. A command that is refused here is
 * not sent to the program. */
static void
test_command (Census        *census,
              gconstpointer  data)
{
  const Case *self = data;
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = g_object_new (AFORK_TYPE_RUNTIME,
                                                  "name", "command",
                                                  "argv", argv,
                                                  "can-pass-fds", TRUE,
                                                  NULL);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;

  self->prepare (process);
  fork = afork_process_fork (process);
  expect (self, process);
  expect_run_error (fork, self->function, AFORK_ERROR, self->code, self->text);
}

/* A command that is refused here makes the process exit at once. */
static void
test_refused_at_once (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  send_no_fd (process);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_FAILED, "Bad file descriptor");
}

/* The default template cannot be prepared: this is tried again each time. */
static void
test_default_template (Census        *census,
                       gconstpointer  data)
{
  AForkProcess *template = afork_runtime_get_template (afork_runtime_get_native ());

  afork_process_require (template, "no-such-module");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();

      expect_run_error (process, "f", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
    }

  afork_runtime_set_template (afork_runtime_get_native (), NULL);
}

/* A function that is called and does not return: cancelling kills the process. */
static void
expect_hang_ends (AForkProcess *process)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };
  int reading, writing;

  open_pipe (&reading, &writing);
  require_faults (process);
  afork_process_map_fd (process, writing, 20);
  afork_process_call (process, "call_notify", STRV ("20", "x"));
  afork_process_call (process, "call_hang", NULL);
  afork_process_run_async (process, "echo", cancellable, outcome_run_cb, &outcome);
  await_readable (reading);
  g_assert_cmpuint (outcome.n_calls, ==, 0);

  g_cancellable_cancel (cancellable);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  close_fd (&reading);
  close_fd (&writing);
}

static void
test_hang_new (Census        *census,
               gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  expect_hang_ends (process);
}

static void
test_hang_exec (Census        *census,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  expect_hang_ends (process);
}

/* The socket is closed, and the process notices this only when it reads. */
static void
test_close (Census        *census,
            gconstpointer  data)
{
  g_autoptr(AForkProcess) process = data != NULL ? afork_process_new_exec (NULL)
                                                 : afork_process_new ();
  g_autoptr(GError) error = NULL;

  call_close (process);
  g_assert_null (run_process (process, "echo", &error));
  g_test_message ("%s", error->message);
  if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SIGNALED))
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
  await_end (process);
}

/* This is also so if the process has forks, on which it can no longer report. */
static void
test_close_template (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = NULL;

  afork_process_require (fork, "echo");
  connection = run_process_ok (fork, "echo");
  call_close (template);
  await_end (template);

  g_assert_cmpint (afork_process_get_state (fork), ==, AFORK_PROCESS_STATE_RUNNING);
  g_clear_object (&connection);
  await_end (fork);
}

/* It exits, but has left a process behind that keeps its socket. */
static void
test_daemon (Census        *census,
             gconstpointer  data)
{
  g_autoptr(AForkProcess) process = data != NULL ? afork_process_new_exec (NULL)
                                                 : afork_process_new ();
  int reading, writing;

  open_pipe (&reading, &writing);
  require_faults (process);
  afork_process_map_fd (process, reading, 20);
  afork_process_call (process, "call_daemon", STRV ("20", "4"));
  expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_EXITED, "status 4");
  assert_exit_status (process, 4);
  close_fd (&writing);
  close_fd (&reading);
}

/* A fork of a process that fails is a process of its own once it is made, and the other process
 * stays as its parent. A fork that was not made by then fails without a wait for that. */
static void
test_fork_survives (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(AForkProcess) late = NULL;

  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  chdir_missing (process);
  late = afork_process_fork (process);
  expect_run_error (late, "f", AFORK_ERROR, AFORK_ERROR_FAILED, "/afork/no-such-folder");
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_PREPARING);
  assert_echoes (fork);
  await_end (process);
  assert_exit_status (process, EXIT_FAILED);
}

static void
add_cases (const char  *name,
           void       (*test) (Census        *census,
                               gconstpointer  data))
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/fault/prepare/%s/%s", name, cases[i].path);

      fault_add_with_data (path, &cases[i], test);
    }
}

static void
add_fresh (const char  *path,
           void       (*test) (Census        *census,
                               gconstpointer  data))
{
  g_autofree char *exec_path = g_strconcat (path, "/exec", NULL);
  g_autofree char *new_path = g_strconcat (path, "/new", NULL);

  fault_add (new_path, test);
  fault_add_with_data (exec_path, "fresh", test);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;
  int fd;

  g_test_init (&argc, &argv, NULL);
  fd = g_file_open_tmp ("afork-test-XXXXXX.so", &no_module, &error);
  g_assert_no_error (error);
  close_fd (&fd);
  g_file_set_contents (no_module,
                       "This is text, and long enough to be looked at: it takes 64 bytes.", -1,
                       &error);
  g_assert_no_error (error);

  add_cases ("new", test_new);
  add_cases ("exec", test_exec);
  add_cases ("template", test_template);
  add_cases ("command", test_command);
  fault_add ("/fault/prepare/refused-at-once", test_refused_at_once);
  fault_add ("/fault/prepare/default-template", test_default_template);
  fault_add ("/fault/prepare/fork-survives", test_fork_survives);
  fault_add ("/fault/prepare/hang/new", test_hang_new);
  fault_add ("/fault/prepare/hang/exec", test_hang_exec);
  add_fresh ("/fault/prepare/close", test_close);
  fault_add ("/fault/prepare/close/template", test_close_template);
  add_fresh ("/fault/prepare/daemon", test_daemon);
  status = g_test_run ();

  g_assert_no_errno (g_unlink (no_module));
  g_free (no_module);
  return status;
}
