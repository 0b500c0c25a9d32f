/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The Python runtime for a caller in C. */

#include "config.h"

#include <string.h>

#include "test-util.h"

static const char code[] =
  "def describe(socket, *items):\n"
  "    socket.sendall(repr(items).encode())\n";

static AForkProcess *
new_python_process (void)
{
  AForkProcess *process = afork_process_new_for_runtime (afork_runtime_get_python ());

  return afork_process_eval (process, code, NULL);
}

static void
test_run (void)
{
  g_autoptr(AForkProcess) process = new_python_process ();
  g_autoptr(GBytes) bytes = g_bytes_new_static ("b\0", 2);

  afork_process_send_arg (process, "text");
  afork_process_send_bytes (process, bytes);
  assert_answer (process, "describe", "('text', b'b\\x00')");
}

static void
test_forks (void)
{
  g_autoptr(AForkProcess) template = new_python_process ();

  afork_process_send_arg (template, "both");
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);
      g_autofree char *own = g_strdup_printf ("%d", i);
      g_autofree char *expected = g_strdup_printf ("('both', '%d')", i);

      afork_process_send_arg (process, own);
      assert_answer (process, "describe", expected);
    }
}

/* Returns the signals that a program ignores and blocks which PROCESS executes. */
static char *
list_signals (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  char *output;
  const char *argv[] = { "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status", NULL };

  connection = afork_process_exec (process, argv, NULL, &error);
  g_assert_no_error (error);
  output = read_to_end (connection, NULL);
  await_end (process);
  assert_exit_status (process, 0);
  return output;
}

/* The interpreter ignores signals, and its programs do not. */
static void
test_signals (void)
{
  g_autoptr(AForkProcess) native = afork_process_new ();
  g_autoptr(AForkProcess) executed = new_python_process ();
  g_autoptr(AForkProcess) forked = afork_process_fork (executed);
  g_autofree char *expected = list_signals (native);
  g_autofree char *of_executed = list_signals (executed);
  g_autofree char *of_forked = list_signals (forked);

  g_assert_nonnull (strstr (expected, "SigIgn:"));
  g_assert_cmpstr (of_executed, ==, expected);
  g_assert_cmpstr (of_forked, ==, expected);
}

static void
test_errors (void)
{
  g_autoptr(AForkProcess) process = new_python_process ();
  g_autoptr(AForkProcess) broken = new_python_process ();

  expect_run_error (process, "nothing", AFORK_ERROR, AFORK_ERROR_FUNCTION, "“nothing”");
  afork_process_eval (broken, "raise KeyError('my key')", NULL);
  expect_run_error (broken, "describe", AFORK_ERROR, AFORK_ERROR_EVAL, "KeyError: 'my key'");
}

static void
test_executable (void)
{
  AForkRuntime *runtime = afork_runtime_get_python ();
  g_autofree char *executable = NULL;
  g_auto(GStrv) argv = afork_runtime_dup_argv (runtime);
  g_auto(GStrv) changed = NULL;
  g_autoptr(AForkProcess) process = NULL;

  g_assert_null (afork_runtime_dup_executable (runtime));
  g_assert_cmpuint (g_strv_length (argv), >=, 2);
  g_assert_true (g_str_has_suffix (argv[1], "afork-server.py"));

  /* This program is no Python. */
  g_assert_false (afork_runtime_set_interpreter (runtime, argv[0], NULL, NULL));
  afork_runtime_set_executable (runtime, "/no/such/python");
  executable = afork_runtime_dup_executable (runtime);
  g_assert_cmpstr (executable, ==, "/no/such/python");
  changed = afork_runtime_dup_argv (runtime);
  g_assert_cmpstr (changed[0], ==, "/no/such/python");
  process = new_python_process ();
  expect_run_error (process, "describe", AFORK_ERROR, AFORK_ERROR_SPAWN, "/no/such/python");
  afork_runtime_set_executable (runtime, NULL);
}

static void
skip (void)
{
  g_test_skip ("this build has no typelib, or one with a sanitizer, or Python has no PyGObject");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_getenv ("AFORK_TEST_PYTHON") == NULL)
    {
      g_test_add_func ("/python-runtime/skipped", skip);
      return g_test_run ();
    }

  add_test ("/python-runtime/run", test_run);
  add_test ("/python-runtime/forks", test_forks);
  add_test ("/python-runtime/signals", test_signals);
  add_test ("/python-runtime/errors", test_errors);
  add_test ("/python-runtime/executable", test_executable);

  return g_test_run ();
}
