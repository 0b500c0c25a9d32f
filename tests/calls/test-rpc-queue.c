/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Calls that wait for others: how many the worker has at a time, in which order they are sent, and
 * when their time limit starts. */

#include "test-rpc-util.h"

#include <glib-unix.h>
#include <unistd.h>

enum { N_JOBS = 12, TIMEOUT = 500 };

/* Jobs of a concurrent worker that are never answered, so each that has begun stays. */
typedef struct
{
  AForkRpc     *rpc;
  AForkJob     *jobs[N_JOBS];
  GAsyncResult *results[N_JOBS];
} Queue;

static void
queue_begin (Queue *queue,
             guint  max_in_flight)
{
  *queue = (Queue) { .rpc = new_rpc_of ("bounds", "bounds_later", TRUE) };
  assert_serves (queue->rpc);
  afork_rpc_set_max_in_flight (queue->rpc, max_in_flight);
  for (guint i = 0; i < N_JOBS; i++)
    {
      queue->jobs[i] = afork_job_new (do_args ("never", i));
      afork_rpc_run_job_async (queue->rpc, queue->jobs[i], NULL, store_result_cb,
                               &queue->results[i]);
    }
}

static AForkJobState
queue_get_state (Queue *queue,
                 guint  index)
{
  return afork_job_get_state (queue->jobs[index]);
}

static void
queue_await_running (Queue *queue,
                     guint  index)
{
  while (queue_get_state (queue, index) < AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (NULL, TRUE);
}

/* The jobs from FIRST to END run, and the others wait. A job that was sent too early would run
 * soon, and the next check would see it. */
static void
queue_assert_running (Queue *queue,
                      guint  first,
                      guint  end)
{
  queue_await_running (queue, end - 1);
  iterate ();
  for (guint i = first; i < N_JOBS; i++)
    g_assert_cmpint (queue_get_state (queue, i), ==,
                     i < end ? AFORK_JOB_STATE_RUNNING : AFORK_JOB_STATE_QUEUED);
}

static void
queue_cancel (Queue *queue,
              guint  index)
{
  g_autoptr(GError) error = NULL;

  afork_job_cancel (queue->jobs[index]);
  await_result (&queue->results[index]);
  g_assert_null (afork_rpc_run_job_finish (queue->rpc, queue->results[index], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&queue->results[index]);
  g_clear_object (&queue->jobs[index]);
}

static void
queue_end (Queue *queue)
{
  for (guint i = 0; i < N_JOBS; i++)
    if (queue->jobs[i] != NULL)
      queue_cancel (queue, i);
  close_rpc (queue->rpc);
  g_clear_object (&queue->rpc);
}

/* The worker has so many jobs, and gets the next one when one ends. */
static void
test_in_flight (void)
{
  Queue queue;

  queue_begin (&queue, 3);
  queue_assert_running (&queue, 0, 3);
  queue_cancel (&queue, 1);
  queue_assert_running (&queue, 2, 4);
  queue_cancel (&queue, 0);
  queue_assert_running (&queue, 2, 5);
  queue_end (&queue);
}

/* With a higher limit, waiting jobs are sent at once. With a lower one, none is taken back, and the
 * next one is sent when there is room. */
static void
test_in_flight_changed (void)
{
  Queue queue;

  queue_begin (&queue, 1);
  queue_assert_running (&queue, 0, 1);
  afork_rpc_set_max_in_flight (queue.rpc, 5);
  queue_assert_running (&queue, 0, 5);
  afork_rpc_set_max_in_flight (queue.rpc, 2);
  queue_assert_running (&queue, 0, 5);
  for (guint i = 0; i < 3; i++)
    {
      queue_cancel (&queue, i);
      queue_assert_running (&queue, i + 1, 5);
    }
  queue_cancel (&queue, 3);
  queue_assert_running (&queue, 4, 6);
  afork_rpc_set_max_in_flight (queue.rpc, 65535);
  queue_assert_running (&queue, 4, N_JOBS);
  queue_end (&queue);
}

/* Waiting jobs are sent in the order in which they were made, except cancelled ones. */
static void
test_order (void)
{
  Queue queue;

  queue_begin (&queue, 1);
  queue_assert_running (&queue, 0, 1);
  queue_cancel (&queue, 2);
  queue_cancel (&queue, 1);
  g_assert_cmpint (queue_get_state (&queue, 3), ==, AFORK_JOB_STATE_QUEUED);
  queue_cancel (&queue, 0);
  queue_assert_running (&queue, 3, 4);
  queue_cancel (&queue, N_JOBS - 1);
  for (guint i = 3; i + 2 < N_JOBS; i++)
    {
      queue_cancel (&queue, i);
      queue_await_running (&queue, i + 1);
      if (i + 2 < N_JOBS - 1)
        g_assert_cmpint (queue_get_state (&queue, i + 2), ==, AFORK_JOB_STATE_QUEUED);
    }
  queue_end (&queue);
}

/* Iterates the main context for MSEC milliseconds. */
static void
pass_time (guint msec)
{
  gboolean passed = FALSE;

  g_timeout_add (msec, set_cb, &passed);
  while (!passed)
    g_main_context_iteration (NULL, TRUE);
}

/* A job with a short time limit waits for another one, here or in the worker, for longer than its
 * limit. It is answered nevertheless. */
static void
check_timeout_waiting (guint max_in_flight)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = afork_job_new (do_args ("number", 5));
  g_autoptr(GAsyncResult) first_result = NULL, second_result = NULL;
  g_autoptr(GVariant) first_answer = NULL;
  g_autoptr(GVariant) second_answer = NULL;
  g_autoptr(GError) error = NULL;
  int ends[2];

  g_assert_true (g_unix_open_pipe (ends, FD_CLOEXEC, NULL));
  first = new_fd_job ("hold", 0, ends[0]);
  afork_rpc_set_max_in_flight (rpc, max_in_flight);
  afork_job_set_timeout (second, TIMEOUT);
  afork_rpc_run_job_async (rpc, first, NULL, store_result_cb, &first_result);
  afork_rpc_run_job_async (rpc, second, NULL, store_result_cb, &second_result);
  while (afork_job_get_state (first) < AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (NULL, TRUE);
  pass_time (3 * TIMEOUT);
  g_assert_null (second_result);
  g_assert_cmpint (afork_job_get_state (second), ==, AFORK_JOB_STATE_QUEUED);

  close (ends[1]);
  await_result (&first_result);
  first_answer = afork_rpc_run_job_finish (rpc, first_result, &error);
  g_assert_no_error (error);
  await_result (&second_result);
  second_answer = afork_rpc_run_job_finish (rpc, second_result, &error);
  g_assert_no_error (error);
  assert_uint32 (second_answer, 5);
  close_rpc (rpc);
}

static void
test_timeout_waiting (void)
{
  check_timeout_waiting (1);
  check_timeout_waiting (64);
}

/* When it runs, its time counts. It does not end before its time is over. */
static void
test_timeout_running (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  gint64 begun, ended;
  int ends[2];

  g_assert_true (g_unix_open_pipe (ends, FD_CLOEXEC, NULL));
  job = new_fd_job ("hold", 0, ends[0]);
  afork_job_set_timeout (job, TIMEOUT);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  /* The time begins in the iteration that sees the job run, which may be delayed. */
  do
    {
      begun = g_get_monotonic_time ();
      g_main_context_iteration (NULL, TRUE);
    }
  while (afork_job_get_state (job) < AFORK_JOB_STATE_RUNNING);
  await_result (&result);
  ended = g_get_monotonic_time ();
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "500 ms");
  /* The clock of a main context counts whole milliseconds. */
  g_assert_cmpint (ended - begun, >=, (TIMEOUT - 10) * 1000);

  /* The worker continues when it can. */
  close (ends[1]);
  assert_serves (rpc);
  close_rpc (rpc);
}

/* A job whose answer has arrived in time is in time, even if the program reads it later. */
static void
test_timeout_unread (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("number", 6));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  GPid pid;

  assert_serves (rpc);
  pid = afork_process_get_pid (afork_rpc_get_process (rpc));
  afork_job_set_timeout (job, TIMEOUT);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  g_main_context_iteration (NULL, FALSE);
  g_usleep (2 * TIMEOUT * 1000);
  await_sleep (pid);
  await_result (&result);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 6);
  close_rpc (rpc);
}

static void
slow_event_cb (AForkRpc *rpc,
               GVariant *event,
               gpointer  data)
{
  g_usleep (10 * 1000);
}

/* A job is in time if its answer has arrived within its time, even if the program is busy for
 * longer with earlier messages. */
static void
test_timeout_behind (void)
{
  enum { N_EVENTS = 5 * TIMEOUT / 10 };
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("report", N_EVENTS));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  g_variant_unref (call (rpc, do_args ("report", 0), &error));
  g_assert_no_error (error);
  g_signal_connect (rpc, "event", G_CALLBACK (slow_event_cb), NULL);
  afork_job_set_timeout (job, TIMEOUT);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  g_main_context_iteration (NULL, FALSE);
  await_sleep (afork_process_get_pid (afork_rpc_get_process (rpc)));
  await_result (&result);
  answer = afork_rpc_run_job_finish (rpc, result, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, N_EVENTS);
  close_rpc (rpc);
}

/* A worker that sends without end does not extend its time. */
static void
test_timeout_flooded (void)
{
  g_autoptr(AForkRpc) rpc = new_rpc ("calls_do");
  g_autoptr(AForkJob) job = afork_job_new (do_args ("report", G_MAXUINT32));
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_job_set_timeout (job, TIMEOUT);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_rpc_run_job_finish (rpc, result, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "500 ms");

  afork_process_force_exit (afork_rpc_get_process (rpc));
  g_assert_false (afork_rpc_close (rpc, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-queue/in-flight/many", test_in_flight);
  add_test ("/rpc-queue/in-flight/changed", test_in_flight_changed);
  add_test ("/rpc-queue/order", test_order);
  add_test ("/rpc-queue/timeout/waiting", test_timeout_waiting);
  add_test ("/rpc-queue/timeout/running", test_timeout_running);
  add_test ("/rpc-queue/timeout/unread", test_timeout_unread);
  add_test ("/rpc-queue/timeout/behind", test_timeout_behind);
  add_test ("/rpc-queue/timeout/flooded", test_timeout_flooded);

  return g_test_run ();
}
