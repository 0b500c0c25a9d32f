/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Pools that adapt to the memory and the power profile of the system. The monitors are the test's
 * own. */

#include "config.h"

#include "test-monitor.h"
#include "test-pool-util.h"

#include <string.h>
#include <unistd.h>

/* Pools. */

static AForkPool *
new_adapting_pool (TestMonitor *monitor,
                   guint        max_workers,
                   guint        min_idle)
{
  return new_pool ("memory-monitor", monitor, "power-monitor", monitor,
                   "max-workers", max_workers, "min-idle", min_idle,
                   "load", 1, "start-delay", 0, NULL);
}

static void
await_idle (AForkPool *pool,
            guint      n_idle)
{
  while (afork_pool_get_n_idle (pool) != n_idle)
    g_main_context_iteration (NULL, TRUE);
}

static void
await_workers (AForkPool *pool,
               guint      n_workers)
{
  while (afork_pool_get_n_workers (pool) != n_workers)
    g_main_context_iteration (NULL, TRUE);
}

static void
no_error_cb (AForkPool    *pool,
             AForkProcess *process,
             const GError *error,
             gpointer      data)
{
  g_assert_no_error (error);
}

/* At a warning, idle workers are ended, and the worker that has a job goes on. A job has a worker
 * again, and later min-idle workers are kept ready again. */
static void
test_memory (void)
{
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  AForkPool *pool = new_adapting_pool (monitor, 3, 2);
  g_autoptr(GAsyncResult) busy = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkJob) job = NULL;
  gint64 time;
  int gate;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (no_error_cb), NULL);
  job = new_gate_job ("gate", &gate);
  begin_job (pool, job, &busy);
  await_idle (pool, 2);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);

  test_monitor_warn (monitor);
  await_workers (pool, 1);
  time = g_get_monotonic_time ();
  g_assert_null (busy);
  begin_pool_call (pool, "echo", 7, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 2);
  test_monitor_warn (monitor);
  await_workers (pool, 1);

  close (gate);
  await_answer (pool, &busy);
  await_idle (pool, 2);
  g_assert_cmpint (g_get_monotonic_time () - time, >, 5 * G_USEC_PER_SEC);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_finalize_object (g_steal_pointer (&monitor));
}

/* The spare forks of the template are released. The next ones are made when the template was
 * forked. */

static guint
count_children (AForkProcess *template)
{
  const int pid = afork_process_get_pid (template);
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", pid, pid);
  g_autofree char *text = NULL;
  guint n_children = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (const char *end = text; *end != '\0'; end++)
    n_children += *end == ' ';
  return n_children;
}

static void
await_children (AForkProcess *template,
                guint         n_children)
{
  guint tick = g_timeout_add (5, tick_cb, NULL);

  while (count_children (template) != n_children)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

static void
test_spare (void)
{
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  g_autoptr(AForkProcess) template = afork_process_require (afork_process_new_exec (NULL), "pool");
  AForkPool *pool = afork_pool_new (template, "pool_do");
  g_autoptr(GAsyncResult) result = NULL;

  if (!g_file_test ("/proc/self/task", G_FILE_TEST_IS_DIR))
    {
      g_test_skip ("There is no /proc");
      return;
    }

  g_object_set (template, "spare", 3, NULL);
  g_object_set (pool, "memory-monitor", monitor, NULL);
  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  await_children (template, 3);
  test_monitor_warn (monitor);
  await_children (template, 0);

  begin_pool_call (pool, "echo", 7, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
  await_children (template, 4);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* While power is saved, the pool does not grow, but has at least one worker. */
static void
test_power (void)
{
  enum { N_JOBS = 4 };
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  GAsyncResult *results[N_JOBS] = { NULL };
  g_autoptr(GAsyncResult) first = NULL;
  AForkPool *pool;

  test_monitor_save_power (monitor, TRUE);
  pool = new_adapting_pool (monitor, 4, 2);
  await_idle (pool, 1);
  for (guint i = 0; i < N_JOBS; i++)
    begin_pool_call (pool, "sleep", 20, &results[i]);
  for (guint i = 0; i < N_JOBS; i++)
    {
      await_answer (pool, &results[i]);
      g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 1);
    }

  /* A worker that exits is replaced. */
  begin_pool_call (pool, "signal", SIGKILL, &first);
  await_error (pool, &first, AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  begin_pool_call (pool, "echo", 7, &first);
  g_assert_cmpuint (await_answer (pool, &first), ==, 7);
  await_workers (pool, 1);

  test_monitor_save_power (monitor, FALSE);
  await_idle (pool, 2);

  /* The workers that the pool has go on. */
  test_monitor_save_power (monitor, TRUE);
  for (guint i = 0; i < N_JOBS; i++)
    begin_pool_call (pool, "sleep", 20, &results[i]);
  for (guint i = 0; i < N_JOBS; i++)
    {
      await_answer (pool, &results[i]);
      g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 2);
    }
  g_assert_cmpuint (afork_pool_get_max_workers (pool), ==, 4);

  /* Without the monitor, power is not saved. */
  afork_pool_set_power_monitor (pool, NULL);
  for (guint i = 0; i < N_JOBS; i++)
    begin_pool_call (pool, "sleep", 20, &results[i]);
  await_workers (pool, 4);
  for (guint i = 0; i < N_JOBS; i++)
    await_answer (pool, &results[i]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The monitors emit their signals in another thread. */

typedef struct
{
  TestMonitor *monitor;
  int          is_over;         /* atomic */
} Emitter;

static gpointer
emit_once (gpointer data)
{
  test_monitor_warn (data);
  test_monitor_save_power (data, TRUE);
  return NULL;
}

static void
test_thread (void)
{
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  AForkPool *pool = new_adapting_pool (monitor, 2, 2);
  g_autoptr(GAsyncResult) result = NULL;

  await_idle (pool, 2);
  g_thread_join (g_thread_new ("emitter", emit_once, monitor));
  await_workers (pool, 0);
  begin_pool_call (pool, "echo", 7, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static gpointer
emit_always (gpointer data)
{
  Emitter *emitter = data;

  for (guint i = 0; !g_atomic_int_get (&emitter->is_over); i++)
    {
      test_monitor_warn (emitter->monitor);
      test_monitor_save_power (emitter->monitor, i % 2 == 0);
    }
  return NULL;
}

/* Pools are made, used and dropped, and monitors are set and removed, while another thread emits
 * signals all the time. */
static void
test_always (void)
{
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  Emitter emitter = { .monitor = monitor };
  GThread *thread = g_thread_new ("emitter", emit_always, &emitter);

  for (guint i = 0; i < 20; i++)
    {
      AForkPool *pool = new_adapting_pool (monitor, 2, i % 3);
      g_autoptr(GAsyncResult) result = NULL;

      begin_pool_call (pool, "echo", i, &result);
      if (i % 4 == 1)
        g_object_set (pool, "memory-monitor", NULL, "power-monitor", NULL, NULL);
      g_assert_cmpuint (await_answer (pool, &result), ==, i);
      if (i % 2 == 0)
        shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
      else
        g_object_unref (pool);
    }

  g_atomic_int_set (&emitter.is_over, TRUE);
  g_thread_join (thread);
}

/* The properties. */
static void
test_properties (void)
{
  g_autoptr(TestMonitor) monitor = test_monitor_new ();
  AForkPool *pool = new_pool (NULL, NULL);

  g_assert_null (afork_pool_get_memory_monitor (pool));
  g_assert_null (afork_pool_get_power_monitor (pool));
  g_assert_false (afork_pool_get_adaptive (pool));
  afork_pool_set_memory_monitor (pool, G_MEMORY_MONITOR (monitor));
  afork_pool_set_memory_monitor (pool, G_MEMORY_MONITOR (monitor));
  afork_pool_set_power_monitor (pool, G_POWER_PROFILE_MONITOR (monitor));
  g_assert_true (afork_pool_get_memory_monitor (pool) == G_MEMORY_MONITOR (monitor));
  g_assert_true (afork_pool_get_power_monitor (pool) == G_POWER_PROFILE_MONITOR (monitor));
  afork_pool_set_memory_monitor (pool, NULL);
  g_assert_null (afork_pool_get_memory_monitor (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_finalize_object (g_steal_pointer (&monitor));
}

/* GLib's own monitors, which may start threads. */
static void
test_adaptive (void)
{
  AForkPool *pool;
  g_autoptr(GAsyncResult) result = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }

  pool = new_pool ("adaptive", TRUE, NULL);
  g_assert_true (afork_pool_get_adaptive (pool));
  g_assert_null (afork_pool_get_memory_monitor (pool));
  begin_pool_call (pool, "echo", 7, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
  afork_pool_set_adaptive (pool, FALSE);
  g_assert_false (afork_pool_get_adaptive (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool-adapt/properties", test_properties);
  add_test ("/pool-adapt/memory", test_memory);
  add_test ("/pool-adapt/spare", test_spare);
  add_test ("/pool-adapt/power", test_power);
  add_test ("/pool-adapt/thread", test_thread);
  add_test ("/pool-adapt/always", test_always);
  g_test_add_func ("/pool-adapt/adaptive", test_adaptive);

  return g_test_run ();
}
