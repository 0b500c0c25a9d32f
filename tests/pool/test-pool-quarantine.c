/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Jobs that have ended two workers, and are then refused by the pool. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void
expect_refused (AForkPool     *pool,
                GAsyncResult **result,
                const char    *text)
{
  await_error (pool, result, AFORK_ERROR, AFORK_ERROR_QUARANTINED, text);
}

/* Has a call end a worker. */
static void
crash (AForkPool  *pool,
       const char *text)
{
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "signal", SIGKILL, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, text);
}

/* A job with retries ends two workers: equal jobs and calls are refused, and other jobs are not. */
static void
test_retries (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  g_autoptr(AForkJob) bad = afork_job_new (do_args ("signal", SIGKILL));
  g_autoptr(AForkJob) equal = afork_job_new (do_args ("signal", SIGKILL));
  g_autoptr(AForkJob) other = afork_job_new (do_args ("signal", SIGKILL));
  GAsyncResult *results[4] = { NULL };

  g_assert_cmpuint (afork_pool_get_quarantine_time (pool), ==, 60 * 1000);
  afork_job_set_retries (bad, 10);
  begin_job (pool, bad, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED, "has ended two workers");

  afork_job_set_retries (equal, 10);
  begin_job (pool, equal, &results[0]);
  begin_pool_call (pool, "signal", SIGKILL, &results[1]);
  begin_pool_call (pool, "echo", 4, &results[2]);
  expect_refused (pool, &results[0], "The second: ");
  expect_refused (pool, &results[1], "s more. The first: ");
  g_assert_cmpuint (await_answer (pool, &results[2]), ==, 4);
  g_assert_cmpint (afork_job_get_state (equal), ==, AFORK_JOB_STATE_FAILED);
  g_assert_error (afork_job_get_error (equal), AFORK_ERROR, AFORK_ERROR_QUARANTINED);
  g_assert_false (afork_job_get_begun (equal));

  /* With another key, the job is another job. */
  afork_job_set_key (other, "other");
  begin_job (pool, other, &results[3]);
  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A program that makes an equal call after each failure ends two workers, too. */
static void
test_again (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  GAsyncResult *result = NULL;

  crash (pool, "The worker was ended");
  crash (pool, "has ended two workers. The first:");
  begin_pool_call (pool, "signal", SIGKILL, &result);
  expect_refused (pool, &result, "ended two workers");

  /* A pool of its own has a quarantine of its own. */
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  pool = new_pool ("max-workers", 2, NULL);
  crash (pool, "The worker was ended");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Equal jobs that wait when the second worker exits are refused as well. They start no worker. */
static void
test_waiting (void)
{
  enum { N_CALLS = 6 };
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  GAsyncResult *results[N_CALLS] = { NULL };
  guint n_exited = 0;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n_exited);
  for (guint i = 0; i < N_CALLS; i++)
    begin_pool_call (pool, "signal", SIGKILL, &results[i]);
  for (guint i = 0; i < 2; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  for (guint i = 2; i < N_CALLS; i++)
    expect_refused (pool, &results[i], NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (n_exited, ==, 2);
}

/* The job runs again after the quarantine time, and not before. */
static void
test_time (void)
{
  const guint time = 80;
  AForkPool *pool = new_pool ("quarantine-time", time, NULL);
  GAsyncResult *result = NULL;
  gint64 begin;
  gint64 end;

  crash (pool, NULL);
  begin = g_get_monotonic_time ();
  crash (pool, NULL);
  /* The first exit may be forgotten already, on a slow machine. */
  for (;;)
    {
      g_autoptr(GAsyncResult) ended = NULL;
      g_autoptr(GError) error = NULL;

      begin_pool_call (pool, "signal", SIGKILL, &result);
      end = g_get_monotonic_time ();
      await_result (&result);
      ended = g_steal_pointer (&result);
      g_assert_null (afork_pool_call_finish (pool, ended, &error));
      if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED))
        {
          g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
          if (g_str_has_prefix (error->message, "The worker was ended"))
            break;
          begin = g_get_monotonic_time () - time * 1000;
        }
    }
  g_assert_cmpint (end - begin, >=, time * 1000);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* With the time 0, no job is refused, and a job with retries still ends only two workers. */
static void
test_never (void)
{
  AForkPool *pool = new_pool ("quarantine-time", 0, NULL);
  g_autoptr(AForkJob) bad = afork_job_new (do_args ("signal", SIGKILL));
  GAsyncResult *result = NULL;

  for (guint i = 0; i < 3; i++)
    crash (pool, "The worker was ended");
  afork_job_set_retries (bad, 10);
  begin_job (pool, bad, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, "has ended two workers");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  /* The time 0 also ends the quarantine of jobs that are refused. */
  pool = new_pool ("max-workers", 2, NULL);
  crash (pool, NULL);
  crash (pool, NULL);
  begin_pool_call (pool, "signal", SIGKILL, &result);
  expect_refused (pool, &result, NULL);
  afork_pool_set_quarantine_time (pool, 0);
  crash (pool, "The worker was ended");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs with descriptors are not equal to any other job. */
static void
test_descriptors (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *result = NULL;

  for (guint i = 0; i < 3; i++)
    {
      int gate;
      g_autoptr(AForkJob) trap = new_gate_job ("trap", &gate);

      g_assert_cmpint (write (gate, "x", 1), ==, 1);
      begin_job (pool, trap, &result);
      await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
      close (gate);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* An equal job ends, and its worker goes on: earlier exits do not count any more. */
static void
test_absolved (void)
{
  int commands;
  AForkPool *pool = new_script_pool (&commands, "max-workers", 1, NULL);
  GAsyncResult *result = NULL;

  for (guint i = 0; i < 3; i++)
    {
      send_commands (commands, "k");
      begin_pool_call (pool, "job", 1, &result);
      await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
      send_commands (commands, i == 1 ? "e" : "r");
      begin_pool_call (pool, "job", 1, &result);
      if (i == 1)
        await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_BUSY, NULL);
      else
        await_answer (pool, &result);
    }
  close (commands);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs that were cancelled, took too long or were aborted end their workers by force, and do not
 * count. */
static void
test_no_blame (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "grace", 10, NULL);
  GAsyncResult *result = NULL;

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkJob) cancelled = afork_job_new (do_args ("stuck", 0));
      g_autoptr(AForkJob) slow = afork_job_new (do_args ("stuck", 0));

      begin_job (pool, cancelled, &result);
      await_job_state (cancelled, AFORK_JOB_STATE_RUNNING);
      afork_job_cancel (cancelled);
      await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
      afork_job_set_timeout (slow, 20);
      begin_job (pool, slow, &result);
      await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, NULL);
    }
  begin_pool_call (pool, "echo", 1, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 1);

  begin_pool_call (pool, "stuck", 0, &result);
  while (afork_pool_get_n_running (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (pool);
}

/* If a worker with several jobs exits, no job counts, because any may be the cause. */
static void
test_concurrent (void)
{
  AForkPool *pool = new_pool_later (8);
  GAsyncResult *results[2] = { NULL };

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkJob) neighbour = afork_job_new (do_args ("never", 0));

      begin_job (pool, neighbour, &results[0]);
      await_job_state (neighbour, AFORK_JOB_STATE_RUNNING);
      begin_pool_call (pool, "signal", SIGKILL, &results[1]);
      await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
      await_error (pool, &results[1], AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
    }
  crash (pool, "The worker was ended");
  crash (pool, "has ended two workers");
  begin_pool_call (pool, "signal", SIGKILL, &results[1]);
  expect_refused (pool, &results[1], NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A refused job does not count for the queue limit, and may be run in a handler of another one. */
static void
refused_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  g_autoptr(GError) error = NULL;
  guint *n_left = data;

  g_assert_null (afork_pool_call_finish (AFORK_POOL (object), result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED);
  if (--*n_left > 0)
    afork_pool_call_async (AFORK_POOL (object), do_args ("signal", SIGKILL), NULL,
                           refused_cb, data);
}

static void
test_handler (void)
{
  AForkPool *pool = new_pool ("queue-limit", 1, NULL);
  guint n_left = 1000;

  crash (pool, NULL);
  crash (pool, NULL);
  afork_pool_call_async (pool, do_args ("signal", SIGKILL), NULL, refused_cb, &n_left);
  while (n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Returns how long a pool needs to decide again and again that the next job has to wait, in
 * microseconds of CPU time. */
static gint64
measure_waiting (AForkPool *pool)
{
  g_autofree char *text = g_strnfill (900 * 1000, 'x');
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) gate_job = NULL;
  gint64 start;
  int gate;

  gate_job = new_gate_job ("gate", &gate);
  begin_job (pool, gate_job, &results[0]);
  await_job_state (gate_job, AFORK_JOB_STATE_RUNNING);
  begin_pool_call (pool, text, 0, &results[1]);
  start = get_own_time ();
  for (guint i = 0; i < 1000; i++)
    {
      afork_pool_set_stop_delay (pool, 10000 + i % 2);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
  start = get_own_time () - start;
  close (gate);
  await_answer (pool, &results[0]);
  await_answer (pool, &results[1]);
  return start;
}

/* A large job that waits is looked up once, and not whenever the pool does something. */
static void
test_large (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  const gint64 before = measure_waiting (pool);
  gint64 after;

  crash (pool, "signal 9");
  after = measure_waiting (pool);
  g_test_message ("%.1f ms, and %.1f ms while jobs are suspected", before / 1e3, after / 1e3);
  g_assert_cmpint (after, <, 4 * before + 20 * 1000);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A job with descriptors that has ended two workers fails, as others do. But no job is equal to it,
 * so none is refused. */
static void
test_fds (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *result = NULL;
  GVariant *stats;
  guint64 n_quarantined;

  for (guint i = 0; i < 3; i++)
    {
      int gate;
      g_autoptr(AForkJob) job = new_gate_job ("trap", &gate);

      afork_job_set_key (job, "equal");
      afork_job_set_retries (job, 5);
      /* Each byte ends a worker. */
      if (i < 2)
        g_assert_cmpint (write (gate, "12", 2), ==, 2);
      else
        close (gate);
      begin_job (pool, job, &result);
      if (i == 2)
        {
          await_answer (pool, &result);
          break;
        }
      await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, "has ended two workers");
      close (gate);
    }

  stats = afork_pool_get_stats (pool);
  g_assert_true (g_variant_lookup (stats, "quarantined", "t", &n_quarantined));
  g_assert_cmpuint (n_quarantined, ==, 0);
  g_variant_unref (stats);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool/quarantine/retries", test_retries);
  add_test ("/pool/quarantine/again", test_again);
  add_test ("/pool/quarantine/waiting", test_waiting);
  add_test ("/pool/quarantine/time", test_time);
  add_test ("/pool/quarantine/never", test_never);
  add_test ("/pool/quarantine/descriptors", test_descriptors);
  add_test ("/pool/quarantine/absolved", test_absolved);
  add_test ("/pool/quarantine/no-blame", test_no_blame);
  add_test ("/pool/quarantine/concurrent", test_concurrent);
  add_test ("/pool/quarantine/handler", test_handler);
  add_test ("/pool/quarantine/large", test_large);
  add_test ("/pool/quarantine/descriptors-again", test_fds);

  return g_test_run ();
}
