/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The statistics of a pool: its jobs, their times, the bytes, and the workers. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Returns an entry of the statistics of POOL, which must have TYPE. */
static GVariant *
get_entry (AForkPool  *pool,
           const char *key,
           const char *type)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (pool);
  GVariant *entry = g_variant_lookup_value (stats, key, G_VARIANT_TYPE (type));

  if (entry == NULL)
    g_error ("there is no “%s” of type “%s”", key, type);
  return entry;
}

static guint64
get_number (AForkPool  *pool,
            const char *key)
{
  g_autoptr(GVariant) entry = get_entry (pool, key, "t");

  return g_variant_get_uint64 (entry);
}

static guint
get_number_of_now (AForkPool  *pool,
                   const char *key)
{
  g_autoptr(GVariant) entry = get_entry (pool, key, "u");

  return g_variant_get_uint32 (entry);
}

/* Returns how many workers have exited because of CAUSE. */
static guint64
get_exits (AForkPool  *pool,
           const char *cause)
{
  g_autoptr(GVariant) exits = get_entry (pool, "workers-exited", "a{st}");
  guint64 number = 0;

  g_assert_true (g_variant_lookup (exits, cause, "t", &number));
  return number;
}

static guint64
count_exits (AForkPool *pool)
{
  g_autoptr(GVariant) exits = get_entry (pool, "workers-exited", "a{st}");
  GVariantIter iter;
  guint64 number;
  guint64 sum = 0;

  g_variant_iter_init (&iter, exits);
  while (g_variant_iter_next (&iter, "{&st}", NULL, &number))
    sum += number;
  return sum;
}

/* The sums are right at any time. */
static void
check_sums (AForkPool *pool)
{
  g_assert_cmpuint (get_number (pool, "accepted"), ==,
                    get_number (pool, "results") + get_number (pool, "errors")
                    + get_number_of_now (pool, "n-queued")
                    + get_number_of_now (pool, "n-running"));
  g_assert_cmpuint (get_number_of_now (pool, "n-queued"), ==, afork_pool_get_n_queued (pool));
  g_assert_cmpuint (get_number_of_now (pool, "n-running"), ==, afork_pool_get_n_running (pool));
  g_assert_cmpuint (get_number_of_now (pool, "n-workers"), ==, afork_pool_get_n_workers (pool));
  g_assert_cmpuint (get_number_of_now (pool, "n-idle"), ==, afork_pool_get_n_idle (pool));
}

static void
check_sums_cb (AForkPool    *pool,
               AForkProcess *process,
               gpointer      data)
{
  check_sums (pool);
}

static void
test_empty (void)
{
  const char *const keys[] = {
    "accepted", "results", "errors", "cancelled", "timed-out", "retried", "quarantined",
    "overloaded", "wait-p50", "wait-p90", "wait-p99", "wait-max", "wait-total",
    "run-p50", "run-p90", "run-p99", "run-max", "run-total",
    "bytes-sent", "bytes-received", "workers-started",
  };
  AForkPool *pool = new_pool ("load", 1, NULL);
  g_autoptr(GVariant) stats = afork_pool_get_stats (pool);
  g_autoptr(GVariant) workers = get_entry (pool, "workers", "aa{sv}");

  g_assert_false (g_variant_is_floating (stats));
  g_assert_true (g_variant_is_of_type (stats, G_VARIANT_TYPE_VARDICT));
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    g_assert_cmpuint (get_number (pool, keys[i]), ==, 0);
  g_assert_cmpuint (g_variant_n_children (stats), ==, G_N_ELEMENTS (keys) + 6);
  g_assert_cmpuint (count_exits (pool), ==, 0);
  g_assert_cmpuint (g_variant_n_children (workers), ==, 0);
  check_sums (pool);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_jobs (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "queue-limit", 3, "grace", 0, NULL);
  GAsyncResult *results[5] = { NULL };
  int gate;
  int trap;
  g_autoptr(AForkJob) gate_job = new_gate_job ("gate", &gate);
  g_autoptr(AForkJob) trap_job = new_gate_job ("trap", &trap);
  g_autoptr(AForkJob) slow = afork_job_new (do_args ("stuck", 0));
  g_autoptr(AForkJob) unwanted = NULL;

  g_signal_connect (pool, "worker-started", G_CALLBACK (check_sums_cb), NULL);
  begin_job (pool, gate_job, &results[0]);
  await_job_state (gate_job, AFORK_JOB_STATE_RUNNING);
  unwanted = begin_pool_job (pool, "echo", 0, &results[1]);
  begin_pool_call (pool, "error", G_IO_ERROR_BUSY, &results[2]);
  afork_job_set_retries (trap_job, 1);
  begin_job (pool, trap_job, &results[3]);
  begin_pool_call (pool, "echo", 0, &results[4]);
  check_sums (pool);
  g_assert_cmpuint (get_number (pool, "accepted"), ==, 4);
  g_assert_cmpuint (get_number (pool, "overloaded"), ==, 1);
  await_error (pool, &results[4], AFORK_ERROR, AFORK_ERROR_OVERLOADED, NULL);

  afork_job_cancel (unwanted);
  await_error (pool, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_cmpuint (get_number (pool, "cancelled"), ==, 1);
  g_assert_cmpuint (get_number (pool, "errors"), ==, 1);
  check_sums (pool);

  g_assert_cmpint (write (trap, "x", 1), ==, 1);
  close (trap);
  close (gate);
  await_answer (pool, &results[0]);
  await_error (pool, &results[2], G_IO_ERROR, G_IO_ERROR_BUSY, NULL);
  await_answer (pool, &results[3]);
  check_sums (pool);
  g_assert_cmpuint (get_number (pool, "retried"), ==, 1);
  g_assert_cmpuint (get_number (pool, "results"), ==, 2);
  g_assert_cmpuint (get_number (pool, "errors"), ==, 2);

  afork_job_set_timeout (slow, 10);
  begin_job (pool, slow, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, NULL);
  g_assert_cmpuint (get_number (pool, "timed-out"), ==, 1);
  g_assert_cmpuint (get_number (pool, "errors"), ==, 3);
  g_assert_cmpuint (get_number (pool, "accepted"), ==, 5);
  g_assert_cmpuint (get_number (pool, "workers-started"), ==, 2);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  check_sums (pool);
  g_assert_cmpuint (get_number (pool, "workers-started"), ==, count_exits (pool));
  g_assert_finalize_object (pool);
}

/* A job that is refused at once counts, and so does one that waited. */
static void
test_quarantined (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  GAsyncResult *results[4] = { NULL };

  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, "signal", SIGKILL, &results[i]);
  for (guint i = 0; i < 2; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  await_error (pool, &results[2], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  g_assert_cmpuint (get_number (pool, "quarantined"), ==, 1);
  begin_pool_call (pool, "signal", SIGKILL, &results[3]);
  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  g_assert_cmpuint (get_number (pool, "quarantined"), ==, 2);
  g_assert_cmpuint (get_number (pool, "accepted"), ==, 3);
  g_assert_cmpuint (get_number (pool, "errors"), ==, 3);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A worker has two jobs at a time, of which it runs one. */
static void
test_times (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 2, NULL);
  GAsyncResult *results[2] = { NULL };
  gint64 begin, middle, end;
  int gates[2];
  AForkJob *jobs[2];

  for (guint i = 0; i < 2; i++)
    jobs[i] = new_gate_job ("gate", &gates[i]);
  begin = g_get_monotonic_time ();
  begin_job (pool, jobs[0], &results[0]);
  await_job_state (jobs[0], AFORK_JOB_STATE_RUNNING);
  begin_job (pool, jobs[1], &results[1]);
  g_usleep (50 * 1000);
  middle = g_get_monotonic_time ();
  close (gates[0]);
  await_answer (pool, &results[0]);
  await_job_state (jobs[1], AFORK_JOB_STATE_RUNNING);
  g_usleep (10 * 1000);
  close (gates[1]);
  await_answer (pool, &results[1]);
  end = g_get_monotonic_time ();

  g_assert_cmpuint (get_number (pool, "run-max"), >=, 50 * 1000);
  g_assert_cmpuint (get_number (pool, "run-total"), >=, 60 * 1000);
  g_assert_cmpuint (get_number (pool, "run-total"), <=, (guint64) (end - begin));
  g_assert_cmpuint (get_number (pool, "run-p50"), >=, 9 * 1000);
  g_assert_cmpuint (get_number (pool, "run-p50"), <=, get_number (pool, "run-p90"));
  g_assert_cmpuint (get_number (pool, "run-p90"), ==, get_number (pool, "run-p99"));
  g_assert_cmpuint (get_number (pool, "run-p99"), <=, get_number (pool, "run-max"));
  g_assert_cmpuint (get_number (pool, "wait-max"), >=, 50 * 1000);
  g_assert_cmpuint (get_number (pool, "wait-total"), >=, 50 * 1000);
  g_assert_cmpuint (get_number (pool, "wait-total"), <=,
                    (guint64) (middle - begin + end - begin));

  for (guint i = 0; i < 2; i++)
    g_object_unref (jobs[i]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A job that never began has no times, and neither has its wait. A job that is cancelled while it
 * runs, or is lost, has. */
static void
test_times_of_errors (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 2, "grace", 0, NULL);
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) stuck = begin_pool_job (pool, "stuck", 0, &results[0]);
  g_autoptr(AForkJob) behind = NULL;

  await_job_state (stuck, AFORK_JOB_STATE_RUNNING);
  behind = begin_pool_job (pool, "echo", 0, &results[1]);
  while (afork_pool_get_n_running (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  g_usleep (20 * 1000);
  afork_job_cancel (behind);
  await_error (pool, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_cmpuint (get_number (pool, "run-total"), ==, 0);
  g_assert_cmpuint (get_number (pool, "wait-total"), ==, 0);
  afork_job_cancel (stuck);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_cmpuint (get_number (pool, "run-total"), >=, 20 * 1000);

  begin_pool_call (pool, "signal", SIGKILL, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  g_assert_cmpuint (get_number (pool, "run-max"), <, get_number (pool, "run-total"));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_bytes (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *result = NULL;
  g_autofree char *text = g_strnfill (100 * 1000, 'x');
  guint64 n_sent;
  guint64 n_received;

  begin_pool_call (pool, text, 0, &result);
  await_answer (pool, &result);
  n_sent = get_number (pool, "bytes-sent");
  n_received = get_number (pool, "bytes-received");
  g_assert_cmpuint (n_sent, >=, strlen (text));
  g_assert_cmpuint (n_sent, <, strlen (text) + 1000);
  g_assert_cmpuint (n_received, >, 0);
  g_assert_cmpuint (n_received, <, 1000);

  begin_pool_call (pool, "exit", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_EXITED, NULL);
  while (afork_pool_get_n_workers (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (get_number (pool, "bytes-sent"), >, n_sent);
  g_assert_cmpuint (get_number (pool, "bytes-received"), >=, n_received);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Why workers exit. */

/* Waits until a worker has exited because of CAUSE. The worker in its place may have exited
 * already, for the same reason. */
static void
await_exit (AForkPool  *pool,
            const char *cause)
{
  while (count_exits (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (get_exits (pool, cause), ==, count_exits (pool));
}

static void
check_exit (AForkPool  *pool,
            const char *cause)
{
  await_exit (pool, cause);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
check_crash (const char *what,
             guint32     number,
             int         code,
             const char *cause)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  GAsyncResult *result = NULL;

  begin_pool_call (pool, what, number, &result);
  await_error (pool, &result, AFORK_ERROR, code, NULL);
  check_exit (pool, cause);
}

static void
test_exits_unexpected (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  GAsyncResult *result = NULL;

  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  check_crash ("exit", 3, AFORK_ERROR_EXITED, "exited");
  check_crash ("signal", SIGTERM, AFORK_ERROR_SIGNALED, "signaled");

  pool = afork_pool_new (process, "not_there");
  afork_pool_set_max_workers (pool, 1);
  begin_pool_call (pool, "echo", 0, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_FUNCTION, NULL);
  g_assert_cmpuint (get_number (pool, "workers-started"), ==, 0);
  check_exit (pool, "failed");
}

/* The template has exited, so it does not report how its workers exit. Newer kernels do. */
static void
test_exits_lost (void)
{
  g_autoptr(AForkProcess) process = afork_process_require (afork_process_new_exec (NULL), "pool");
  AForkPool *pool = afork_pool_new (process, "pool_do");
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkJob) job = NULL;
  guint32 pid;
  int gate;

  afork_pool_set_max_workers (pool, 1);
  begin_pool_call (pool, "pid", 0, &result);
  pid = await_answer (pool, &result);
  afork_process_send_signal (process, SIGKILL);
  await_end (process);
  job = new_gate_job ("gate", &gate);
  begin_job (pool, job, &result);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  g_assert_no_errno (kill ((pid_t) pid, SIGKILL));
  await_result (&result);
  answer = afork_pool_run_job_finish (pool, result, &error);
  g_assert_null (answer);
  g_object_unref (result);
  close (gate);
  if (error->code != AFORK_ERROR_SIGNALED)
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
  check_exit (pool, error->code == AFORK_ERROR_LOST ? "lost" : "signaled");
}

/* A worker does not stop with a job that has ended, and is ended by force. */
static void
test_exits_by_force (void)
{
  GAsyncResult *result = NULL;

  for (guint i = 0; i < 2; i++)
    {
      AForkPool *pool = new_pool ("max-workers", 1, "grace", 0, "timeout", i == 0 ? 0 : 10, NULL);
      g_autoptr(AForkJob) job = begin_pool_job (pool, "hard", 0, &result);

      await_job_state (job, AFORK_JOB_STATE_RUNNING);
      if (i == 0)
        afork_job_cancel (job);
      await_result (&result);
      g_clear_object (&result);
      check_exit (pool, i == 0 ? "cancelled" : "timed-out");
    }
}

static void
test_exits_expected (void)
{
  AForkPool *pool = new_pool ("max-calls", 1, "max-workers", 1, NULL);
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "echo", 0, &result);
  await_answer (pool, &result);
  check_exit (pool, "max-calls");

  pool = new_pool ("max-age", 1, "max-workers", 1, NULL);
  begin_pool_call (pool, "sleep", 5, &result);
  await_answer (pool, &result);
  check_exit (pool, "max-age");

  pool = new_pool ("max-memory", G_GUINT64_CONSTANT (1), "max-workers", 1, NULL);
  begin_pool_call (pool, "echo", 0, &result);
  await_answer (pool, &result);
  check_exit (pool, "max-memory");

  pool = new_pool ("max-workers", 1, NULL);
  begin_pool_call (pool, "retire", 0, &result);
  await_answer (pool, &result);
  check_exit (pool, "retired");

  pool = new_pool ("max-workers", 1, "stop-delay", 0, NULL);
  begin_pool_call (pool, "echo", 0, &result);
  await_answer (pool, &result);
  check_exit (pool, "not-needed");

  pool = new_pool ("min-idle", 1, NULL);
  while (afork_pool_get_n_idle (pool) < 1)
    g_main_context_iteration (NULL, TRUE);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
  await_exit (pool, "shutdown");
  g_assert_finalize_object (pool);
}

/* The workers of now. */

/* The only worker must be in STATE, and have got N_CALLS jobs, of which it has N_JOBS now. Returns
 * its pid. */
static int
check_worker (AForkPool  *pool,
              const char *state,
              guint32     n_calls,
              guint32     n_jobs)
{
  g_autoptr(GVariant) workers = get_entry (pool, "workers", "aa{sv}");
  g_autoptr(GVariant) worker = NULL;
  const char *found_state;
  const char *host;
  guint32 found_calls;
  guint32 found_jobs;
  int pid;

  g_assert_cmpuint (g_variant_n_children (workers), ==, 1);
  worker = g_variant_get_child_value (workers, 0);
  g_assert_true (g_variant_lookup (worker, "state", "&s", &found_state));
  g_assert_true (g_variant_lookup (worker, "host", "&s", &host));
  g_assert_true (g_variant_lookup (worker, "pid", "i", &pid));
  g_assert_true (g_variant_lookup (worker, "calls", "u", &found_calls));
  g_assert_true (g_variant_lookup (worker, "n-jobs", "u", &found_jobs));
  g_assert_cmpstr (found_state, ==, state);
  g_assert_cmpstr (host, ==, "");
  g_assert_cmpuint (found_calls, ==, n_calls);
  g_assert_cmpuint (found_jobs, ==, n_jobs);
  return pid;
}

/* Returns the memory of the only worker, or 0 if it is not known yet. */
static guint64
get_memory (AForkPool *pool)
{
  g_autoptr(GVariant) workers = get_entry (pool, "workers", "aa{sv}");
  g_autoptr(GVariant) worker = g_variant_get_child_value (workers, 0);
  guint64 memory = 0;

  g_variant_lookup (worker, "rss", "t", &memory);
  return memory;
}

static void
test_workers (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "min-idle", 1, "load", 1, NULL);
  GAsyncResult *results[2] = { NULL };
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);
  guint32 pid;

  while (afork_pool_get_n_workers (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  check_worker (pool, "starting", 0, 0);
  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  check_worker (pool, "idle", 0, 0);
  begin_pool_call (pool, "pid", 0, &results[0]);
  while (afork_pool_get_n_running (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  check_worker (pool, "busy", 1, 1);
  pid = await_answer (pool, &results[0]);
  g_assert_cmpuint ((guint32) check_worker (pool, "idle", 1, 0), ==, pid);

  while (get_memory (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (get_memory (pool), >, 100 * 1000);
  g_assert_cmpuint (get_memory (pool), <, 1000 * 1000 * 1000);

  afork_pool_set_min_idle (pool, 0);
  afork_pool_set_max_calls (pool, 2);
  begin_job (pool, job, &results[1]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  check_worker (pool, "leaving", 2, 1);
  close (gate);
  await_answer (pool, &results[1]);
  check_worker (pool, "exiting", 2, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static gpointer
other_thread (gpointer data)
{
  g_autoptr(GVariant) stats = NULL;

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*another thread*");
  stats = afork_pool_get_stats (data);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (g_variant_n_children (stats), ==, 0);
  return NULL;
}

/* In another thread, and if the pool cannot run jobs. */
static void
test_elsewhere (void)
{
  AForkPool *pool = new_pool ("min-idle", 1, NULL);

  g_thread_join (g_thread_new ("other", other_thread, pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*needs a template*");
  pool = g_object_new (AFORK_TYPE_POOL, NULL);
  g_test_assert_expected_messages ();
  check_sums (pool);
  g_assert_finalize_object (pool);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool-stats/empty", test_empty);
  add_test ("/pool-stats/jobs", test_jobs);
  add_test ("/pool-stats/quarantined", test_quarantined);
  add_test ("/pool-stats/times", test_times);
  add_test ("/pool-stats/times/errors", test_times_of_errors);
  add_test ("/pool-stats/bytes", test_bytes);
  add_test ("/pool-stats/exits/unexpected", test_exits_unexpected);
  add_test ("/pool-stats/exits/lost", test_exits_lost);
  add_test ("/pool-stats/exits/by-force", test_exits_by_force);
  add_test ("/pool-stats/exits/expected", test_exits_expected);
  add_test ("/pool-stats/workers", test_workers);
  add_test ("/pool-stats/elsewhere", test_elsewhere);

  return g_test_run ();
}
