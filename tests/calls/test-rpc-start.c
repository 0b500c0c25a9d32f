/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that begin to serve calls, or cannot: the init-function and its effects, and processes
 * that cannot be started. */

#include <signal.h>
#include <string.h>

#include "test-rpc-util.h"

enum { N_CALLS = 1000 };

/* Calls that are made before this is known, and later ones, fail with this error, and so does
 * closing. Nothing else is notified. */
static void
check_refusal (AForkRpc   *rpc,
               GString    *log,
               GQuark      domain,
               int         code,
               const char *text)
{
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, N_CALLS);
  g_autoptr(GAsyncResult) later = NULL;
  g_autoptr(GAsyncResult) closed = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < N_CALLS; i++)
    afork_rpc_call_async (rpc, g_variant_new_string ("e1 r2"), NULL, store_result_cb, &results[i]);
  for (guint i = 0; i < N_CALLS; i++)
    expect_error (rpc, &results[i], domain, code, text);
  afork_rpc_call_async (rpc, g_variant_new_string ("e1 r2"), NULL, store_result_cb, &later);
  expect_error (rpc, &later, domain, code, text);
  await_text (log, "closed ");
  g_assert_true (g_str_has_suffix (log->str, "closed "));

  afork_rpc_call_async (rpc, g_variant_new_string ("e1 r2"), NULL, store_result_cb, &later);
  expect_error (rpc, &later, domain, code, text);
  g_assert_null (afork_rpc_call (rpc, g_variant_new_string ("e1 r2"), NULL, &error));
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, text));
  g_clear_error (&error);

  afork_rpc_close_async (rpc, NULL, store_result_cb, &closed);
  await_result (&closed);
  g_assert_false (afork_rpc_close_finish (rpc, closed, &error));
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, text));
}

static void
check_refusal_of (AForkProcess *process,
                  GQuark        domain,
                  int           code,
                  const char   *text)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (process, FALSE, NULL, NULL, log);

  check_refusal (rpc, log, domain, code, text);
  g_assert_cmpstr (log->str, ==, "closed ");
}

static void
test_module_missing (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("no-such-module");

  check_refusal_of (process, AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
}

/* A module that is not linked with the library can serve, but this one does not have the
 * function. */
static void
test_module_plain (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("echo");

  check_refusal_of (process, AFORK_ERROR, AFORK_ERROR_FUNCTION, "script_sequential");
}

/* A program that cannot be executed, as the worker and as its template. */
static void
check_spawn (AForkProcess *(*new_process) (void))
{
  const char * const argv[] = { "/no/such/program", NULL };
  AForkRuntime *native = afork_runtime_get_native ();
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_argv (native, argv);
  process = new_process ();
  check_refusal_of (process, AFORK_ERROR, AFORK_ERROR_SPAWN, "/no/such/program");
  afork_runtime_set_argv (native, NULL);
}

static AForkProcess *
new_executed_process (void)
{
  return afork_process_new_exec (NULL);
}

static void
test_spawn_worker (void)
{
  check_spawn (new_executed_process);
}

static void
test_spawn_template (void)
{
  check_spawn (afork_process_new);
}

static void
test_killed_first (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("script");
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (process, FALSE, NULL, NULL, log);

  afork_process_force_exit (process);
  check_refusal (rpc, log, AFORK_ERROR, AFORK_ERROR_CLOSED, "killed by its caller");
  g_assert_cmpstr (log->str, ==, "closed ");
}

typedef struct
{
  const char *function;
  const char *init;
  const char *done;
} Functions;

static const Functions missing_function = { "no_such_function", "script_init", "script_done" };
static const Functions missing_init = { "script_sequential", "no_such_function", "script_done" };
static const Functions missing_done = { "script_sequential", "script_init", "no_such_function" };

static void
test_function_missing (Census        *census,
                       gconstpointer  data)
{
  const Functions *functions = data;

  for (int concurrent = FALSE; concurrent <= TRUE; concurrent++)
    {
      g_autoptr(AForkProcess) process = new_module_process ("script");
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkRpc) rpc = g_object_new (AFORK_TYPE_RPC,
                                              "process", process,
                                              "function", functions->function,
                                              "init-function", functions->init,
                                              "done-function", functions->done,
                                              "concurrent", concurrent,
                                              "forward-stderr", FALSE,
                                              NULL);

      log_rpc (rpc, log);
      check_refusal (rpc, log, AFORK_ERROR, AFORK_ERROR_FUNCTION, "no_such_function");
      g_assert_cmpstr (log->str, ==, "closed ");
    }
}

/* Events of the init-function come first. */
static void
test_init_event (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, "e1 E2 e3", "script_done", log);

  begin_script (rpc, "e4 r5", log);
  begin_script (rpc, "r6", log);
  await_log (log, "e1 e2 e3 e4 r5 r6 ");
  begin_close (rpc, NULL, log);
  await_log (log, "e1 e2 e3 e4 r5 r6 e'done' closed ok ");
}

/* Also if no call is made. */
static void
test_init_unused (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, "e1", "script_done", log);

  begin_close (rpc, NULL, log);
  await_log (log, "e1 e'done' closed ok ");
}

static void
check_init (gboolean    concurrent,
            const char *init,
            const char *expected,
            GQuark      domain,
            int         code,
            const char *text)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, init, "script_done", log);

  check_refusal (rpc, log, domain, code, text);
  g_assert_cmpstr (log->str, ==, expected);
}

/* All calls fail with its error, and the done-function is not run. */
static void
test_init_error (gboolean concurrent)
{
  check_init (concurrent, "x", "closed ", G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "the worker says no");
  check_init (concurrent, "e1 E2 Y e3", "e1 e2 closed ",
              AFORK_ERROR, AFORK_ERROR_OVERLOADED, "of AFork's domain");
}

static void
test_init_exits (gboolean concurrent)
{
  check_init (concurrent, "e1 q3", "e1 closed ",
              AFORK_ERROR, AFORK_ERROR_EXITED, "status 3. Standard error: about to exit");
}

static void
test_init_dies (gboolean concurrent)
{
  g_autofree char *script = g_strdup_printf ("e1 k%d", SIGTERM);

  check_init (concurrent, script, "e1 closed ",
              AFORK_ERROR, AFORK_ERROR_SIGNALED, "(Terminated). Standard error: about to die");
}

/* An init-function that takes long: calls wait, and can be cancelled meanwhile. Their time does not
 * begin. */
static void
test_init_slow (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autofree char *init_script = g_strdup_printf ("e1 w%u", 2 * get_time_limit ());
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, init_script, NULL, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  begin_plain_script (rpc, "e2 r3", cancellable, log);
  begin_script_full (rpc, "r4", get_time_limit (), NULL, log);
  await_log (log, "e1 ");
  g_cancellable_cancel (cancellable);
  await_log (log, "e1 xcancelled r4 ");
  close_rpc (rpc);
  g_assert_cmpstr (log->str, ==, "e1 xcancelled r4 closed ");
}

/* An init-function that never returns. The caller cancels: its calls end at once, and the worker
 * exits when it was closed. */
static void
test_init_endless (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, "e1 w1000000", "script_done",
                                                 log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  begin_plain_script (rpc, "e2 r3", cancellable, log);
  await_log (log, "e1 ");
  g_cancellable_cancel (cancellable);
  await_log (log, "e1 xcancelled ");
  close_rpc_error (rpc, AFORK_ERROR_TIMED_OUT);
}

/* If no call was made, the worker may take its time, and can be killed. */
static void
test_init_endless_unused (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, "e1 w1000000", "script_done",
                                                 log);

  await_log (log, "e1 ");
  afork_process_force_exit (afork_rpc_get_process (rpc));
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

/* Made by a binding, or by g_object_new(), without the required properties. */
static void
test_incomplete (gconstpointer function)
{
  g_autoptr(AForkProcess) process = function == NULL ? afork_process_new () : NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkJob) job = afork_job_new (NULL);
  g_autoptr(GError) error = NULL;
  GAsyncResult *result = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*a process and a function*");
  rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "function", function, NULL);
  g_test_assert_expected_messages ();

  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  g_assert_null (result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, "a process and a function");
  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "a process and a function");
  g_assert_null (afork_rpc_run_job (rpc, job, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "a process and a function");
  afork_rpc_set_max_in_flight (rpc, 1);
  close_rpc_error (rpc, AFORK_ERROR_CLOSED);
  g_assert_false (afork_rpc_close (rpc, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "a process and a function");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-start/module/missing", test_module_missing);
  add_test ("/rpc-start/module/plain", test_module_plain);
  add_test ("/rpc-start/spawn/worker", test_spawn_worker);
  add_test ("/rpc-start/spawn/template", test_spawn_template);
  add_test ("/rpc-start/killed-first", test_killed_first);
  add_with_data ("/rpc-start/function/missing", &missing_function, test_function_missing);
  add_with_data ("/rpc-start/function/missing-init", &missing_init, test_function_missing);
  add_with_data ("/rpc-start/function/missing-done", &missing_done, test_function_missing);
  g_test_add_data_func ("/rpc-start/incomplete/process", "calls_do", test_incomplete);
  g_test_add_data_func ("/rpc-start/incomplete/function", NULL, test_incomplete);
  add_for_both ("/rpc-start/init/event", test_init_event);
  add_for_both ("/rpc-start/init/unused", test_init_unused);
  add_for_both ("/rpc-start/init/error", test_init_error);
  add_for_both ("/rpc-start/init/exits", test_init_exits);
  add_for_both ("/rpc-start/init/dies", test_init_dies);
  add_for_both ("/rpc-start/init/slow", test_init_slow);
  add_for_both ("/rpc-start/init/endless", test_init_endless);
  add_for_both ("/rpc-start/init/endless-unused", test_init_endless_unused);

  return g_test_run ();
}
