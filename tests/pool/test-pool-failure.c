/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers of a pool that exit, hang or cannot start; jobs that are cancelled or take too long; and
 * the shutdown of a pool that is busy. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A job crashes its worker and fails with the signal. All other jobs are done. */
static void
check_crash (guint max_workers)
{
  enum { N_CALLS = 10 };
  GAsyncResult *results[N_CALLS] = { NULL };
  AForkPool *pool = new_pool ("max-workers", max_workers, NULL);
  GAsyncResult *crash = NULL;
  g_autoptr(AForkJob) job = NULL;

  begin_pool_call (pool, "echo", 99, &results[0]);
  job = begin_pool_job (pool, "signal", SIGSEGV, &crash);
  for (guint i = 1; i < N_CALLS; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  await_error (pool, &crash, AFORK_ERROR, AFORK_ERROR_SIGNALED, "The worker was ended");
  g_assert_true (afork_job_get_begun (job));
  g_assert_cmpuint (await_answer (pool, &results[0]), ==, 99);
  for (guint i = 1; i < N_CALLS; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_SIGNALED);
  g_assert_false (afork_pool_get_unhealthy (pool));

  begin_pool_call (pool, "exit", 3, &crash);
  await_error (pool, &crash, AFORK_ERROR, AFORK_ERROR_EXITED, "status 3");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_crash_one (void)
{
  check_crash (1);
}

static void
test_crash_two (void)
{
  check_crash (2);
}

/* A job with retries is run again after its worker has crashed. If the job crashes a second worker,
 * it fails, and the error has both exits. Other jobs of the worker are done. */
static void
test_retries (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *results[2] = { NULL };
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("trap", &gate);
  g_autoptr(AForkJob) bad = afork_job_new (do_args ("signal", SIGILL));

  afork_job_set_retries (job, 1);
  g_assert_cmpint (write (gate, "x", 1), ==, 1);
  close (gate);
  begin_job (pool, job, &results[0]);
  await_answer (pool, &results[0]);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);

  afork_job_set_retries (bad, 10);
  begin_job (pool, bad, &results[0]);
  begin_pool_call (pool, "echo", 5, &results[1]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED,
               "has ended two workers. The first:");
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 5);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs that waited in the socket of a worker that was killed go to another worker, in order. */
static void
append_number_cb (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = afork_pool_call_finish (AFORK_POOL (object), result, &error);

  g_assert_no_error (error);
  g_string_append_printf (data, "%u ", g_variant_get_uint32 (answer));
}

static void
test_queued_move_on (void)
{
  g_autoptr(GString) order = g_string_new (NULL);
  AForkPool *pool = new_pool ("max-workers", 1, "load", 4, NULL);
  GAsyncResult *result = NULL;
  g_autoptr(AForkJob) bad = afork_job_new (do_args ("signal", SIGKILL));

  begin_job (pool, bad, &result);
  for (guint i = 0; i < 8; i++)
    afork_pool_call_async (pool, do_args ("echo", i), NULL, append_number_cb, order);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  await_text (order, "7 ");
  g_assert_cmpstr (order->str, ==, "0 1 2 3 4 5 6 7 ");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* All workers fail before they serve: earlier and later jobs fail with the reason, and the pool is
 * unhealthy. */
static void
check_start_failure (const char *function,
                     const char *init_function,
                     GQuark      domain,
                     int         code,
                     const char *text)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process,
                                  "function", function, "init-function", init_function,
                                  "forward-stderr", FALSE, "max-workers", 2, NULL);
  GAsyncResult *results[4] = { NULL };

  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < 3; i++)
    await_error (pool, &results[i], domain, code, text);
  g_assert_true (afork_pool_get_unhealthy (pool));
  g_assert_error (afork_pool_get_last_error (pool), domain, code);
  begin_pool_call (pool, "echo", 3, &results[3]);
  await_error (pool, &results[3], domain, code, text);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_init_fails (void)
{
  check_start_failure ("pool_do", "pool_init_fail", G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                       "the data are not there");
}

static void
test_init_exits (void)
{
  check_start_failure ("pool_do", "pool_init_exit", AFORK_ERROR, AFORK_ERROR_EXITED,
                       "status 7");
}

static void
note_worker_cb (AForkPool *pool)
{
  if (afork_pool_get_n_workers (pool) > 0)
    g_object_set_data (G_OBJECT (pool), "has-started", GINT_TO_POINTER (TRUE));
}

/* Runs a job, which fails. Returns whether a worker was started for it. */
static gboolean
fail_job (AForkPool *pool)
{
  GAsyncResult *result = NULL;

  while (afork_pool_get_n_workers (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_set_data (G_OBJECT (pool), "has-started", NULL);
  begin_pool_call (pool, "echo", 0, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_FUNCTION, "pool_none");
  return g_object_get_data (G_OBJECT (pool), "has-started") != NULL;
}

/* After some workers could not start, there are pauses, which become longer. Jobs fail at once in a
 * pause, and after the pause another worker is started. */
static void
test_pause (void)
{
  enum { MAX_ATTEMPTS = 8 };
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_none",
                                  "forward-stderr", FALSE, "max-workers", 1, NULL);
  guint n_attempts = 0;

  g_signal_connect (pool, "notify::n-workers", G_CALLBACK (note_worker_cb), NULL);
  while (fail_job (pool))
    g_assert_cmpuint (++n_attempts, <, MAX_ATTEMPTS);
  g_assert_cmpuint (n_attempts, >, 0);
  while (!fail_job (pool))
    ;
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_function_missing (void)
{
  check_start_failure ("pool_none", NULL, AFORK_ERROR, AFORK_ERROR_FUNCTION, "pool_none");
}

/* If one worker is killed while it starts, no job fails. */
static void
test_init_dies_once (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool;
  GAsyncResult *result = NULL;
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], "x", 1), ==, 1);
  close (fds[1]);
  afork_process_send_fd (process, fds[0]);
  close (fds[0]);
  pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                       "init-function", "pool_init_trap", "forward-stderr", FALSE, NULL);
  begin_pool_call (pool, "echo", 8, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 8);
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_SIGNALED);
  g_assert_false (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Each call crashes its worker: there are pauses before the next workers are started. */
static void
test_crash_loop (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "quarantine-time", 0, NULL);
  GAsyncResult *results[4] = { NULL };
  gint64 begin = g_get_monotonic_time ();
  guint n = 0;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n);
  for (guint i = 0; i < 4; i++)
    begin_pool_call (pool, "signal", SIGKILL, &results[i]);
  for (guint i = 0; i < 4; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);

  /* There are pauses before the third and the fourth worker. */
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 300 * 1000);
  g_assert_true (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (n, ==, 4);
}

static void
remember_event_cb (AForkPool *pool,
                   GVariant  *event,
                   gboolean  *came)
{
  *came = TRUE;
}

/* A job in the worker goes on after it was cancelled or has timed out. The caller gets the error at
 * once, the worker is killed, and a job that waited in this worker is done by another one. WHAT is
 * a job that SIGTERM ends, or one that SIGTERM does not end. */
static void
check_stuck (const char *what,
             gboolean    times_out)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 2, "grace", 20, NULL);
  g_autoptr(AForkJob) job = afork_job_new (do_args (what, 0));
  GAsyncResult *results[2] = { NULL };
  gboolean came = FALSE;

  g_signal_connect (pool, "event", G_CALLBACK (remember_event_cb), &came);
  if (times_out)
    afork_job_set_timeout (job, 50);
  begin_job (pool, job, &results[0]);
  begin_pool_call (pool, "echo", 6, &results[1]);
  /* On a busy machine, the time may be over before the worker has told of the job. */
  while (!came && results[0] == NULL)
    g_main_context_iteration (NULL, TRUE);
  if (!times_out)
    {
      afork_job_cancel (job);
      await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
    }
  else
    {
      await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "50 ms");
    }
  g_assert_true (afork_job_get_begun (job));
  g_assert_null (results[1]);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 6);
  g_assert_null (afork_pool_get_last_error (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_stuck_cancel (void)
{
  check_stuck ("stuck", FALSE);
}

static void
test_stuck_timeout (void)
{
  check_stuck ("stuck", TRUE);
}

static void
test_stuck_hard (void)
{
  check_stuck ("hard", FALSE);
}

/* A worker is to be ended because of a job that was cancelled. It finishes this job at the last
 * moment, and begins with the next one. That job is not blamed when the worker is killed: it is run
 * again, without a retry. */
static void
test_stuck_next (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 2, "grace", 20, NULL);
  g_autoptr(AForkJob) first = afork_job_new (do_args ("until-sigterm", 0));
  g_autoptr(GVariant) stats = NULL;
  GAsyncResult *results[2] = { NULL };
  guint n_events = 0;
  guint n_exited = 0;
  int gate;
  g_autoptr(AForkJob) next = new_gate_job ("stuck-once", &gate);
  guint64 n_retried;

  g_assert_cmpint (write (gate, "x", 1), ==, 1);
  close (gate);
  g_signal_connect (pool, "event", G_CALLBACK (count_event_cb), &n_events);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n_exited);
  begin_job (pool, first, &results[0]);
  begin_job (pool, next, &results[1]);
  while (n_events == 0)
    g_main_context_iteration (NULL, TRUE);
  afork_job_cancel (first);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_answer (pool, &results[1]);

  /* The second event is that the next job had begun in the worker that was ended. */
  g_assert_cmpuint (n_events, ==, 2);
  g_assert_cmpuint (n_exited, ==, 1);
  stats = afork_pool_get_stats (pool);
  g_assert_true (g_variant_lookup (stats, "retried", "t", &n_retried));
  g_assert_cmpuint (n_retried, ==, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A worker that answers soon after a job was cancelled is not killed. */
static void
test_cancel_noticed (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "grace", 60 * 1000, NULL);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  GAsyncResult *results[2] = { NULL };
  guint32 pid;
  int gate;
  g_autoptr(AForkJob) gate_job = new_gate_job ("gate", &gate);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("wait", 0));

  begin_pool_call (pool, "pid", 0, &results[0]);
  pid = await_answer (pool, &results[0]);
  begin_job (pool, job, &results[0]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (job);
  begin_pool_call (pool, "pid", 0, &results[1]);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, pid);

  /* The same for a plain call with a timeout of the pool. */
  afork_pool_set_timeout (pool, 20);
  begin_pool_call (pool, "wait", 0, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "20 ms");
  begin_pool_call (pool, "pid", 0, &results[0]);
  g_assert_cmpuint (await_answer (pool, &results[0]), ==, pid);
  afork_pool_set_timeout (pool, 0);

  /* A call is cancelled while it waits in the pool, and another one before it is made. */
  begin_job (pool, gate_job, &results[0]);
  afork_pool_call_async (pool, do_args ("echo", 0), cancellable, store_result_cb, &results[1]);
  await_job_state (gate_job, AFORK_JOB_STATE_RUNNING);
  g_cancellable_cancel (cancellable);
  await_error (pool, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  afork_pool_call_async (pool, do_args ("echo", 0), cancellable, store_result_cb, &results[1]);
  await_error (pool, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  close (gate);
  await_answer (pool, &results[0]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The time that a job waits does not count for its timeout. */
static void
test_timeout_waiting (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 2, "timeout", 900, NULL);
  GAsyncResult *results[4] = { NULL };

  for (guint i = 0; i < 4; i++)
    begin_pool_call (pool, "sleep", 250, &results[i]);
  for (guint i = 0; i < 4; i++)
    await_answer (pool, &results[i]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A worker serves many jobs at a time: a job that does not end never affects the other jobs. */
static void
test_concurrent_stuck (void)
{
  AForkPool *pool = new_pool_later (8);
  GAsyncResult *results[4] = { NULL };
  gboolean came = FALSE;
  guint32 pid;
  g_autoptr(AForkJob) job = afork_job_new (do_args ("never", 0));

  afork_pool_set_grace (pool, 10);
  g_signal_connect (pool, "event", G_CALLBACK (remember_event_cb), &came);
  begin_pool_call (pool, "pid", 0, &results[0]);
  pid = await_answer (pool, &results[0]);
  begin_job (pool, job, &results[0]);
  begin_pool_call (pool, "after", 200, &results[1]);
  while (!came)
    g_main_context_iteration (NULL, TRUE);
  afork_job_cancel (job);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);

  /* The worker gets no new job, and is killed when its other job has ended. */
  begin_pool_call (pool, "pid", 0, &results[2]);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, pid);
  g_assert_cmpuint (await_answer (pool, &results[2]), !=, pid);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A worker serves many jobs at a time and crashes: jobs with retries are run again. */
static void
test_concurrent_crash (void)
{
  AForkPool *pool = new_pool_later (8);
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) again = afork_job_new (do_args ("after", 100));
  g_autoptr(AForkJob) once = afork_job_new (do_args ("after", 100));

  afork_job_set_retries (again, 1);
  begin_job (pool, again, &results[0]);
  begin_job (pool, once, &results[1]);
  await_job_state (once, AFORK_JOB_STATE_RUNNING);
  begin_pool_call (pool, "signal", SIGKILL, &results[2]);
  await_error (pool, &results[2], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  await_error (pool, &results[1], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  await_answer (pool, &results[0]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A worker serves many jobs at a time and one of them crashes it: nobody knows which one. The jobs
 * with retries are run again one by one, until the job that crashes its workers has done so alone
 * twice. All other jobs are done. */
static void
test_concurrent_culprit (void)
{
  AForkPool *pool = new_pool_later (8);
  GAsyncResult *results[4] = { NULL };
  AForkJob *jobs[3];
  g_autoptr(AForkJob) culprit = afork_job_new (do_args ("signal", SIGKILL));
  int gates[3];
  guint n = 0;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n);
  for (guint i = 0; i < 3; i++)
    {
      jobs[i] = new_gate_job ("most", &gates[i]);
      afork_job_set_retries (jobs[i], 1);
      begin_job (pool, jobs[i], &results[i]);
    }
  for (guint i = 0; i < 3; i++)
    await_job_state (jobs[i], AFORK_JOB_STATE_RUNNING);
  afork_job_set_retries (culprit, 10);
  begin_job (pool, culprit, &results[3]);
  while (n == 0)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < 3; i++)
    close (gates[i]);

  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_SIGNALED, "has ended two workers");
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpuint (await_answer (pool, &results[i]), ==, 1);
      g_object_unref (jobs[i]);
    }
  g_assert_cmpuint (n, ==, 3);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Shutting down. */

static void
test_shutdown_drain (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  GAsyncResult *results[5] = { NULL };
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) shutdown = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 4; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_DRAIN, cancellable, store_result_cb,
                             &shutdown);
  begin_pool_call (pool, "echo", 9, &results[4]);
  await_error (pool, &results[4], AFORK_ERROR, AFORK_ERROR_CLOSED, "shut down");
  g_cancellable_cancel (cancellable);
  await_result (&shutdown);
  g_assert_false (afork_pool_shutdown_finish (pool, shutdown, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  g_clear_object (&shutdown);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_shutdown_abort (void)
{
  const char * const whats[] = { "stuck", "hard", "wait" };

  for (gsize i = 0; i < G_N_ELEMENTS (whats); i++)
    {
      AForkPool *pool = new_pool ("max-workers", 1, "load", 2, "grace", 20, NULL);
      GAsyncResult *results[4] = { NULL };
      g_autoptr(AForkJob) job = begin_pool_job (pool, whats[i], 0, &results[0]);

      for (guint j = 1; j < 4; j++)
        begin_pool_call (pool, "echo", j, &results[j]);
      await_job_state (job, AFORK_JOB_STATE_RUNNING);
      /* The pool would drain for ever, and can still be aborted. */
      afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, NULL, NULL);
      g_main_context_iteration (NULL, FALSE);
      await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
      for (guint j = 0; j < 4; j++)
        await_error (pool, &results[j], AFORK_ERROR, AFORK_ERROR_CLOSED, "shut down");
      g_assert_finalize_object (pool);
    }
}

static void
aborted_cb (GObject      *pool,
            GAsyncResult *result,
            gpointer      data)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  guint *n_ended = data;

  value = afork_pool_call_finish (AFORK_POOL (pool), result, &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  (*n_ended)++;
}

/* Returns the time that it takes to abort a worker that has N_JOBS, and is stopped. */
static gint64
measure_abort (guint n_jobs)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", G_MAXUINT16, "grace", 500, NULL);
  GAsyncResult *stuck = NULL;
  g_autoptr(AForkJob) job = begin_pool_job (pool, "signal", SIGSTOP, &stuck);
  guint n_ended = 0;
  gint64 start;

  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  for (guint i = 0; i < n_jobs; i++)
    afork_pool_call_async (pool, do_args ("echo", i), NULL, aborted_cb, &n_ended);
  while (afork_pool_get_n_running (pool) <= n_jobs)
    g_main_context_iteration (NULL, TRUE);

  start = get_own_time ();
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL, NULL);
  while (n_ended < n_jobs)
    g_main_context_iteration (NULL, TRUE);
  start = get_own_time () - start;
  await_error (pool, &stuck, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
  g_assert_finalize_object (pool);
  return start;
}

/* Eight times as many jobs take about eight times as long, and not 64 times. */
static void
test_shutdown_many (void)
{
  enum { N_JOBS = 2000, TIMES = 8, MAX_RATIO = 20 };
  double best = G_MAXDOUBLE;

  if (is_instrumented ())
    {
      g_test_skip ("Time is not measured under instrumentation");
      return;
    }

  for (int i = 0; i < 5 && best > MAX_RATIO; i++)
    {
      double few = (double) measure_abort (N_JOBS);
      double many = (double) measure_abort (N_JOBS * TIMES);

      best = MIN (best, many / few);
    }
  g_test_message ("%d times as many take %.1f times as long", TIMES, best);
  g_assert_cmpfloat (best, <=, MAX_RATIO);
}

/* A pool is shut down or dropped while its first worker starts. */
static void
test_shutdown_starting (void)
{
  AForkPool *pool = new_pool ("min-idle", 2, NULL);

  while (afork_pool_get_n_workers (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  pool = new_pool ("min-idle", 2, NULL);
  while (afork_pool_get_n_workers (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_finalize_object (pool);
}

/* A done-function that hangs does not keep the pool from being shut down. */
static void
test_shutdown_done (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                                  "done-function", "pool_done_slow", "forward-stderr", FALSE,
                                  "grace", 10, NULL);
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "echo", 1, &result);
  await_answer (pool, &result);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_dispose (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *results[3] = { NULL };

  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, i == 0 ? "wait" : "echo", i, &results[i]);
  while (afork_pool_get_n_running (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_run_dispose (G_OBJECT (pool));
  for (guint i = 0; i < 3; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  begin_pool_call (pool, "echo", 0, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (pool);

  pool = new_pool ("min-idle", 1, NULL);
  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_run_dispose (G_OBJECT (pool));
  begin_pool_call (pool, "echo", 0, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (pool);
}

/* A job that cannot be sent fails while the pool gives jobs to its workers. A handler of the job
 * shuts the pool down and waits. The pool starts no worker after that, and uses none that has
 * exited. The job comes first while a worker serves, then while one starts. */
static void
shut_down_failed_cb (AForkJob   *job,
                     GParamSpec *pspec,
                     AForkPool  *pool)
{
  g_autoptr(GError) error = NULL;

  if (afork_job_get_state (job) != AFORK_JOB_STATE_FAILED)
    return;

  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);
}

static void
test_shutdown_unsent (void)
{
  enum { TOO_MANY_BLOBS = 1025 };
  g_autoptr(GBytes) blob = g_bytes_new_static ("", 0);

  for (guint is_starting = 0; is_starting < 2; is_starting++)
    {
      AForkPool *pool = new_pool ("max-workers", 2, "min-idle", 1, "start-delay", 0,
                                  "stop-delay", 0, NULL);
      g_autoptr(AForkJob) job = afork_job_new (do_args ("echo", 1));
      GAsyncResult *result = NULL;
      guint n_exited = 0;

      while (!is_starting && afork_pool_get_n_idle (pool) == 0)
        g_main_context_iteration (NULL, TRUE);
      for (guint i = 0; i < TOO_MANY_BLOBS; i++)
        afork_job_add_blob (job, blob);
      g_signal_connect (job, "notify::state", G_CALLBACK (shut_down_failed_cb), pool);
      g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n_exited);
      begin_job (pool, job, &result);
      await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "blobs");
      g_assert_cmpuint (n_exited, >, 0);
      g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);
      g_assert_finalize_object (pool);
    }
}

/* A pool is disposed of while its worker has a job and goes on with another one, which was
 * cancelled. The workers exit before the main context of the pool is iterated. */
static void
test_dispose_blocking (void)
{
  AForkPool *pool = new_pool_later (4);
  g_autoptr(AForkJob) cancelled = NULL;
  g_autoptr(GError) error = NULL;
  GAsyncResult *results[2] = { NULL };

  afork_pool_set_grace (pool, 10);
  cancelled = begin_pool_job (pool, "wait", 0, &results[0]);
  begin_pool_call (pool, "wait", 1, &results[1]);
  await_job_state (cancelled, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (cancelled);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_object_run_dispose (G_OBJECT (pool));
  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);
  await_error (pool, &results[1], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (pool);
}

/* A hundred thousand jobs that fail at once do not block the main loop: other sources run in
 * between. */
static void
count_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_pool_call_finish (AFORK_POOL (object), result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  (*(guint *) data)++;
}

typedef struct
{
  guint n_failed;
  guint n_between;              /* how often the idle source ran after some jobs had failed */
} Flood;

static gboolean
between_cb (gpointer data)
{
  Flood *flood = data;

  flood->n_between += flood->n_failed > 0;
  return G_SOURCE_CONTINUE;
}

static void
test_flood (void)
{
  enum { N_JOBS = 100 * 1000 };
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                                  "init-function", "pool_init_fail", "forward-stderr", FALSE,
                                  NULL);
  Flood flood = { 0 };
  guint id = g_idle_add (between_cb, &flood);

  for (guint i = 0; i < N_JOBS; i++)
    afork_pool_call_async (pool, NULL, NULL, count_cb, &flood.n_failed);
  while (flood.n_failed < N_JOBS)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("other sources ran %u times", flood.n_between);
  g_assert_cmpuint (flood.n_between, >=, 3);
  g_source_remove (id);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A job hangs, and a blocking call waits behind it. The time limit of the job ends its worker, also
 * while the call blocks. In the second case, the worker gets the job while the call blocks. */
static void
test_timeout_blocking (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "grace", 10, NULL);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("stuck", 0));
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;
      GAsyncResult *result = NULL;

      afork_job_set_timeout (job, 50);
      begin_job (pool, job, &result);
      if (i == 0)
        await_job_state (job, AFORK_JOB_STATE_RUNNING);
      answer = afork_pool_call (pool, do_args ("echo", i), NULL, &error);
      g_assert_no_error (error);
      assert_uint32 (answer, i);
      g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_FAILED);
      await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, NULL);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool/crash/one", test_crash_one);
  add_test ("/pool/crash/two", test_crash_two);
  add_test ("/pool/crash/retries", test_retries);
  add_test ("/pool/crash/queued-move-on", test_queued_move_on);
  add_test ("/pool/crash/loop", test_crash_loop);
  add_test ("/pool/start/init-fails", test_init_fails);
  add_test ("/pool/start/init-exits", test_init_exits);
  add_test ("/pool/start/init-dies-once", test_init_dies_once);
  add_test ("/pool/start/function-missing", test_function_missing);
  add_test ("/pool/start/pause", test_pause);
  add_test ("/pool/stuck/cancel", test_stuck_cancel);
  add_test ("/pool/stuck/timeout", test_stuck_timeout);
  add_test ("/pool/stuck/hard", test_stuck_hard);
  add_test ("/pool/stuck/next", test_stuck_next);
  add_test ("/pool/cancel/noticed", test_cancel_noticed);
  add_test ("/pool/timeout/waiting", test_timeout_waiting);
  add_test ("/pool/timeout/blocking", test_timeout_blocking);
  add_test ("/pool/concurrent/stuck", test_concurrent_stuck);
  add_test ("/pool/concurrent/crash", test_concurrent_crash);
  add_test ("/pool/concurrent/culprit", test_concurrent_culprit);
  add_test ("/pool/shutdown/drain", test_shutdown_drain);
  add_test ("/pool/shutdown/abort", test_shutdown_abort);
  add_test ("/pool/shutdown/many", test_shutdown_many);
  add_test ("/pool/shutdown/starting", test_shutdown_starting);
  add_test ("/pool/shutdown/done", test_shutdown_done);
  add_test ("/pool/shutdown/unsent", test_shutdown_unsent);
  add_test ("/pool/dispose/job", test_dispose);
  add_test ("/pool/dispose/blocking", test_dispose_blocking);
  add_test ("/pool/flood", test_flood);

  return g_test_run ();
}
