/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Maps: the order of jobs, how many jobs a map gives to its pool, failures, lists that change, and
 * maps that end early. */

#include "test-pool-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Items that have the worker answer with their index. */
static GVariant *
new_echo_items (guint32 n_items)
{
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(su)"));

  for (guint32 i = 0; i < n_items; i++)
    g_variant_builder_add (&builder, "(su)", "echo", i);
  return g_variant_builder_end (&builder);
}

static AForkJob *
new_job (const char *what,
         guint32     number)
{
  return afork_job_new (do_args (what, number));
}

static void
append_job (GListStore *list,
            const char *what,
            guint32     number)
{
  g_autoptr(AForkJob) job = new_job (what, number);

  g_list_store_append (list, job);
}

static GListStore *
new_echo_list (guint32 n_items)
{
  GListStore *list = g_list_store_new (AFORK_TYPE_JOB);

  for (guint32 i = 0; i < n_items; i++)
    append_job (list, "echo", i);
  return list;
}

static GVariant *
get_result (GListStore *list,
            guint       position)
{
  g_autoptr(AForkJob) job = g_list_model_get_item (G_LIST_MODEL (list), position);

  return afork_job_get_result (job);
}

static void
begin_next (AForkMap      *map,
            GAsyncResult **result)
{
  afork_map_next_async (map, NULL, store_result_cb, result);
}

/* Waits until the call ends, and clears RESULT. */
static AForkJob *
finish_next (AForkMap      *map,
             GAsyncResult **result,
             GError       **error)
{
  g_autoptr(GAsyncResult) ended = NULL;

  await_result (result);
  ended = g_steal_pointer (result);
  return afork_map_next_finish (map, ended, error);
}

static AForkJob *
await_next (AForkMap *map)
{
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;
  AForkJob *job;

  begin_next (map, &result);
  job = finish_next (map, &result, &error);
  g_assert_no_error (error);
  return job;
}

/* The next job must have this index, and the worker must have answered with NUMBER. */
static void
expect_next (AForkMap *map,
             guint     index,
             guint32   number)
{
  g_autoptr(AForkJob) job = await_next (map);

  g_assert_nonnull (job);
  g_assert_cmpuint (afork_job_get_index (job), ==, index);
  g_assert_no_error (afork_job_get_error (job));
  assert_uint32 (afork_job_get_result (job), number);
}

static void
expect_next_error (AForkMap   *map,
                   guint       index,
                   GQuark      domain,
                   int         code,
                   const char *text)
{
  g_autoptr(AForkJob) job = await_next (map);

  g_assert_nonnull (job);
  g_assert_cmpuint (afork_job_get_index (job), ==, index);
  g_assert_null (afork_job_get_result (job));
  g_assert_error (afork_job_get_error (job), domain, code);
  g_assert_nonnull (strstr (afork_job_get_error (job)->message, text));
}

static void
expect_end (AForkMap *map)
{
  g_assert_null (await_next (map));
}

/* The map itself must fail. */
static void
expect_failure (AForkMap *map,
                GQuark    domain,
                int       code)
{
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;

  begin_next (map, &result);
  g_assert_null (finish_next (map, &result, &error));
  g_assert_error (error, domain, code);
}

static guint
count_jobs (AForkPool *pool)
{
  return afork_pool_get_n_queued (pool) + afork_pool_get_n_running (pool);
}

static void
test_ordered (void)
{
  AForkPool *pool = new_pool ("max-workers", 3, "start-delay", 0, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (500), AFORK_MAP_ORDERED);

  for (guint32 i = 0; i < 500; i++)
    expect_next (map, i, i);
  expect_end (map);
  expect_end (map);
  g_assert_finalize_object (map);

  map = afork_pool_map (pool, new_echo_items (0), AFORK_MAP_ORDERED);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The first job ends last. */
static void
test_unordered (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "load", 1, "start-delay", 0, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  g_autoptr(GHashTable) seen = g_hash_table_new (NULL, NULL);
  int gate;
  g_autoptr(AForkJob) gate_job = new_gate_job ("gate", &gate);
  AForkMap *map;

  g_list_store_append (list, gate_job);
  for (guint32 i = 1; i < 30; i++)
    append_job (list, "echo", i);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_UNORDERED);
  for (guint i = 1; i < 30; i++)
    {
      g_autoptr(AForkJob) job = await_next (map);
      const guint index = afork_job_get_index (job);

      assert_uint32 (afork_job_get_result (job), index);
      g_assert_true (g_hash_table_add (seen, GUINT_TO_POINTER (index)));
    }
  close (gate);
  g_assert_true (await_next (map) == gate_job);
  g_object_unref (gate_job);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Items of different types. */
static void
test_variants (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  AForkMap *map = afork_pool_map (pool, g_variant_new_parsed ("[<('echo', uint32 1)>]"),
                                  AFORK_MAP_ORDERED);

  expect_next (map, 0, 1);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Iterates the main context until the first N jobs of the list have results. */
static void
await_results (GListStore *list,
               guint       n)
{
  for (guint i = 0; i < n; i++)
    while (get_result (list, i) == NULL)
      g_main_context_iteration (NULL, TRUE);
}

/* Iterates the main context until the pool has no jobs. */
static void
await_idle (AForkPool *pool)
{
  while (count_jobs (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  iterate ();
}

/* A map begins LOOK_AHEAD jobs, and one more for each job that it returns. */
static void
check_look_ahead (AForkMapFlags flags)
{
  enum { LOOK_AHEAD = 5, N_ITEMS = 20 };
  AForkPool *pool = new_pool ("max-workers", 2, "load", 2, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  guint n_begun = 0;
  AForkMap *map;

  for (guint32 i = 0; i < N_ITEMS; i++)
    append_job (list, "emit", i);
  g_signal_connect (pool, "event", G_CALLBACK (count_event_cb), &n_begun);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), flags);
  afork_map_set_look_ahead (map, LOOK_AHEAD);
  g_assert_cmpuint (afork_map_get_look_ahead (map), ==, LOOK_AHEAD);
  g_assert_cmpuint (count_jobs (pool), ==, 0);
  for (guint i = 0; i < N_ITEMS; i++)
    {
      const guint n_expected = MIN (LOOK_AHEAD + i, N_ITEMS);

      await_results (list, n_expected);
      await_idle (pool);
      g_assert_cmpuint (n_begun, ==, n_expected);
      g_object_unref (await_next (map));
    }
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_look_ahead_ordered (void)
{
  check_look_ahead (AFORK_MAP_ORDERED);
}

static void
test_look_ahead_unordered (void)
{
  check_look_ahead (AFORK_MAP_UNORDERED);
}

/* By default, there are four jobs for each that the workers can have. */
static void
test_look_ahead_default (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "load", 3, NULL);
  g_autoptr(GListStore) list = new_echo_list (100);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);

  await_results (list, 24);
  await_idle (pool);
  g_assert_null (get_result (list, 24));

  /* With the highest number, the map gives all jobs to the pool. */
  afork_map_set_look_ahead (map, G_MAXUINT);
  await_results (list, 100);
  for (guint32 i = 0; i < 100; i++)
    expect_next (map, i, i);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Items that fail or crash their worker, among others. */
static void
test_errors (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(su)"));
  const int fatal[] = { SIGSEGV, SIGKILL, SIGBUS };
  AForkMap *map;

  for (guint32 i = 0; i < 30; i++)
    if (i % 10 == 3)
      g_variant_builder_add (&builder, "(su)", "error", G_IO_ERROR_BUSY);
    else if (i % 10 == 7)
      g_variant_builder_add (&builder, "(su)", "signal", fatal[i / 10]);
    else
      g_variant_builder_add (&builder, "(su)", "echo", i);
  map = afork_pool_map (pool, g_variant_builder_end (&builder), AFORK_MAP_ORDERED);
  for (guint32 i = 0; i < 30; i++)
    if (i % 10 == 3)
      expect_next_error (map, i, G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
    else if (i % 10 == 7)
      expect_next_error (map, i, AFORK_ERROR, AFORK_ERROR_SIGNALED, "was ended");
    else
      expect_next (map, i, i);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* What is wrong with the items themselves. */
static void
test_invalid (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (1);
  g_autoptr(GError) error = NULL;
  AForkMap *map = afork_pool_map (pool, g_variant_new_string ("echo"), AFORK_MAP_UNORDERED);

  expect_failure (map, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  expect_failure (map, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_null (afork_map_next (map, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "“s”"));
  afork_map_set_look_ahead (map, 3);
  afork_map_close (map);
  g_assert_finalize_object (map);

  map = g_object_new (AFORK_TYPE_MAP, "pool", pool, NULL);
  expect_failure (map, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_finalize_object (map);
  map = g_object_new (AFORK_TYPE_MAP, "pool", pool, "items", new_echo_items (1), "jobs", list,
                      "look-ahead", 1, NULL);
  expect_failure (map, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_finalize_object (map);
  map = g_object_new (AFORK_TYPE_MAP, "jobs", list, NULL);
  expect_failure (map, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A list with something else than a job, with a job that was run, with the same job twice, and with
 * a job that was cancelled. */
static void
test_invalid_jobs (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(GListStore) list = g_list_store_new (G_TYPE_OBJECT);
  g_autoptr(GCancellable) other = g_cancellable_new ();
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(AForkJob) twice = new_job ("echo", 2);
  g_autoptr(AForkJob) cancelled = new_job ("echo", 4);
  GAsyncResult *result = NULL;
  AForkMap *map;

  job = begin_pool_job (pool, "echo", 1, &result);
  await_answer (pool, &result);
  afork_job_cancel (cancelled);
  g_list_store_append (list, other);
  g_list_store_append (list, job);
  g_list_store_append (list, twice);
  g_list_store_append (list, twice);
  g_list_store_append (list, cancelled);
  append_job (list, "echo", 5);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  expect_next_error (map, 0, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "GCancellable");
  expect_next_error (map, 1, AFORK_ERROR, AFORK_ERROR_CLOSED, "already");
  expect_next (map, 2, 2);
  expect_next_error (map, 3, AFORK_ERROR, AFORK_ERROR_CLOSED, "already");
  expect_next_error (map, 4, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
  expect_next (map, 5, 5);
  expect_end (map);
  assert_uint32 (afork_job_get_result (job), 1);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Several calls wait at a time, and one of them is cancelled. Each gets a job, in order. */
static void
test_pending (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (5), AFORK_MAP_ORDERED);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  GAsyncResult *results[7] = { NULL };
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 7; i++)
    afork_map_next_async (map, i == 2 ? cancellable : NULL, store_result_cb, &results[i]);
  g_cancellable_cancel (cancellable);
  for (guint32 i = 0, n = 0; i < 7; i++)
    {
      g_autoptr(AForkJob) job = finish_next (map, &results[i], &error);

      if (i == 2)
        {
          g_assert_null (job);
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          g_clear_error (&error);
          continue;
        }
      g_assert_no_error (error);
      if (i == 6)
        g_assert_null (job);
      else
        assert_uint32 (afork_job_get_result (job), n++);
    }

  afork_map_next_async (map, cancellable, store_result_cb, &results[0]);
  g_assert_null (finish_next (map, &results[0], &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A job that is cancelled by itself, while it waits and while it runs. */
static void
test_cancelled_jobs (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "grace", 5000, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  g_autoptr(AForkJob) running = new_job ("wait", 0);
  g_autoptr(AForkJob) waiting = new_job ("echo", 1);
  AForkMap *map;

  g_list_store_append (list, running);
  g_list_store_append (list, waiting);
  append_job (list, "echo", 2);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  await_job_state (running, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (waiting);
  afork_job_cancel (running);
  expect_next_error (map, 0, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
  expect_next_error (map, 1, G_IO_ERROR, G_IO_ERROR_CANCELLED, "");
  expect_next (map, 2, 2);
  g_assert_cmpint (afork_job_get_state (running), ==, AFORK_JOB_STATE_CANCELLED);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A map is closed or dropped: jobs that wait are cancelled, jobs that were begun go on, and jobs
 * that were not given to the pool are not run. */
static void
check_early_end (void (*end) (AForkMap *map))
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  AForkJob *jobs[5];
  int gate;
  AForkMap *map;

  jobs[0] = new_job ("echo", 0);
  jobs[1] = new_gate_job ("gate", &gate);
  jobs[2] = new_job ("echo", 2);
  jobs[3] = new_job ("echo", 3);
  jobs[4] = new_job ("echo", 4);
  for (guint i = 0; i < 5; i++)
    g_list_store_append (list, jobs[i]);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  afork_map_set_look_ahead (map, 3);
  await_job_state (jobs[1], AFORK_JOB_STATE_RUNNING);
  end (map);
  await_job_state (jobs[2], AFORK_JOB_STATE_SUCCEEDED);
  close (gate);
  await_job_state (jobs[1], AFORK_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (afork_job_get_state (jobs[0]), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (afork_job_get_state (jobs[1]), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (afork_job_get_state (jobs[2]), ==, AFORK_JOB_STATE_CANCELLED);
  g_assert_cmpint (afork_job_get_state (jobs[3]), !=, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (afork_job_get_state (jobs[4]), ==, AFORK_JOB_STATE_NEW);
  for (guint i = 0; i < 5; i++)
    g_object_unref (jobs[i]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
drop (AForkMap *map)
{
  g_assert_finalize_object (map);
}

static gpointer
drop_thread (gpointer data)
{
  g_assert_finalize_object (AFORK_MAP (data));
  return NULL;
}

static void
drop_elsewhere (AForkMap *map)
{
  g_thread_join (g_thread_new ("drop", drop_thread, map));
}

/* Drops the last reference that the program has. The library may go on with the object in one more
 * iteration, after its last task has returned. */
static void
drop_and_await (AForkMap *map)
{
  gpointer left = map;

  g_object_add_weak_pointer (G_OBJECT (map), &left);
  g_object_unref (map);
  while (left != NULL)
    g_main_context_iteration (NULL, TRUE);
}

static void
end_by_close (AForkMap *map)
{
  GAsyncResult *results[2] = { NULL };
  g_autoptr(GError) error = NULL;

  g_object_unref (await_next (map));
  begin_next (map, &results[0]);
  begin_next (map, &results[1]);
  afork_map_close (map);
  afork_map_close (map);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_null (finish_next (map, &results[i], &error));
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
      g_clear_error (&error);
    }
  expect_failure (map, AFORK_ERROR, AFORK_ERROR_CLOSED);
  drop_and_await (map);
}

static void
end_by_run_dispose (AForkMap *map)
{
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;

  g_object_unref (await_next (map));
  begin_next (map, &result);
  g_object_run_dispose (G_OBJECT (map));
  g_assert_null (finish_next (map, &result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  expect_failure (map, AFORK_ERROR, AFORK_ERROR_CLOSED);
  drop_and_await (map);
}

static void
test_drop (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (3);
  AForkMap *map;

  /* A map that has not begun. */
  g_assert_finalize_object (afork_pool_map (pool, new_echo_items (10), AFORK_MAP_ORDERED));
  g_assert_finalize_object (afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED));

  /* A map with jobs that have ended, of which some were returned. */
  map = afork_pool_map (pool, new_echo_items (10), AFORK_MAP_UNORDERED);
  expect_next (map, 0, 0);
  await_idle (pool);
  g_assert_finalize_object (map);

  /* A map at its end. */
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_UNORDERED);
  for (guint32 i = 0; i < 3; i++)
    expect_next (map, i, i);
  expect_end (map);
  g_assert_finalize_object (map);
  append_job (list, "echo", 4);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  check_early_end (drop);
  check_early_end (drop_elsewhere);
}

/* A map that has very many jobs is closed while some of them run. */
static void
test_close_many (void)
{
  const guint n_jobs = is_instrumented () ? 2000 : 50 * 1000;
  AForkPool *pool = new_pool ("max-workers", 2, "start-delay", 0, NULL);
  g_autoptr(GListStore) list = new_echo_list (n_jobs);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_UNORDERED);
  guint n_succeeded = 0, n_cancelled = 0;

  afork_map_set_look_ahead (map, G_MAXUINT);
  while (count_jobs (pool) < n_jobs / 2)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (await_next (map));
  g_assert_finalize_object (map);
  await_idle (pool);
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = g_list_model_get_item (G_LIST_MODEL (list), i);

      n_succeeded += afork_job_get_state (job) == AFORK_JOB_STATE_SUCCEEDED;
      n_cancelled += afork_job_get_state (job) == AFORK_JOB_STATE_CANCELLED;
    }
  g_test_message ("%u jobs: %u succeeded, %u were cancelled", n_jobs, n_succeeded, n_cancelled);
  g_assert_cmpuint (n_succeeded, >, 0);
  g_assert_cmpuint (n_cancelled, >, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_close (void)
{
  check_early_end (end_by_close);
  check_early_end (end_by_run_dispose);
}

typedef struct
{
  AForkMap *map;
  guint     n;
  guint     n_nested;
  gboolean  is_dropped;
} Within;

static void
nest_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  Within *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkJob) job = afork_map_next_finish (AFORK_MAP (object), result, &error);

  g_assert_no_error (error);
  assert_uint32 (afork_job_get_result (job), self->n);
  self->n++;
  if (self->n < 10)
    {
      /* A main loop within the callback waits for the next job. */
      g_autoptr(AForkJob) next = await_next (self->map);

      assert_uint32 (afork_job_get_result (next), self->n);
      self->n++;
      afork_map_next_async (self->map, NULL, nest_cb, self);
      return;
    }

  g_clear_object (&self->map);
  self->is_dropped = TRUE;
}

/* A callback runs a main loop that waits for the next job, and in the end drops the map. */
static void
test_within (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  Within within = { .map = afork_pool_map (pool, new_echo_items (100), AFORK_MAP_ORDERED) };

  afork_map_next_async (within.map, NULL, nest_cb, &within);
  while (!within.is_dropped)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (within.n, ==, 11);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A handler of a job closes the map when the job is queued, begins or has ended. */
static void
close_map_cb (AForkJob   *job,
              GParamSpec *pspec,
              Within     *within)
{
  if (afork_job_get_state (job) == (AForkJobState) within->n)
    afork_map_close (within->map);
}

static void
test_within_close (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);

  for (AForkJobState state = AFORK_JOB_STATE_QUEUED; state <= AFORK_JOB_STATE_SUCCEEDED; state++)
    {
      g_autoptr(GListStore) list = new_echo_list (10);
      g_autoptr(AForkJob) job = g_list_model_get_item (G_LIST_MODEL (list), 3);
      Within within = { .n = state };

      within.map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_UNORDERED);
      g_signal_connect (job, "notify::state", G_CALLBACK (close_map_cb), &within);
      await_job_state (job, AFORK_JOB_STATE_SUCCEEDED);
      await_idle (pool);
      expect_failure (within.map, AFORK_ERROR, AFORK_ERROR_CLOSED);
      g_assert_finalize_object (within.map);
      g_signal_handlers_disconnect_by_data (job, &within);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A handler of a job runs a main loop that waits until the map returns this job. */
static void
await_map_cb (AForkJob   *job,
              GParamSpec *pspec,
              Within     *within)
{
  if (afork_job_get_state (job) != AFORK_JOB_STATE_SUCCEEDED)
    return;

  g_assert_true (await_next (within->map) == job);
  g_object_unref (job);
  within->is_dropped = TRUE;
}

static void
test_within_wait (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  g_autoptr(GListStore) list = new_echo_list (1);
  g_autoptr(AForkJob) job = g_list_model_get_item (G_LIST_MODEL (list), 0);
  Within within = { 0 };

  within.map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  g_signal_connect (job, "notify::state", G_CALLBACK (await_map_cb), &within);
  while (!within.is_dropped)
    g_main_context_iteration (NULL, TRUE);
  expect_end (within.map);
  g_assert_finalize_object (within.map);
  g_signal_handlers_disconnect_by_data (job, &within);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The memory of a map does not grow with the number of its items. */
static void
check_memory (AForkMapFlags flags)
{
  const guint n_items = is_instrumented () ? 5000 : 100 * 1000;
  const guint n_warm = n_items / 5;
  AForkPool *pool = new_pool ("max-workers", 2, "load", 8, "start-delay", 0, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (n_items), flags);
  gsize before = 0, most = 0;
  guint64 sum = 0;

  for (guint i = 0; i < n_items; i++)
    {
      g_autoptr(AForkJob) job = await_next (map);

      sum += g_variant_get_uint32 (afork_job_get_result (job));
      if (i == n_warm)
        before = get_own_memory ();
      else if (i > n_warm && i % 1000 == 0)
        most = MAX (most, get_own_memory ());
    }
  g_test_message ("%u items: %" G_GSIZE_FORMAT " bytes at %u, %" G_GSIZE_FORMAT " at most",
                  n_items, before, n_warm, most);
  g_assert_cmpuint (sum, ==, (guint64) n_items * (n_items - 1) / 2);
  g_assert_cmpuint (most, <=, before + 100 * 1024);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_memory_ordered (void)
{
  check_memory (AFORK_MAP_ORDERED);
}

static void
test_memory_unordered (void)
{
  check_memory (AFORK_MAP_UNORDERED);
}

/* Lists. */

/* Jobs that are appended are run, also if all jobs were returned before. */
static void
test_list_append (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  GAsyncResult *result = NULL;

  expect_end (map);
  append_job (list, "echo", 0);
  expect_next (map, 0, 0);
  expect_end (map);

  /* A job is also run if nobody waits for it. */
  append_job (list, "echo", 1);
  append_job (list, "echo", 2);
  await_results (list, 3);
  begin_next (map, &result);
  append_job (list, "echo", 3);
  g_object_unref (finish_next (map, &result, NULL));
  expect_next (map, 2, 2);
  expect_next (map, 3, 3);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs that are removed: one that runs, one that waits in the pool, one that the map has not given
 * to the pool, and one that has ended. */
static void
test_list_remove (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "grace", 5000, NULL);
  g_autoptr(GListStore) list = new_echo_list (1);
  g_autoptr(AForkJob) running = new_job ("wait", 0);
  g_autoptr(AForkJob) waiting = new_job ("echo", 2);
  g_autoptr(AForkJob) other = new_job ("echo", 3);
  AForkMap *map;

  g_list_store_append (list, running);
  g_list_store_append (list, waiting);
  append_job (list, "echo", 8);
  g_list_store_append (list, other);
  append_job (list, "echo", 9);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  afork_map_set_look_ahead (map, 4);
  await_job_state (running, AFORK_JOB_STATE_RUNNING);
  g_list_store_remove (list, 4);
  g_list_store_splice (list, 0, 3, NULL, 0);
  await_job_state (running, AFORK_JOB_STATE_SUCCEEDED);
  await_job_state (waiting, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_cmpint (afork_job_get_state (running), ==, AFORK_JOB_STATE_CANCELLED);
  g_assert_cmpint (afork_job_get_state (waiting), ==, AFORK_JOB_STATE_CANCELLED);
  expect_next (map, 0, 8);
  expect_next (map, 1, 9);
  expect_end (map);
  g_assert_cmpint (afork_job_get_state (other), ==, AFORK_JOB_STATE_NEW);

  g_list_store_remove_all (list);
  expect_end (map);
  append_job (list, "echo", 5);
  expect_next (map, 0, 5);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs that are inserted before others: an ordered map returns the first job in the list that it
 * has not returned, even if many jobs behind it have ended. */
static void
test_list_insert (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (10);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);

  afork_map_set_look_ahead (map, 2);
  expect_next (map, 0, 0);
  expect_next (map, 1, 1);
  await_results (list, 4);
  for (guint32 i = 0; i < 5; i++)
    {
      g_autoptr(AForkJob) job = new_job ("echo", 100 + i);

      g_list_store_insert (list, i < 3 ? 0 : 7, job);
    }
  expect_next (map, 0, 102);
  expect_next (map, 1, 101);
  expect_next (map, 2, 100);
  expect_next (map, 5, 2);
  expect_next (map, 6, 3);
  expect_next (map, 7, 104);
  expect_next (map, 8, 103);
  for (guint32 i = 4; i < 10; i++)
    expect_next (map, i + 5, i);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static int
compare_reverse (gconstpointer a,
                 gconstpointer b,
                 gpointer      data)
{
  guint32 numbers[2];

  g_variant_get (afork_job_get_args ((AForkJob *) a), "(su)", NULL, &numbers[0]);
  g_variant_get (afork_job_get_args ((AForkJob *) b), "(su)", NULL, &numbers[1]);
  return numbers[0] < numbers[1] ? 1 : -1;
}

/* A list is sorted while its jobs are run: no job is cancelled, and each is returned once. */
static void
check_sort (AForkMapFlags flags,
            guint         n_before)
{
  enum { N_JOBS = 60 };
  AForkPool *pool = new_pool ("max-workers", 2, NULL);
  g_autoptr(GListStore) list = new_echo_list (N_JOBS);
  g_autoptr(GHashTable) seen = g_hash_table_new (NULL, NULL);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), flags);

  afork_map_set_look_ahead (map, 7);
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(AForkJob) job = NULL;
      guint32 number;

      if (i == n_before)
        g_list_store_sort (list, compare_reverse, NULL);
      job = await_next (map);
      g_assert_no_error (afork_job_get_error (job));
      number = g_variant_get_uint32 (afork_job_get_result (job));
      g_assert_true (g_hash_table_add (seen, GUINT_TO_POINTER (number)));
      if (i < n_before)
        g_assert_cmpuint (afork_job_get_index (job), ==, number);
      else
        g_assert_cmpuint (afork_job_get_index (job), ==, N_JOBS - 1 - number);
      if (i >= n_before && flags == AFORK_MAP_ORDERED)
        g_assert_cmpuint (number, ==, N_JOBS - 1 - (i - n_before));
    }
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_list_sort (void)
{
  check_sort (AFORK_MAP_ORDERED, 0);
  check_sort (AFORK_MAP_ORDERED, 20);
  check_sort (AFORK_MAP_UNORDERED, 0);
  check_sort (AFORK_MAP_UNORDERED, 20);
}

/* A job is moved by two changes: it is removed, and inserted again, while it runs. */
static void
test_list_move (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);
  AForkMap *map;

  g_list_store_append (list, job);
  for (guint32 i = 1; i < 6; i++)
    append_job (list, "echo", i);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  afork_map_set_look_ahead (map, 3);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  g_list_store_remove (list, 0);
  g_list_store_insert (list, 2, job);
  iterate ();
  g_list_store_remove (list, 2);
  g_list_store_append (list, job);
  iterate ();
  close (gate);
  for (guint32 i = 0; i < 5; i++)
    expect_next (map, i, i + 1);
  g_assert_true (await_next (map) == job);
  g_object_unref (job);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A list changes at random. Each job that stays is returned once, and no other job. */
static void
test_list_random (void)
{
  const guint n_steps = is_instrumented () ? 300 : 3000;
  AForkPool *pool = new_pool ("max-workers", 2, "start-delay", 0, NULL);
  g_autoptr(GListStore) list = new_echo_list (20);
  g_autoptr(GHashTable) seen = g_hash_table_new (NULL, NULL);
  AForkMap *map = afork_pool_map_jobs (pool, G_LIST_MODEL (list),
                                       g_test_rand_bit () ? AFORK_MAP_ORDERED
                                                          : AFORK_MAP_UNORDERED);
  AForkJob *job;

  afork_map_set_look_ahead (map, 6);
  for (guint i = 0; i < n_steps; i++)
    {
      const guint n = g_list_model_get_n_items (G_LIST_MODEL (list));
      const guint position = (guint) g_test_rand_int_range (0, (int) n + 1);
      g_autoptr(AForkJob) moved = g_list_model_get_item (G_LIST_MODEL (list), position);

      switch (g_test_rand_int_range (0, 6))
        {
        case 0:
        case 1:
          job = new_job ("echo", i);
          g_list_store_insert (list, position, job);
          g_object_unref (job);
          break;
        case 2:
          if (moved != NULL)
            g_list_store_remove (list, position);
          break;
        case 3:
          if (moved != NULL)
            {
              g_list_store_remove (list, position);
              g_list_store_insert (list, (guint) g_test_rand_int_range (0, (int) n), moved);
            }
          break;
        case 4:
          if (g_test_rand_int_range (0, 20) == 0)
            g_list_store_sort (list, compare_reverse, NULL);
          break;
        default:
          job = await_next (map);
          if (job != NULL)
            {
              g_assert_no_error (afork_job_get_error (job));
              g_assert_true (g_hash_table_add (seen, job));
            }
        }
      if (g_test_rand_bit ())
        iterate ();
    }
  while ((job = await_next (map)) != NULL)
    g_assert_true (g_hash_table_add (seen, job));
  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (list)); i++)
    {
      g_autoptr(AForkJob) each = g_list_model_get_item (G_LIST_MODEL (list), i);

      g_assert_true (g_hash_table_contains (seen, each));
      g_assert_nonnull (afork_job_get_result (each));
    }
  g_hash_table_foreach (seen, (GHFunc) g_object_unref, NULL);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The pool. */

/* A pool with a limit never refuses a job of a map, and maps take turns. Other jobs may still be
 * refused. */
static void
test_queue_limit (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "queue-limit", 1, NULL);
  AForkMap *maps[3];
  guint n_most = 0;

  for (guint i = 0; i < 3; i++)
    maps[i] = afork_pool_map (pool, new_echo_items (40), AFORK_MAP_ORDERED);
  for (guint32 i = 0; i < 40; i++)
    for (guint j = 0; j < 3; j++)
      {
        expect_next (maps[j], i, i);
        n_most = MAX (n_most, afork_pool_get_n_queued (pool));
      }
  for (guint i = 0; i < 3; i++)
    {
      expect_end (maps[i]);
      g_assert_finalize_object (maps[i]);
    }
  g_assert_cmpuint (n_most, <=, 1);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A pool is shut down while a map has items left. What the pool has accepted is returned, and then
 * the map fails. */
static void
check_shutdown (AForkShutdownMode mode,
                AForkMapFlags     flags)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  g_autoptr(GListStore) list = new_echo_list (0);
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);
  AForkMap *map;

  g_list_store_append (list, job);
  for (guint32 i = 1; i < 10; i++)
    append_job (list, "echo", i);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), flags);
  afork_map_set_look_ahead (map, 3);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  afork_pool_shutdown_async (pool, mode, NULL, NULL, NULL);
  if (mode == AFORK_SHUTDOWN_MODE_DRAIN)
    close (gate);
  for (guint32 i = 0; i < 3; i++)
    {
      g_autoptr(AForkJob) ended = await_next (map);

      if (mode == AFORK_SHUTDOWN_MODE_DRAIN)
        g_assert_no_error (afork_job_get_error (ended));
      else
        g_assert_error (afork_job_get_error (ended), AFORK_ERROR, AFORK_ERROR_CLOSED);
      if (flags == AFORK_MAP_ORDERED || mode == AFORK_SHUTDOWN_MODE_DRAIN)
        g_assert_cmpuint (afork_job_get_index (ended), ==, i);
    }
  if (mode == AFORK_SHUTDOWN_MODE_ABORT)
    close (gate);
  expect_failure (map, AFORK_ERROR, AFORK_ERROR_CLOSED);
  expect_failure (map, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (map);

  /* A map of a pool that was shut down before. */
  map = afork_pool_map (pool, new_echo_items (3), flags);
  expect_failure (map, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (map);
  map = afork_pool_map (pool, new_echo_items (0), flags);
  expect_end (map);
  g_assert_finalize_object (map);
  shut_down_pool (pool, mode);
}

static void
test_shutdown_drain (void)
{
  check_shutdown (AFORK_SHUTDOWN_MODE_DRAIN, AFORK_MAP_ORDERED);
  check_shutdown (AFORK_SHUTDOWN_MODE_DRAIN, AFORK_MAP_UNORDERED);
}

static void
test_shutdown_abort (void)
{
  check_shutdown (AFORK_SHUTDOWN_MODE_ABORT, AFORK_MAP_ORDERED);
  check_shutdown (AFORK_SHUTDOWN_MODE_ABORT, AFORK_MAP_UNORDERED);
}

/* A pool is shut down while a map waits for room. */
static void
test_shutdown_full (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "queue-limit", 1, NULL);
  GAsyncResult *results[3] = { NULL };
  AForkMap *map;
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);
  g_autoptr(GError) error = NULL;

  begin_job (pool, job, &results[0]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  begin_pool_call (pool, "echo", 1, &results[1]);
  map = afork_pool_map (pool, new_echo_items (3), AFORK_MAP_ORDERED);
  begin_next (map, &results[2]);
  iterate ();
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, NULL, NULL);
  g_assert_null (finish_next (map, &results[2], &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  close (gate);
  await_answer (pool, &results[0]);
  await_answer (pool, &results[1]);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The pool is disposed of before the map has begun, and while the map has jobs. */
static void
check_pool_disposed (gboolean has_jobs)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (100), AFORK_MAP_ORDERED);
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;
  AForkJob *job;

  if (has_jobs)
    expect_next (map, 0, 0);
  g_assert_cmpint (has_jobs, ==, count_jobs (pool) > 0);
  begin_next (map, &result);
  g_object_run_dispose (G_OBJECT (pool));
  while ((job = finish_next (map, &result, &error)) != NULL)
    {
      g_assert_true (has_jobs);
      g_object_unref (job);
      begin_next (map, &result);
    }
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_ABORT);
}

static void
test_pool_disposed (void)
{
  check_pool_disposed (FALSE);
  check_pool_disposed (TRUE);
}

/* Blocking calls. */

static gboolean
count_idle_cb (gpointer data)
{
  (*(guint *) data)++;
  return G_SOURCE_CONTINUE;
}

static void
test_blocking (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "start-delay", 0, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (200), AFORK_MAP_ORDERED);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;
  GAsyncResult *result = NULL;
  guint n_idle = 0;
  guint id = g_idle_add (count_idle_cb, &n_idle);
  AForkJob *job;

  for (guint32 i = 0; i < 100; i++)
    {
      job = afork_map_next (map, NULL, &error);
      g_assert_no_error (error);
      assert_uint32 (afork_job_get_result (job), i);
      g_object_unref (job);
    }
  g_assert_cmpuint (n_idle, ==, 0);
  g_source_remove (id);

  /* With calls that do not block in between. */
  for (guint32 i = 100; i < 200; i += 2)
    {
      begin_next (map, &result);
      job = afork_map_next (map, NULL, &error);
      g_assert_no_error (error);
      assert_uint32 (afork_job_get_result (job), i + 1);
      g_object_unref (job);
      job = finish_next (map, &result, &error);
      assert_uint32 (afork_job_get_result (job), i);
      g_object_unref (job);
    }
  g_assert_null (afork_map_next (map, NULL, &error));
  g_assert_no_error (error);
  g_cancellable_cancel (cancellable);
  g_assert_null (afork_map_next (map, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A job hangs while a call blocks. Its time limit ends it. */
static void
test_blocking_timeout (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "timeout", 100, "grace", 10, NULL);
  g_autoptr(GListStore) list = new_echo_list (1);
  g_autoptr(GError) error = NULL;
  AForkMap *map;

  append_job (list, "stuck", 1);
  append_job (list, "echo", 2);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkJob) job = afork_map_next (map, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (afork_job_get_index (job), ==, i);
      if (i == 1)
        g_assert_error (afork_job_get_error (job), AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
    }
  g_assert_null (afork_map_next (map, NULL, &error));
  g_assert_no_error (error);
  g_assert_finalize_object (map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Contexts and threads. */

static gpointer
context_thread (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkPool *pool;
  AForkMap *map;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  pool = new_pool ("max-workers", 2, NULL);
  map = afork_pool_map (pool, new_echo_items (50), AFORK_MAP_ORDERED);
  for (guint32 i = 0; i < 50; i++)
    {
      GAsyncResult *result = NULL;
      g_autoptr(AForkJob) job = NULL;

      if (i % 2 == 0)
        {
          job = afork_map_next (map, NULL, &error);
        }
      else
        {
          begin_next (map, &result);
          while (result == NULL)
            g_main_context_iteration (context, TRUE);
          job = finish_next (map, &result, &error);
        }
      g_assert_no_error (error);
      assert_uint32 (afork_job_get_result (job), i);
    }
  g_assert_finalize_object (map);
  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error));
  g_assert_no_error (error);
  g_assert_finalize_object (pool);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static gpointer
refused_thread (gpointer data)
{
  AForkMap *map = data;
  AForkPool *pool;
  g_autoptr(AForkMap) other = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_map_next (map, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_error (&error);
  afork_map_set_look_ahead (map, 1);
  afork_map_close (map);
  g_assert_cmpuint (afork_map_get_look_ahead (map), ==, 0);

  g_object_get (map, "pool", &pool, NULL);
  other = afork_pool_map (pool, new_echo_items (1), AFORK_MAP_ORDERED);
  g_assert_null (afork_map_next (other, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_object_unref (pool);
  return NULL;
}

/* A map belongs to the context of its pool, and another thread is refused. */
static void
test_thread (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  AForkMap *map = afork_pool_map (pool, new_echo_items (3), AFORK_MAP_ORDERED);

  g_thread_join (g_thread_new ("context", context_thread, NULL));
  expect_next (map, 0, 0);
  g_thread_join (g_thread_new ("refused", refused_thread, map));
  expect_next (map, 1, 1);
  g_assert_finalize_object (map);
  iterate ();
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The context is freed while a call waits that was made in another context. */
static gpointer
lost_thread (gpointer data)
{
  GMainContext *context = g_main_context_new ();
  GAsyncResult *result = NULL;
  g_autoptr(GListStore) list = new_echo_list (0);
  g_autoptr(GError) error = NULL;
  AForkPool *pool;
  AForkMap *map;

  g_main_context_push_thread_default (context);
  pool = new_pool ("max-workers", 1, "load", 1, NULL);
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (list), AFORK_MAP_ORDERED);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_push_thread_default (data);
  append_job (list, "echo", 1);
  begin_next (map, &result);
  g_main_context_pop_thread_default (data);
  g_main_context_pop_thread_default (context);

  g_main_context_push_thread_default (data);
  g_main_context_unref (context);
  while (result == NULL)
    g_main_context_iteration (data, TRUE);
  g_assert_null (finish_next (map, &result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_null (afork_map_next (map, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (map);

  /* A map of a pool without a main context. */
  map = afork_pool_map (pool, new_echo_items (3), AFORK_MAP_ORDERED);
  begin_next (map, &result);
  while (result == NULL)
    g_main_context_iteration (data, TRUE);
  g_clear_error (&error);
  g_assert_null (finish_next (map, &result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_main_context_pop_thread_default (data);
  g_assert_finalize_object (map);
  g_assert_finalize_object (pool);
  return NULL;
}

static void
test_context_gone (void)
{
  g_autoptr(GMainContext) other = g_main_context_new ();

  g_thread_join (g_thread_new ("lost", lost_thread, other));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/map/ordered", test_ordered);
  add_test ("/map/unordered", test_unordered);
  add_test ("/map/variants", test_variants);
  add_test ("/map/look-ahead/ordered", test_look_ahead_ordered);
  add_test ("/map/look-ahead/unordered", test_look_ahead_unordered);
  add_test ("/map/look-ahead/default", test_look_ahead_default);
  add_test ("/map/errors", test_errors);
  add_test ("/map/invalid/items", test_invalid);
  add_test ("/map/invalid/jobs", test_invalid_jobs);
  add_test ("/map/pending", test_pending);
  add_test ("/map/cancelled-jobs", test_cancelled_jobs);
  add_test ("/map/drop", test_drop);
  add_test ("/map/close", test_close);
  add_test ("/map/close/many", test_close_many);
  add_test ("/map/within/callback", test_within);
  add_test ("/map/within/close", test_within_close);
  add_test ("/map/within/wait", test_within_wait);
  add_test ("/map/memory/ordered", test_memory_ordered);
  add_test ("/map/memory/unordered", test_memory_unordered);
  add_test ("/map/list/append", test_list_append);
  add_test ("/map/list/remove", test_list_remove);
  add_test ("/map/list/insert", test_list_insert);
  add_test ("/map/list/sort", test_list_sort);
  add_test ("/map/list/move", test_list_move);
  add_test ("/map/list/random", test_list_random);
  add_test ("/map/queue-limit", test_queue_limit);
  add_test ("/map/shutdown/drain", test_shutdown_drain);
  add_test ("/map/shutdown/abort", test_shutdown_abort);
  add_test ("/map/shutdown/full", test_shutdown_full);
  add_test ("/map/pool-disposed", test_pool_disposed);
  add_test ("/map/blocking", test_blocking);
  add_test ("/map/blocking/timeout", test_blocking_timeout);
  add_test ("/map/thread", test_thread);
  add_test ("/map/context-gone", test_context_gone);

  return g_test_run ();
}
