/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that have more memory than AForkPool:max-memory are replaced. */

#include "config.h"

#include "test-pool-util.h"

#include <stdio.h>
#include <string.h>

#define MIB G_GUINT64_CONSTANT (0x100000)

typedef struct
{
  guint n_started;
  guint n_exited;
  guint n_failed;
  guint most_workers;
} Counts;

static void
started_cb (AForkPool    *pool,
            AForkProcess *process,
            gpointer      data)
{
  Counts *counts = data;

  counts->n_started++;
  counts->most_workers = MAX (counts->most_workers, afork_pool_get_n_workers (pool));
}

static void
exited_cb (AForkPool    *pool,
           AForkProcess *process,
           const GError *error,
           gpointer      data)
{
  Counts *counts = data;

  counts->n_exited++;
  counts->n_failed += error != NULL;
}

static AForkPool *
new_counted_pool (guint64  max_memory,
                  guint    max_workers,
                  Counts  *counts)
{
  AForkPool *pool = new_pool ("max-memory", max_memory, "max-workers", max_workers, NULL);

  g_signal_connect (pool, "worker-started", G_CALLBACK (started_cb), counts);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (exited_cb), counts);
  return pool;
}

static guint32
do_job (AForkPool  *pool,
        const char *what,
        guint32     number)
{
  g_autoptr(GAsyncResult) result = NULL;

  begin_pool_call (pool, what, number, &result);
  return await_answer (pool, &result);
}

static void
await_exits (Counts *counts,
             guint   n_exits)
{
  while (counts->n_exited < n_exits)
    g_main_context_iteration (NULL, TRUE);
}

/* A worker that has grown is replaced, although no job waits, and without an error. */
static void
test_replaced (Census        *census,
               gconstpointer  data)
{
  Counts counts = { 0 };
  AForkPool *pool = new_counted_pool (64 * MIB, 1, &counts);
  const guint32 first = do_job (pool, "pid", 0);

  g_assert_cmpuint (do_job (pool, "grow", 20), ==, first);
  g_assert_cmpuint (do_job (pool, "grow", 100), ==, first);
  await_exits (&counts, 1);
  g_assert_cmpuint (counts.n_failed, ==, 0);
  g_assert_cmpuint (do_job (pool, "pid", 0), !=, first);
  g_assert_false (afork_pool_get_unhealthy (pool));
  g_assert_null (afork_pool_get_last_error (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* While jobs wait, the next worker is ready before the first one exits, and no job fails. */
static void
test_busy (Census        *census,
           gconstpointer  data)
{
  enum { N_JOBS = 300 };
  Counts counts = { 0 };
  AForkPool *pool = new_counted_pool (64 * MIB, 1, &counts);
  g_autoptr(GHashTable) pids = g_hash_table_new (NULL, NULL);
  GAsyncResult *results[N_JOBS] = { NULL };

  for (guint i = 0; i < N_JOBS; i++)
    begin_pool_call (pool, i == 0 ? "grow" : "sleep", i == 0 ? 100 : 2, &results[i]);
  for (guint i = 0; i < N_JOBS; i++)
    g_hash_table_add (pids, GUINT_TO_POINTER (await_answer (pool, &results[i])));
  g_assert_cmpuint (g_hash_table_size (pids), ==, 2);
  g_assert_cmpuint (counts.n_started, ==, 2);
  g_assert_cmpuint (counts.most_workers, ==, 2);
  await_exits (&counts, 1);
  g_assert_cmpuint (counts.n_failed, ==, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The limit is set while workers serve, and is removed again. */
static void
test_set (Census        *census,
          gconstpointer  data)
{
  Counts counts = { 0 };
  AForkPool *pool = new_counted_pool (0, 1, &counts);
  const guint32 first = do_job (pool, "grow", 100);

  g_assert_cmpuint (do_job (pool, "pid", 0), ==, first);
  afork_pool_set_max_memory (pool, 64 * MIB);
  g_assert_cmpuint (afork_pool_get_max_memory (pool), ==, 64 * MIB);
  do_job (pool, "pid", 0);
  await_exits (&counts, 1);

  afork_pool_set_max_memory (pool, G_MAXUINT64);
  do_job (pool, "grow", 100);
  afork_pool_set_max_memory (pool, 0);
  g_assert_cmpuint (do_job (pool, "pid", 0), !=, first);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (counts.n_started, ==, 2);
}

/* A blocking call also serves the template. */
static void
test_blocking (Census        *census,
               gconstpointer  data)
{
  Counts counts = { 0 };
  AForkPool *pool = new_counted_pool (64 * MIB, 1, &counts);
  guint32 first = 0;

  for (guint i = 0; counts.n_started < 2; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer =
        afork_pool_call (pool, do_args (i == 0 ? "grow" : "sleep", i == 0 ? 100 : 2), NULL, &error);

      g_assert_no_error (error);
      if (i == 0)
        first = g_variant_get_uint32 (answer);
    }
  g_assert_cmpuint (do_job (pool, "pid", 0), !=, first);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* If the template is killed, the memory of its workers is not known, and they go on. */
static void
test_no_template (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) template = new_module_process ("pool");
  AForkPool *pool = afork_pool_new (template, "pool_do");
  guint32 first;

  g_object_set (pool, "max-memory", 64 * MIB, "max-workers", 1, NULL);
  first = do_job (pool, "pid", 0);
  afork_process_force_exit (template);
  await_end (template);
  g_assert_cmpuint (do_job (pool, "grow", 100), ==, first);
  for (guint i = 0; i < 100; i++)
    g_assert_cmpuint (do_job (pool, "sleep", 2), ==, first);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* How often the template has waited for something. */
static guint64
count_waits (AForkProcess *template)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", afork_process_get_pid (template));
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "\nvoluntary_ctxt_switches:");
  g_assert_nonnull (line);
  return g_ascii_strtoull (strchr (line, ':') + 2, NULL, 10);
}

/* The template is asked at most every 100 milliseconds, and never without a limit. */
static void
test_rarely (Census        *census,
             gconstpointer  data)
{
  enum { N_CALLS = 2000 };
  const guint64 max_memory = data != NULL ? G_MAXUINT64 : 0;
  g_autoptr(AForkProcess) template = afork_process_require (afork_process_new_exec (NULL), "pool");
  AForkPool *pool = afork_pool_new (template, "pool_do");
  guint64 before, n_waits, n_questions;
  gint64 start;

  g_object_set (pool, "max-memory", max_memory, "max-workers", 1, NULL);
  do_job (pool, "echo", 0);
  before = count_waits (template);
  start = g_get_monotonic_time ();
  for (guint i = 0; i < N_CALLS; i++)
    do_job (pool, "echo", i);
  n_waits = count_waits (template) - before;
  n_questions = (guint64) (g_get_monotonic_time () - start) / 100000 + 2;
  g_test_message ("The template has waited %u times", (guint) n_waits);
  g_assert_cmpuint (n_waits, <=, max_memory > 0 ? 3 * n_questions : 1);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The pool is dropped while its template has not answered. */
static void
test_dropped (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) template = new_module_process ("pool");

  for (guint i = 0; i < 5; i++)
    {
      AForkPool *pool = afork_pool_new (template, "pool_do");

      g_object_set (pool, "max-memory", MIB, NULL);
      do_job (pool, "echo", 0);
      for (guint j = 0; j < i; j++)
        g_main_context_iteration (NULL, FALSE);
      g_object_unref (pool);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_census ("/pool-memory/replaced", test_replaced);
  add_with_census ("/pool-memory/busy", test_busy);
  add_with_census ("/pool-memory/set", test_set);
  add_with_census ("/pool-memory/blocking", test_blocking);
  add_with_census ("/pool-memory/no-template", test_no_template);
  add_with_data ("/pool-memory/rarely", GUINT_TO_POINTER (1), test_rarely);
  add_with_data ("/pool-memory/never", GUINT_TO_POINTER (0), test_rarely);
  add_with_census ("/pool-memory/dropped", test_dropped);

  return g_test_run ();
}
