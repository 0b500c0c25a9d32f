/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Data that a program has from elsewhere and hands on. If the library cannot use it, the process or
 * the call fails with an error. There is no warning, which would end this test. */

#include "config.h"

#include "test-rpc-util.h"

#include <signal.h>
#include <unistd.h>

static const char * const no_strings[] = { NULL };

/* Gives a process something that it cannot use. */
typedef void (*ReportFunc) (AForkProcess *process);

static void
send_negative_fd (AForkProcess *process)
{
  g_assert_true (afork_process_send_fd (process, -1) == process);
}

static void
send_closed_fd (AForkProcess *process)
{
  g_assert_true (afork_process_send_fd (process, G_MAXINT) == process);
}

static void
map_negative_fd (AForkProcess *process)
{
  g_assert_true (afork_process_map_fd (process, -1, 7) == process);
}

static void
map_to_negative (AForkProcess *process)
{
  g_assert_true (afork_process_map_fd (process, STDIN_FILENO, -1) == process);
}

static void
map_to_large (AForkProcess *process)
{
  g_assert_true (afork_process_map_fd (process, STDIN_FILENO, G_MAXINT) == process);
}

static void
set_nameless (AForkProcess *process)
{
  g_assert_true (afork_process_setenv (process, "", "value") == process);
}

static void
set_with_equals (AForkProcess *process)
{
  g_assert_true (afork_process_setenv (process, "NAME=X", "value") == process);
}

static void
unset_with_equals (AForkProcess *process)
{
  g_assert_true (afork_process_setenv (process, "N\xe4ME=", NULL) == process);
}

static void
change_to_nowhere (AForkProcess *process)
{
  g_assert_true (afork_process_chdir (process, "") == process);
}

static void
require_nothing (AForkProcess *process)
{
  g_assert_true (afork_process_require (process, "") == process);
}

static void
call_nothing (AForkProcess *process)
{
  g_assert_true (afork_process_call (process, "", no_strings) == process);
}

static void
undo_die_with_parent (AForkProcess *process)
{
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_set_die_with_parent (process, FALSE);
}

static const struct
{
  const char *name;
  ReportFunc    report;
  int         code;
} reports[] = {
  { "send-fd/negative", send_negative_fd, AFORK_ERROR_FAILED },
  { "send-fd/closed", send_closed_fd, AFORK_ERROR_FAILED },
  { "map-fd/negative", map_negative_fd, AFORK_ERROR_FAILED },
  { "map-fd/to-negative", map_to_negative, AFORK_ERROR_FAILED },
  { "map-fd/to-large", map_to_large, AFORK_ERROR_FAILED },
  { "setenv/empty", set_nameless, AFORK_ERROR_FAILED },
  { "setenv/equals", set_with_equals, AFORK_ERROR_FAILED },
  { "setenv/unset", unset_with_equals, AFORK_ERROR_FAILED },
  { "chdir/empty", change_to_nowhere, AFORK_ERROR_FAILED },
  { "require/empty", require_nothing, AFORK_ERROR_MODULE },
  { "call/empty", call_nothing, AFORK_ERROR_FUNCTION },
  { "die-with-parent/undone", undo_die_with_parent, AFORK_ERROR_FAILED },
};

typedef void (*HandOverFunc) (AForkProcess  *process,
                              GAsyncResult **result);

/* The process fails when it is run, executed or detached, and so does a fork of it. */
static void
check_prepare (gconstpointer data)
{
  const int code = reports[GPOINTER_TO_UINT (data)].code;
  static const char * const argv[] = { "true", NULL };
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(AForkProcess) run = afork_process_fork (template);
  g_autoptr(AForkProcess) executed = afork_process_fork (template);
  g_autoptr(AForkProcess) detached = afork_process_fork (template);
  g_autoptr(AForkProcess) forked = NULL;
  g_autoptr(GError) error = NULL;

  reports[GPOINTER_TO_UINT (data)].report (template);
  reports[GPOINTER_TO_UINT (data)].report (run);
  reports[GPOINTER_TO_UINT (data)].report (executed);
  reports[GPOINTER_TO_UINT (data)].report (detached);

  forked = afork_process_fork (template);
  expect_run_error (run, "function", AFORK_ERROR, code, NULL);
  expect_run_error (forked, "function", AFORK_ERROR, code, NULL);
  g_assert_null (afork_process_exec (executed, argv, NULL, &error));
  g_assert_error (error, AFORK_ERROR, code);
  g_clear_error (&error);
  g_assert_cmpint (afork_process_detach (detached, NULL, &error), ==, -1);
  g_assert_error (error, AFORK_ERROR, code);
  await_end (executed);
  await_end (detached);
}

static void
test_prepare (Census        *census,
              gconstpointer  data)
{
  check_prepare (data);
}

static void
test_exec (Census        *census,
           gconstpointer  data)
{
  static const char * const empty[] = { "", NULL };
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) waiting = afork_process_new ();
  g_autoptr(AForkProcess) unnamed = afork_process_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_process_exec (process, no_strings, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_error (&error);
  afork_process_exec_async (waiting, no_strings, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_process_exec_finish (waiting, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_error (&error);
  g_assert_null (afork_process_exec (unnamed, empty, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  await_end (process);
  await_end (waiting);
  await_end (unnamed);
}

static void
test_run_nothing (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  expect_run_error (process, "", AFORK_ERROR, AFORK_ERROR_FUNCTION, NULL);
}

/* Calls to a function without a name, which no module has. */
static void
test_call_nothing (Census        *census,
                   gconstpointer  data)
{
  static const char * const functions[] = { "", ":", "calls:" };

  for (gsize i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr(AForkRpc) rpc = new_rpc (functions[i]);
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;

      value = call (rpc, do_args ("number", 1), &error);
      g_assert_null (value);
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_FUNCTION, functions[i]);
      close_rpc_error (rpc, AFORK_ERROR_FUNCTION);
    }
}

/* A template that was run, which a program may not know yet. */
static void
test_template (Census        *census,
               gconstpointer  data)
{
  AForkRuntime *native = afork_runtime_get_native ();
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
  g_autoptr(AForkProcess) forked = NULL;

  afork_runtime_set_template (native, process);
  forked = afork_process_new ();
  expect_run_error (forked, "until_closed", AFORK_ERROR, AFORK_ERROR_CLOSED, "was run");
  afork_runtime_set_template (native, NULL);
  finish_process (process, connection);
}

static void
test_from_fd (Census        *census,
              gconstpointer  data)
{
  const int numbers[] = { -1, G_MININT, G_MAXINT };

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_from_fd (numbers[i]);

      g_assert_nonnull (process);
      expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_FAILED, NULL);
    }
}

/* A process that was run can be neither forked nor run. */
static void
test_after_run (Census        *census,
                gconstpointer  data)
{
  static const char * const argv[] = { "true", NULL };
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
  g_autoptr(AForkProcess) forked = afork_process_fork (process);
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (reports) - 1; i++)
    reports[i].report (process);
  expect_run_error (forked, "until_closed", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_null (afork_process_run (process, "until_closed", NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (afork_process_exec (process, argv, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_cmpint (afork_process_detach (process, NULL, &error), ==, -1);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);

  rpc = afork_rpc_new (process, "calls_do");
  value = call (rpc, do_args ("number", 1), &error);
  g_assert_null (value);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  finish_process (process, connection);
}

static void
test_runtime (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("empty", no_strings);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) later = NULL;

  expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_SPAWN, "has no command");
  afork_runtime_set_argv (runtime, no_strings);
  later = afork_process_new_for_runtime (runtime);
  expect_run_error (later, "function", AFORK_ERROR, AFORK_ERROR_SPAWN, "has no command");
}

static void
test_signals (Census        *census,
              gconstpointer  data)
{
  static const int numbers[] = { G_MININT, -1, 0, 65, G_MAXINT };
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    afork_process_send_signal (process, numbers[i]);
  g_object_unref (run_process_ok (process, "until_closed"));
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_calls (Census        *census,
            gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("number", 7));
  g_autoptr(GBytes) blob = g_bytes_new_static ("blob", 4);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  afork_rpc_set_max_in_flight (rpc, 0);
  g_assert_cmpuint (afork_rpc_get_max_in_flight (rpc), ==, 1);
  afork_rpc_set_max_in_flight (rpc, G_MAXUINT);
  g_assert_cmpuint (afork_rpc_get_max_in_flight (rpc), ==, G_MAXUINT16);

  value = run_job (rpc, job, &error);
  g_assert_no_error (error);
  assert_uint32 (value, 7);
  afork_job_set_timeout (job, 1);
  g_assert_cmpuint (afork_job_get_timeout (job), ==, 0);
  afork_job_set_fds (job, NULL);
  g_assert_cmpuint (afork_job_add_blob (job, blob), ==, G_MAXUINT);
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (reports); i++)
    {
      g_autofree char *path = g_strconcat ("/bad-data/prepare/", reports[i].name, NULL);

      add_with_data (path, GUINT_TO_POINTER (i), test_prepare);
    }
  add_with_census ("/bad-data/exec", test_exec);
  add_with_census ("/bad-data/run", test_run_nothing);
  add_with_census ("/bad-data/call-nothing", test_call_nothing);
  add_with_census ("/bad-data/template", test_template);
  add_with_census ("/bad-data/from-fd", test_from_fd);
  add_with_census ("/bad-data/after-run", test_after_run);
  add_with_census ("/bad-data/runtime", test_runtime);
  add_with_census ("/bad-data/signals", test_signals);
  add_with_census ("/bad-data/calls", test_calls);

  return g_test_run ();
}
