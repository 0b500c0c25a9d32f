/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Calls to a worker: their results, and how they end. */

#include <signal.h>
#include <string.h>

#include "test-rpc-util.h"

static void
test_rpc_call_echo (void)
{
  const char * const texts[] = {
    "'a string'", "()", "(1, 'two', [3.0, 4.0])", "{'a': <1>, 'b': <'x'>}", "@ay []", "true",
  };
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr(GVariant) args = g_variant_ref_sink (g_variant_new_parsed (texts[i]));
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = call (rpc, args, &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_equal (answer, args));
    }
  close_rpc (rpc);
}

static void
test_rpc_call_many (void)
{
  enum { N_CALLS = 1000 };
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, N_CALLS);
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");

  for (guint32 i = 0; i < N_CALLS; i++)
    afork_rpc_call_async (rpc, g_variant_new_uint32 (i), NULL, store_result_cb, &results[i]);
  for (guint32 i = 0; i < N_CALLS; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = NULL;

      await_result (&results[i]);
      answer = afork_rpc_call_finish (rpc, results[i], &error);
      g_assert_no_error (error);
      assert_uint32 (answer, i);
      g_object_unref (results[i]);
    }
  close_rpc (rpc);
}

static void
test_rpc_call_large (void)
{
  const guint32 sizes[] = { 0, 1, 16384, 65535, 65536, 1000000, 32 * 1024 * 1024 };
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkRpc) echo = new_rpc ("calls_echo");

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = call (rpc, do_args ("bytes", sizes[i]), &error);
      g_autoptr(GVariant) back = NULL;

      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_size (answer), ==, sizes[i]);
      back = call (echo, answer, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (answer, back));
    }
  close_rpc (rpc);
  close_rpc (echo);
}

static void
test_rpc_call_errors (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) unit = NULL;

  g_assert_null (call (rpc, do_args ("error", G_IO_ERROR_NOT_FOUND), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpstr (error->message, ==, "the worker says no");
  g_clear_error (&error);

  g_assert_null (call (rpc, do_args ("own-error", 0), &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "of a strange domain");
  g_clear_error (&error);

  unit = call (rpc, do_args ("unit", 0), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (unit), ==, "()");
  close_rpc (rpc);
}

/* A worker that has exited: all calls that it had fail with the reason. */
static void
check_death (const char *what,
             guint32     number,
             int         code,
             const char *text)
{
  GAsyncResult *results[3] = { NULL };
  Census census;

  census_begin (&census);
  {
    g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");

    afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, store_result_cb, &results[0]);
    afork_rpc_call_async (rpc, do_args (what, number), NULL, store_result_cb, &results[1]);
    afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, store_result_cb, &results[2]);
    for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
      {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) answer = NULL;

        await_result (&results[i]);
        answer = afork_rpc_call_finish (rpc, results[i], &error);
        if (i == 0)
          g_assert_no_error (error);
        else
          {
            g_assert_error (error, AFORK_ERROR, code);
            g_assert_nonnull (strstr (error->message, text));
          }
      }
    g_clear_object (&results[0]);
    g_clear_object (&results[1]);
    g_clear_object (&results[2]);
  }
  census_end (&census);
}

static void
test_rpc_death_exit (void)
{
  check_death ("exit", 3, AFORK_ERROR_EXITED, "status 3. Standard error: about to exit");
}

static void
test_rpc_death_signal (void)
{
  check_death ("signal", SIGTERM, AFORK_ERROR_SIGNALED, "about to die");
}

static void
test_rpc_function_missing (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_none");
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FUNCTION);
  g_assert_nonnull (strstr (error->message, "calls_none"));
}

static void
test_rpc_order_job (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("report", 3));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) order = g_string_new (NULL);
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), order);
  g_signal_connect (job, "progress", G_CALLBACK (append_text_cb), order);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_QUEUED);
  await_result (&result);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 3);
  g_assert_cmpstr (order->str, ==, "p0 e0 p1 e1 p2 e2 ");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  close_rpc (rpc);
}

static void
test_rpc_blocking_call (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");

  for (guint32 i = 0; i < 100; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = afork_rpc_call (rpc, g_variant_new_uint32 (i), NULL, &error);

      g_assert_no_error (error);
      assert_uint32 (answer, i);
    }
  g_assert_true (afork_rpc_close (rpc, NULL, NULL));
}

static void
test_rpc_concurrent_order (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  g_autoptr(GAsyncResult) slow = NULL, quick = NULL, threaded = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  afork_rpc_call_async (rpc, do_args ("after", 200), NULL, store_result_cb, &slow);
  afork_rpc_call_async (rpc, do_args ("now", 1), NULL, store_result_cb, &quick);
  afork_rpc_call_async (rpc, do_args ("thread", 2), NULL, store_result_cb, &threaded);
  await_result (&quick);
  await_result (&threaded);
  g_assert_null (slow);
  await_result (&slow);
  answer = afork_rpc_call_finish (rpc, slow, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 200);
  close_rpc (rpc);
}

static void
test_rpc_concurrent_dropped (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  g_autoptr(GError) error = NULL;

  g_assert_null (call (rpc, do_args ("drop", 0), &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  close_rpc (rpc);
}

static void
check_timeout (AForkRpc *rpc)
{
  g_autoptr(AForkJob) job = afork_job_new (do_args ("wait", 0));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GString) events = g_string_new (NULL);
  g_autoptr(GError) error = NULL;

  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), events);
  afork_job_set_timeout (job, get_time_limit ());
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_FAILED);
  while (events->len == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (events->str, ==, "e'noticed' ");
  close_rpc (rpc);
}

static void
test_rpc_timeout_sequential (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");

  check_timeout (rpc);
}

static void
test_rpc_timeout_concurrent (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();

  check_timeout (rpc);
}

static void
cancel_and_iterate_cb (AForkJob   *job,
                       GParamSpec *pspec,
                       gpointer    data)
{
  g_signal_handlers_disconnect_by_func (job, cancel_and_iterate_cb, data);
  afork_job_cancel (job);
  iterate ();
}

/* A handler cancels its job, and iterates the main context before it returns. This is in time
 * unless the answer has come. */
static void
check_cancel_within (const char *property,
                     gboolean    in_time)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("fds", 0));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *signal = g_strconcat ("notify::", property, NULL);

  g_signal_connect (job, signal, G_CALLBACK (cancel_and_iterate_cb), NULL);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  value = afork_rpc_run_job_finish (rpc, result, &error);
  if (in_time)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  else
    g_assert_no_error (error);
  g_assert_true (in_time == (value == NULL));
  g_assert_cmpint (afork_job_get_state (job), ==,
                   in_time ? AFORK_JOB_STATE_CANCELLED : AFORK_JOB_STATE_SUCCEEDED);
  close_rpc (rpc);
}

static void
test_rpc_cancel_within_queued (void)
{
  check_cancel_within ("state", TRUE);
}

static void
test_rpc_cancel_within_results (void)
{
  check_cancel_within ("result-fds", FALSE);
}

static void
test_rpc_drop_idle (void)
{
  g_autoptr(AForkRpc) rpc G_GNUC_UNUSED = new_rpc ("calls_echo");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc/call/echo", test_rpc_call_echo);
  add_test ("/rpc/call/many", test_rpc_call_many);
  add_test ("/rpc/call/large", test_rpc_call_large);
  add_test ("/rpc/call/errors", test_rpc_call_errors);
  g_test_add_func ("/rpc/death/exit", test_rpc_death_exit);
  g_test_add_func ("/rpc/death/signal", test_rpc_death_signal);
  add_test ("/rpc/function/missing", test_rpc_function_missing);
  add_test ("/rpc/order/job", test_rpc_order_job);
  add_test ("/rpc/blocking/call", test_rpc_blocking_call);
  add_test ("/rpc/concurrent/order", test_rpc_concurrent_order);
  add_test ("/rpc/concurrent/dropped", test_rpc_concurrent_dropped);
  add_test ("/rpc/timeout/sequential", test_rpc_timeout_sequential);
  add_test ("/rpc/timeout/concurrent", test_rpc_timeout_concurrent);
  add_test ("/rpc/cancel/within/queued", test_rpc_cancel_within_queued);
  add_test ("/rpc/cancel/within/results", test_rpc_cancel_within_results);
  add_test ("/rpc/drop/idle", test_rpc_drop_idle);

  return g_test_run ();
}
