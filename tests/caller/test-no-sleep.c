/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* No call waits for another process. A thread that sleeps gives up its processor, which the kernel
 * counts. A page fault that reads from a file counts as well, so the test takes the least of
 * several rounds. */

#include "config.h"

#include "test-util.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct
{
  const char *call;
  glong       n_sleeps;
  gint64      cpu_nsec;
  gint64      wall_nsec;
} Cost;

enum { N_ROUNDS = 5, MAX_COSTS = 40 };

static Cost costs[MAX_COSTS];
static guint n_costs;

static gint64
get_nsec (clockid_t clock)
{
  struct timespec time;

  g_assert_no_errno (clock_gettime (clock, &time));
  return time.tv_sec * G_GINT64_CONSTANT (1000000000) + time.tv_nsec;
}

static Cost
cost_now (const char *call)
{
  struct rusage usage;
  Cost cost = { .call = call };

  g_assert_no_errno (getrusage (RUSAGE_THREAD, &usage));
  cost.n_sleeps = usage.ru_nvcsw;
  cost.cpu_nsec = get_nsec (CLOCK_THREAD_CPUTIME_ID);
  cost.wall_nsec = get_nsec (CLOCK_MONOTONIC);
  return cost;
}

static void
cost_end (const Cost *begin)
{
  Cost end = cost_now (begin->call);
  Cost *cost = costs;

  while (cost < costs + n_costs && !g_str_equal (cost->call, begin->call))
    cost++;
  if (cost == costs + n_costs)
    {
      g_assert_cmpuint (n_costs, <, MAX_COSTS);
      costs[n_costs++] = (Cost) { begin->call, G_MAXLONG, G_MAXINT64, G_MAXINT64 };
    }

  cost->n_sleeps = MIN (cost->n_sleeps, end.n_sleeps - begin->n_sleeps);
  cost->cpu_nsec = MIN (cost->cpu_nsec, end.cpu_nsec - begin->cpu_nsec);
  cost->wall_nsec = MIN (cost->wall_nsec, end.wall_nsec - begin->wall_nsec);
}

#define MEASURE(call) \
  G_STMT_START { \
    Cost begin = cost_now (#call); \
    call; \
    cost_end (&begin); \
  } G_STMT_END

/* Under valgrind, threads take turns and sleep in between, and everything is slow. There this only
 * checks that the calls work. */
static void
assert_costs (void)
{
  const gboolean is_measured = !is_under_valgrind ();

  for (guint i = 0; i < n_costs; i++)
    {
      g_test_message ("%6" G_GINT64_FORMAT " us, %6" G_GINT64_FORMAT " us of processor, "
                      "%ld sleeps: %s",
                      costs[i].wall_nsec / 1000, costs[i].cpu_nsec / 1000,
                      costs[i].n_sleeps, costs[i].call);
      if (!is_measured)
        continue;
      g_assert_cmpint (costs[i].n_sleeps, ==, 0);
      /* The rest of the time, other processes had the processor. */
      g_assert_cmpint (costs[i].cpu_nsec, <, 100 * 1000 * 1000);
    }
  n_costs = 0;
}

static void
iterate_20_times (void)
{
  for (int i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
}

static void
await_stop (AForkProcess *process)
{
  guint tick = g_timeout_add (1, tick_cb, NULL);

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  while (get_process_state (afork_process_get_pid (process)) != 'T')
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

/* All operations, on processes that cannot reply. */
static void
do_everything (AForkProcess *stopped,
               GBytes       *large)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  AForkProcess *process, *fork, *dropped;
  GAsyncResult *run = NULL, *wait = NULL, *of_fork = NULL;
  guint64 user_usec, system_usec, max_rss_kib;

  MEASURE (process = afork_process_fork (stopped));
  MEASURE (afork_process_require (process, "lifecycle"));
  MEASURE (afork_process_call (process, "note", (const char * const []) { "1", "", NULL }));
  MEASURE (afork_process_setenv (process, "NAME", "value"));
  MEASURE (afork_process_chdir (process, "/"));
  MEASURE (afork_process_map_fd (process, STDIN_FILENO, STDIN_FILENO));
  MEASURE (afork_process_send_arg (process, "argument"));
  MEASURE (afork_process_send_bytes (process, large));
  MEASURE (afork_process_send_fd (process, STDIN_FILENO));
  MEASURE (afork_process_set_title (process, "title"));
  MEASURE (fork = afork_process_fork (process));
  MEASURE (dropped = afork_process_fork (process));
  MEASURE (iterate_20_times ());
  MEASURE (g_object_unref (dropped));
  MEASURE (afork_process_run_async (process, "forever", cancellable, store_result_cb, &run));
  MEASURE (afork_process_run_async (fork, "forever", NULL, store_result_cb, &of_fork));
  MEASURE (afork_process_wait_async (process, NULL, store_result_cb, &wait));
  MEASURE (iterate_20_times ());
  MEASURE (afork_process_get_usage (process, &user_usec, &system_usec, &max_rss_kib));
  MEASURE (afork_process_send_signal (process, SIGTERM));
  MEASURE (g_cancellable_cancel (cancellable));
  MEASURE (iterate_20_times ());
  MEASURE (afork_process_force_exit (fork));
  MEASURE (iterate_20_times ());
  MEASURE (g_object_unref (process));
  MEASURE (g_object_unref (fork));

  g_assert_nonnull (run);
  g_assert_nonnull (of_fork);
  g_clear_object (&run);
  g_clear_object (&of_fork);
  g_assert_no_errno (kill (afork_process_get_pid (stopped), SIGCONT));
  await_result (&wait);
  g_clear_object (&wait);
}

static void
test_stopped (Fixture       *fixture,
               gconstpointer  data)
{
  const gsize size = 64 * 1024 * 1024;
  g_autoptr(GBytes) large = g_bytes_new_take (g_malloc0 (size), size);

  for (int i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(AForkProcess) stopped = afork_process_fork (fixture->template);

      afork_process_call (stopped, "stop", NULL);
      await_stop (stopped);
      do_everything (stopped, large);
    }
  assert_costs ();
}

/* More is queued for a process than the kernel takes, and the process reads nothing. */
static void
test_full (Fixture       *fixture,
                    gconstpointer  data)
{
  const gsize size = 64 * 1024 * 1024;
  g_autoptr(GBytes) large = g_bytes_new_take (g_malloc0 (size), size);

  for (int i = 0; i < N_ROUNDS; i++)
    {
      AForkProcess *process = afork_process_fork (fixture->template);
      g_autoptr(GAsyncResult) result = NULL;

      afork_process_call (process, "stop", NULL);
      await_stop (process);
      MEASURE (afork_process_send_bytes (process, large));
      MEASURE (iterate_20_times ());
      MEASURE (afork_process_send_bytes (process, large));
      MEASURE (afork_process_run_async (process, "done", NULL, store_result_cb, &result));
      MEASURE (iterate_20_times ());
      MEASURE (afork_process_force_exit (process));
      MEASURE (iterate_20_times ());
      await_result (&result);
      await_end (process);
      assert_term_signal (process, SIGKILL);
      MEASURE (g_object_unref (process));
    }
  assert_costs ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/no-sleep/stopped", "lifecycle", test_stopped);
  add_with_module ("/no-sleep/full", "lifecycle", test_full);

  return g_test_run ();
}
