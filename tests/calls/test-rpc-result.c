/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The result that a callback gets for a call, and when and where it is called: as with a GTask. */

#include "test-rpc-util.h"

static void
test_result_interface (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_echo");
  g_autoptr(AForkJob) job = afork_job_new (NULL);
  g_autoptr(GObject) source = NULL;
  GAsyncResult *result = NULL;
  GAsyncResult *job_result = NULL;

  afork_rpc_call_async (rpc, g_variant_new_uint32 (1), NULL, store_result_cb, &result);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &job_result);
  await_result (&job_result);

  source = g_async_result_get_source_object (result);
  g_assert_true (source == G_OBJECT (rpc));
  g_assert_true (g_async_result_get_user_data (result) == &result);
  g_assert_true (g_async_result_is_tagged (result, afork_rpc_call_async));
  g_assert_false (g_async_result_is_tagged (result, afork_rpc_run_job_async));
  g_assert_true (g_async_result_is_tagged (job_result, afork_rpc_run_job_async));

  expect_uint32 (rpc, &result, 1);
  g_clear_object (&job_result);
  close_rpc (rpc);
}

static void
expect_critical (const char *text)
{
  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, text);
}

/* A result belongs to one call of one object, and can be taken once. */
static void
test_result_misused (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkRpc) other = new_rpc ("calls_do");
  g_autoptr(GTask) task = g_task_new (rpc, NULL, NULL, NULL);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  GAsyncResult *result = NULL;
  GAsyncResult *failed = NULL;

  afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, store_result_cb, &result);
  afork_rpc_call_async (rpc, do_args ("own-error", 0), NULL, store_result_cb, &failed);
  await_result (&result);
  await_result (&failed);

  expect_critical ("*_is_result*");
  g_assert_null (afork_rpc_call_finish (other, result, &error));
  expect_critical ("*_is_result*");
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  expect_critical ("*_is_result*");
  g_assert_null (afork_rpc_call_finish (rpc, G_ASYNC_RESULT (task), &error));
  expect_critical ("*g_task_is_valid*");
  g_assert_false (afork_rpc_close_finish (rpc, result, &error));
  g_test_assert_expected_messages ();
  g_assert_no_error (error);

  value = afork_rpc_call_finish (rpc, result, &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);
  expect_critical ("*has_end*");
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  g_assert_no_error (error);

  g_assert_null (afork_rpc_call_finish (rpc, failed, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_error (&error);
  expect_critical ("*has_end*");
  g_assert_null (afork_rpc_call_finish (rpc, failed, &error));
  g_assert_no_error (error);
  g_test_assert_expected_messages ();

  g_clear_object (&result);
  g_clear_object (&failed);
  close_rpc (rpc);
  close_rpc (other);
}

/* Results that are not taken, or taken by the wrong function. */
static void
test_result_unwanted (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("unit", 0));
  GAsyncResult *result = NULL;

  afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, NULL, NULL);
  afork_rpc_call_async (rpc, do_args ("own-error", 0), NULL, NULL, NULL);
  afork_rpc_run_job_async (rpc, job, NULL, NULL, NULL);
  afork_rpc_call_async (rpc, do_args ("own-error", 0), NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_clear_object (&result);
  close_rpc (rpc);

  /* It is closed now. */
  afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, NULL, NULL);
  iterate ();
}

typedef struct
{
  GMainContext *context;        /* the context to be the thread's default, or NULL for the global
                                 * one */
  guint         n_called;
} Expected;

static void
context_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  Expected *expected = data;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (g_main_context_get_thread_default () == expected->context);
  g_assert_true (g_async_result_get_user_data (result) == expected);
  expected->n_called++;
  value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);
}

static void
call_in (AForkRpc *rpc,
         Expected *expected)
{
  if (expected->context != NULL)
    g_main_context_push_thread_default (expected->context);
  afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, context_cb, expected);
  if (expected->context != NULL)
    g_main_context_pop_thread_default (expected->context);
}

static void
await_called (Expected *expected)
{
  while (expected->n_called == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* A callback is called in the context in which its call was made, whether or not this is the
 * context of the object. */
static void
test_result_context (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(GMainContext) context = g_main_context_new ();
  Expected here = { NULL, 0 };
  Expected there = { context, 0 };

  call_in (rpc, &there);
  call_in (rpc, &here);
  await_called (&here);
  g_assert_cmpuint (there.n_called, ==, 0);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_assert_cmpuint (there.n_called, ==, 1);
  g_assert_cmpuint (here.n_called, ==, 1);
  close_rpc (rpc);

  /* The same if the call fails at once. */
  here.n_called = there.n_called = 0;
  call_in (rpc, &there);
  call_in (rpc, &here);
  g_assert_cmpuint (here.n_called + there.n_called, ==, 0);
  await_called (&here);
  g_assert_cmpuint (there.n_called, ==, 0);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_assert_cmpuint (there.n_called, ==, 1);
  g_assert_cmpuint (here.n_called, ==, 1);
}

static gboolean
call_from_source_cb (gpointer data)
{
  AForkRpc *rpc = data;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkJob) job = afork_job_new (do_args ("unit", 0));
  GAsyncResult *results[3] = { NULL };

  g_cancellable_cancel (cancellable);
  afork_rpc_call_async (rpc, do_args ("unit", 0), cancellable, store_result_cb, &results[0]);
  g_assert_null (results[0]);
  afork_rpc_run_job_async (rpc, job, cancellable, store_result_cb, &results[1]);
  g_assert_null (results[1]);
  afork_rpc_close_async (rpc, NULL, NULL, NULL);
  afork_rpc_call_async (rpc, do_args ("unit", 0), NULL, store_result_cb, &results[2]);
  g_assert_null (results[2]);

  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    {
      await_result (&results[i]);
      g_clear_object (&results[i]);
    }
  return G_SOURCE_REMOVE;
}

/* Not before the function that makes the call has returned, even if the main context calls that
 * function. */
static void
test_result_at_once (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(GSource) source = g_idle_source_new ();

  g_source_set_callback (source, call_from_source_cb, rpc, NULL);
  g_source_attach (source, NULL);
  while (!g_source_is_destroyed (source))
    g_main_context_iteration (NULL, TRUE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-result/interface", test_result_interface);
  add_test ("/rpc-result/misused", test_result_misused);
  add_test ("/rpc-result/unwanted", test_result_unwanted);
  add_test ("/rpc-result/context", test_result_context);
  add_test ("/rpc-result/at-once", test_result_at_once);

  return g_test_run ();
}
