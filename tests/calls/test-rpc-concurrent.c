/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that serve many calls at a time: order, calls that are never answered, cancellation, and
 * callers that do not read. */

#include "test-rpc-util.h"

/* Of many begun calls, each is answered when it is done. */
static void
test_rpc_concurrent_reversed (void)
{
  enum { N_CALLS = 20 };
  const guint32 last = is_instrumented () ? 5000 : 1000;
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  GAsyncResult *results[N_CALLS] = { NULL };

  for (guint32 i = 0; i < N_CALLS; i++)
    begin_call (rpc, "after", i == 0 ? last : N_CALLS - i, NULL, &results[i]);
  for (guint32 i = 1; i < N_CALLS; i++)
    {
      expect_uint32 (rpc, &results[i], N_CALLS - i);
      g_assert_null (results[0]);
    }
  expect_uint32 (rpc, &results[0], last);
  close_rpc (rpc);
}

/* Answers that the socket does not take wait in the worker, which sleeps. */
static void
test_rpc_concurrent_unread (void)
{
  enum { SIZE = 64 * 1024 * 1024, BEGUN = 4 * 1000 * 1000 };
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  g_autoptr(GAsyncResult) first = NULL, large = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  guint64 idle;
  GPid pid;

  begin_call (rpc, "now", 1, NULL, &first);
  expect_uint32 (rpc, &first, 1);
  pid = afork_process_get_pid (afork_rpc_get_process (rpc));
  idle = get_cpu_time (pid);
  begin_call (rpc, "bytes", SIZE, NULL, &large);
  /* The worker begins to make so many answers, and then this side does not read. */
  while (get_cpu_time (pid) < idle + BEGUN)
    g_main_context_iteration (NULL, FALSE);
  await_sleep (pid);

  g_assert_null (large);
  await_result (&large);
  value = afork_rpc_call_finish (rpc, large, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_size (value), ==, SIZE);
  close_rpc (rpc);
}

/* Calls are cancelled before they are sent, while they wait here, while the worker has them, and
 * when they have ended. The worker goes on. */
static void
test_rpc_concurrent_cancel (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  GCancellable *cancellables[4] = {
    g_cancellable_new (), g_cancellable_new (), g_cancellable_new (), g_cancellable_new (),
  };
  GAsyncResult *results[4] = { NULL };

  begin_call (rpc, "now", 3, cancellables[3], &results[3]);
  expect_uint32 (rpc, &results[3], 3);
  g_cancellable_cancel (cancellables[3]);

  g_cancellable_cancel (cancellables[0]);
  begin_call (rpc, "now", 0, cancellables[0], &results[0]);
  expect_error (rpc, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);

  afork_rpc_set_max_in_flight (rpc, 1);
  begin_call (rpc, "wait", 0, cancellables[1], &results[1]);
  begin_call (rpc, "now", 0, cancellables[2], &results[2]);
  g_cancellable_cancel (cancellables[2]);
  expect_error (rpc, &results[2], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  begin_call (rpc, "now", 9, NULL, &results[3]);
  g_cancellable_cancel (cancellables[1]);
  expect_error (rpc, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  expect_uint32 (rpc, &results[3], 9);
  close_rpc (rpc);
  for (gsize i = 0; i < G_N_ELEMENTS (cancellables); i++)
    g_object_unref (cancellables[i]);
}

/* A call that the worker never answers is ended by its time limit. Then the worker, which was to be
 * closed, exits. */
static void
test_rpc_concurrent_never (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_concurrent ();
  g_autoptr(AForkJob) job = afork_job_new (do_args ("never", 0));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_job_set_timeout (job, 50);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  close_rpc (rpc);
  g_assert_nonnull (result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-concurrent/reversed", test_rpc_concurrent_reversed);
  add_test ("/rpc-concurrent/unread", test_rpc_concurrent_unread);
  add_test ("/rpc-concurrent/cancel", test_rpc_concurrent_cancel);
  add_test ("/rpc-concurrent/never", test_rpc_concurrent_never);

  return g_test_run ();
}
