/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFORK_INPROCESS: jobs run in this process, and callbacks, errors and events are as usual. */

#include "test-pool-util.h"

#include <string.h>
#include <unistd.h>

static void
test_jobs (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) job = begin_pool_job (pool, "pid", 0, &results[0]);

  begin_pool_call (pool, "echo", 7, &results[1]);
  begin_pool_call (pool, "error", G_IO_ERROR_BUSY, &results[2]);
  g_assert_null (results[0]);
  g_assert_cmpuint (await_answer (pool, &results[0]), ==, (guint32) getpid ());
  g_assert_true (afork_job_get_begun (job));
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_null (results[1]);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 7);
  await_error (pool, &results[2], G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
append_number_cb (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  if (answer != NULL)
    g_string_append_printf (data, "%u ", g_variant_get_uint32 (answer));
  else
    g_string_append (data, g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? "c " : "x ");
}

/* Jobs with a higher priority come first. A job that waits can be cancelled. */
static void
test_order (void)
{
  g_autoptr(GString) order = g_string_new (NULL);
  AForkPool *pool = new_pool ("load", 1, NULL);

  for (guint32 i = 0; i < 4; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("echo", i));

      afork_job_set_priority (job, (int) i);
      afork_pool_run_job_async (pool, job, NULL, append_number_cb, order);
      if (i == 2)
        afork_job_cancel (job);
    }
  await_text (order, "0 ");
  g_assert_true (g_str_equal (order->str, "c 3 1 0 ") || g_str_equal (order->str, "3 c 1 0 "));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
count_cb (AForkPool *pool,
          GVariant  *event,
          guint     *n)
{
  *n += g_variant_get_uint32 (event);
}

static void
test_events (void)
{
  AForkPool *pool = new_pool ("load", 1, NULL);
  GAsyncResult *result = NULL;
  guint n = 0;

  g_signal_connect (pool, "event", G_CALLBACK (count_cb), &n);
  begin_pool_call (pool, "emit", 5, &result);
  await_answer (pool, &result);
  g_assert_cmpuint (n, ==, 5);
  begin_pool_call (pool, "retire", 0, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, (guint32) getpid ());
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Equal jobs share one run, and another thread may cancel one of them. */
static void
test_coalesce (void)
{
  AForkPool *pool = new_pool ("load", 1, NULL);
  GAsyncResult *results[5] = { NULL };
  AForkJob *jobs[5];
  guint n = 0;

  g_signal_connect (pool, "event", G_CALLBACK (count_cb), &n);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      jobs[i] = afork_job_new (do_args (i < 3 ? "emit" : "error",
                                        i < 3 ? 5 : G_IO_ERROR_BUSY));
      afork_job_set_coalesce (jobs[i], TRUE);
      begin_job (pool, jobs[i], &results[i]);
    }
  afork_job_cancel (jobs[1]);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      if (i == 1)
        await_error (pool, &results[i], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
      else if (i < 3)
        g_assert_cmpuint (await_answer (pool, &results[i]), ==, (guint32) getpid ());
      else
        await_error (pool, &results[i], G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
      g_object_unref (jobs[i]);
    }
  g_assert_cmpuint (n, ==, 5);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* All jobs that share a run are cancelled before it begins. */
static void
test_coalesce_cancelled (void)
{
  AForkPool *pool = new_pool ("load", 1, NULL);
  GAsyncResult *results[2] = { NULL };
  guint n = 0;

  g_signal_connect (pool, "event", G_CALLBACK (count_cb), &n);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("emit", 5));

      afork_job_set_coalesce (job, TRUE);
      begin_job (pool, job, &results[i]);
      afork_job_cancel (job);
    }
  for (guint i = 0; i < 2; i++)
    await_error (pool, &results[i], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_cmpuint (n, ==, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static gpointer
cancel_thread (gpointer data)
{
  g_usleep (20 * 1000);
  g_cancellable_cancel (data);
  return NULL;
}

/* Another thread cancels a job while it runs: the function is notified. */
static void
test_cancel (void)
{
  AForkPool *pool = new_pool ("load", 1, NULL);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  GThread *thread = g_thread_new ("cancel", cancel_thread, cancellable);
  GAsyncResult *result = NULL;

  afork_pool_call_async (pool, do_args ("wait", 0), cancellable, store_result_cb, &result);
  await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_thread_join (thread);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_blocking (void)
{
  AForkPool *pool = new_pool ("load", 1, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "echo", 1, &result);
  answer = afork_pool_call (pool, do_args ("echo", 2), NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 2);
  g_assert_cmpuint (await_answer (pool, &result), ==, 1);

  begin_pool_call (pool, "echo", 1, &result);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (pool);
}

static void
test_init (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                                  "init-function", "pool_init_fail", "forward-stderr", FALSE, NULL);
  GAsyncResult *result = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_WARNING, "*no effect*the data are not there*");
  begin_pool_call (pool, "echo", 1, &result);
  g_test_assert_expected_messages ();
  await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The function writes to the blobs that it gets, and the caller to those of the result, as if each
 * had its own memory. Some bytes cannot be written to. */
static void
test_blobs (void)
{
  static const char text[] = "some text";
  g_autoptr(AForkProcess) process = new_module_process ("blobs");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process,
                                  "function", "blobs_scribble", NULL);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new ("(uu)", 0, 1));
  g_autoptr(GBytes) blob = g_bytes_new_static (text, strlen (text));
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;
  GBytes **blobs;
  gsize n_blobs;

  afork_job_add_blob (job, blob);
  answer = afork_pool_run_job (pool, job, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, "some text");
  blobs = afork_job_get_result_blobs (job, &n_blobs);
  g_assert_cmpuint (n_blobs, ==, 1);
  g_assert_true (g_bytes_equal (blobs[0], blob));
  memset ((char *) g_bytes_get_data (blobs[0], NULL), '?', strlen (text));
  g_assert_cmpstr (text, ==, "some text");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Otherwise, there is a warning, and jobs run in workers. */
static void
test_not_supported (void)
{
  AForkPool *pool = new_pool_later (1);
  GAsyncResult *result = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_WARNING, "*AFORK_INPROCESS has no effect*");
  begin_pool_call (pool, "pid", 0, &result);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (await_answer (pool, &result), !=, (guint32) getpid ());
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_setenv ("AFORK_INPROCESS", "1", TRUE);
  g_test_init (&argc, &argv, NULL);

  add_test ("/in-process/jobs", test_jobs);
  add_test ("/in-process/order", test_order);
  add_test ("/in-process/events", test_events);
  add_test ("/in-process/blobs", test_blobs);
  add_test ("/in-process/coalesce", test_coalesce);
  add_test ("/in-process/coalesce-cancelled", test_coalesce_cancelled);
  add_test ("/in-process/cancel", test_cancel);
  add_test ("/in-process/blocking", test_blocking);
  add_test ("/in-process/init", test_init);
  add_test ("/in-process/not-supported", test_not_supported);

  return g_test_run ();
}
