/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Every job that a pool has accepted ends exactly once, whatever happens: jobs crash, hang, take
 * too long, are cancelled, get another priority, or share one run; workers are killed or retire;
 * templates are killed; the pool grows and shrinks. */

#include "test-pool-util.h"

#include <signal.h>

typedef struct
{
  AForkPool *pool;
  GPtrArray *processes;         /* of AForkProcess: workers that have started */
  GPtrArray *jobs;              /* of AForkJob: some of those that have not ended */
  gboolean   share;             /* some jobs share one run */
  guint8    *n_ends;            /* for each job: how often it has ended */
  guint      n_accepted;
  guint      n_results;
  guint      n_errors;
  guint      n_cancelled;
  guint      n_timed_out;
  guint      n_crashed;
  guint      n_quarantined;
  guint      n_lost;            /* the exit status of the worker is unknown */
  guint      n_killed;          /* workers, by the test */
  guint      n_template_kills;  /* how often all templates were killed */
} Run;

typedef struct
{
  Run      *run;
  guint32   number;
  gboolean  is_echo;
  guint32   answer;             /* that is expected if it is an echo */
} Ticket;

static gpointer
pick (GPtrArray *array)
{
  return array->len > 0
    ? g_ptr_array_index (array, (guint) g_test_rand_int_range (0, (int) array->len)) : NULL;
}

static gboolean
happens (int one_in)
{
  return g_test_rand_int_range (0, one_in) == 0;
}

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autofree Ticket *ticket = data;
  Run *run = ticket->run;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = g_async_result_is_tagged (result, afork_pool_call_async)
    ? afork_pool_call_finish (run->pool, result, &error)
    : afork_pool_run_job_finish (run->pool, result, &error);

  run->n_ends[ticket->number]++;
  if (answer != NULL)
    {
      run->n_results++;
      if (ticket->is_echo)
        assert_uint32 (answer, ticket->answer);
      return;
    }

  run->n_errors++;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    run->n_cancelled++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT))
    run->n_timed_out++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_SIGNALED))
    run->n_crashed++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST))
    run->n_lost++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_QUARANTINED))
    run->n_quarantined++;
  else
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
}

/* What the test demands of every run is not left to chance alone. */
static const char *
choose_work (guint32 number)
{
  if (number % 1000 == 250 || happens (500))
    return "signal";
  if (number % 1000 == 750 || happens (2000))
    return "stuck";
  if (happens (1000))
    return "wait";
  if (happens (500))
    return "retire";
  if (happens (300))
    return "error";
  if (happens (300))
    return "sleep";

  return "echo";
}

static guint32
choose_number (const char *what,
               guint32     number)
{
  if (g_str_equal (what, "signal"))
    return SIGKILL;
  if (g_str_equal (what, "error"))
    return G_IO_ERROR_BUSY;

  return g_str_equal (what, "sleep") ? 1 : number;
}

static void
add_job (Run *run)
{
  const char *what = choose_work (run->n_accepted);
  const gboolean is_echo = g_str_equal (what, "echo");
  const gboolean coalesce = run->share && happens (2);
  Ticket *ticket = g_new (Ticket, 1);
  GVariant *args;
  g_autoptr(AForkJob) job = NULL;

  *ticket = (Ticket) { .run = run, .number = run->n_accepted++, .is_echo = is_echo };
  ticket->answer = coalesce ? ticket->number % 4 : ticket->number;
  args = do_args (what, choose_number (what, ticket->answer));
  if (is_echo && !coalesce && !happens (4))
    {
      afork_pool_call_async (run->pool, args, NULL, ended_cb, ticket);
      return;
    }

  job = afork_job_new (args);
  afork_job_set_priority (job, g_test_rand_int_range (0, 3));
  afork_job_set_retries (job, (guint) g_test_rand_int_range (0, 3));
  afork_job_set_coalesce (job, coalesce);
  if (happens (3))
    afork_job_set_key (job, happens (2) ? "a" : "b");
  if (!is_echo && !g_str_equal (what, "signal"))
    afork_job_set_timeout (job, 20);
  afork_pool_run_job_async (run->pool, job, NULL, ended_cb, ticket);
  if (happens (10))
    g_ptr_array_add (run->jobs, g_steal_pointer (&job));
}

static void
disturb (Run *run)
{
  AForkJob *job = pick (run->jobs);
  AForkProcess *process = pick (run->processes);

  if (happens (300))
    afork_pool_set_max_workers (run->pool, (guint) g_test_rand_int_range (1, 5));
  if (happens (300))
    afork_pool_set_load (run->pool, (guint) g_test_rand_int_range (1, 5));
  if (happens (1000) && process != NULL)
    {
      afork_process_force_exit (process);
      run->n_killed++;
    }
  if (run->n_accepted % 1000 == 500 || happens (1000))
    {
      kill_children ();
      run->n_template_kills++;
    }
  if (job == NULL || !happens (20))
    return;

  if (happens (2))
    afork_job_cancel (job);
  else
    afork_job_set_priority (job, g_test_rand_int_range (0, 3));
  if (afork_job_get_state (job) > AFORK_JOB_STATE_RUNNING)
    g_ptr_array_remove (run->jobs, job);
}

static void
started_cb (AForkPool    *pool,
            AForkProcess *process,
            Run          *run)
{
  g_ptr_array_add (run->processes, g_object_ref (process));
}

static void
exited_cb (AForkPool    *pool,
           AForkProcess *process,
           GError       *error,
           Run          *run)
{
  g_ptr_array_remove (run->processes, process);
}

static guint64
get_number (GVariant   *stats,
            const char *key)
{
  guint64 number;

  g_assert_true (g_variant_lookup (stats, key, "t", &number));
  return number;
}

static void
check_number (GVariant   *stats,
              const char *key,
              guint64     expected)
{
  g_assert_cmpuint (get_number (stats, key), ==, expected);
}

/* The pool has counted the same. A job that it refuses because of the quarantine was not
 * accepted. */
static void
check_stats (Run *run)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (run->pool);
  const guint64 n_refused = run->n_accepted - get_number (stats, "accepted");

  check_number (stats, "accepted",
                get_number (stats, "results") + get_number (stats, "errors"));
  /* Jobs that share one run count as one job. */
  if (run->share)
    {
      g_assert_cmpuint (get_number (stats, "results"), <, run->n_results);
      return;
    }

  g_assert_cmpuint (n_refused, <=, run->n_quarantined);
  check_number (stats, "quarantined", run->n_quarantined);
  check_number (stats, "results", run->n_results);
  check_number (stats, "errors", run->n_errors - n_refused);
  check_number (stats, "cancelled", run->n_cancelled);
  check_number (stats, "timed-out", run->n_timed_out);
}

/* Makes a template that is a child of this program. */
static AForkProcess *
new_child_template (void)
{
  return afork_process_require (afork_process_new_exec (NULL), "pool");
}

static AForkPool *
new_pool_of_children (void)
{
  g_autoptr(AForkProcess) first = new_child_template ();
  g_autoptr(AForkProcess) second = new_child_template ();
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", first, "function", "pool_do",
                                  "forward-stderr", FALSE, "max-workers", 3,
                                  "start-delay", 1, "stop-delay", 5, "grace", 2,
                                  "quarantine-time", 50, NULL);

  afork_pool_add_template (pool, second, 1);
  return pool;
}

static void
check_random (guint    n_jobs,
              gboolean share)
{
  Run run = { .share = share };

  run.pool = new_pool_of_children ();
  run.processes = g_ptr_array_new_with_free_func (g_object_unref);
  run.jobs = g_ptr_array_new_with_free_func (g_object_unref);
  run.n_ends = g_new0 (guint8, n_jobs);
  g_signal_connect (run.pool, "worker-started", G_CALLBACK (started_cb), &run);
  g_signal_connect (run.pool, "worker-exited", G_CALLBACK (exited_cb), &run);

  while (run.n_accepted < n_jobs)
    {
      for (guint i = 0; i < 50 && run.n_accepted < n_jobs; i++)
        {
          add_job (&run);
          disturb (&run);
        }
      while (run.n_accepted - run.n_results - run.n_errors > 200)
        g_main_context_iteration (NULL, TRUE);
    }

  await_shutdown (run.pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_test_message ("%u jobs accepted, %u results, %u errors: %u cancelled, %u timed out, "
                  "%u crashed, %u lost, %u quarantined; %u workers killed, templates killed %u "
                  "times",
                  run.n_accepted, run.n_results, run.n_errors, run.n_cancelled, run.n_timed_out,
                  run.n_crashed, run.n_lost, run.n_quarantined, run.n_killed,
                  run.n_template_kills);
  for (guint i = 0; i < n_jobs; i++)
    g_assert_cmpuint (run.n_ends[i], ==, 1);
  g_assert_cmpuint (run.n_accepted, ==, run.n_results + run.n_errors);
  g_assert_cmpuint (run.n_results, >, n_jobs / 2);
  g_assert_cmpuint (run.n_cancelled, >, 0);
  g_assert_cmpuint (run.n_timed_out, >, 0);
  g_assert_cmpuint (run.n_crashed, >, 0);
  g_assert_cmpuint (run.n_template_kills, >, 0);
  check_stats (&run);

  g_assert_cmpuint (run.processes->len, ==, 0);
  g_ptr_array_unref (run.jobs);
  g_ptr_array_unref (run.processes);
  g_free (run.n_ends);
  g_assert_finalize_object (run.pool);
}

static void
test_random (void)
{
  check_random (is_instrumented () ? 10 * 1000 : 100 * 1000, FALSE);
}

static void
test_random_shared (void)
{
  check_random (is_instrumented () ? 2 * 1000 : 20 * 1000, TRUE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/pool/random", (gconstpointer) test_random, run_with_census);
  g_test_add_data_func ("/pool/random-shared", (gconstpointer) test_random_shared,
                        run_with_census);

  return g_test_run ();
}
