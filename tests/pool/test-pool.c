/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Pools: jobs and their order, workers that are started and replaced, and the exit of workers when
 * a pool is dropped or shut down. */

#include "test-pool-util.h"

#include <string.h>
#include <unistd.h>

static void
test_pool_many (void)
{
  enum { N_CALLS = 3000 };
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, N_CALLS);
  AForkPool *pool = new_pool ("max-workers", 3, "start-delay", 0, NULL);

  for (guint32 i = 0; i < N_CALLS; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  g_assert_cmpuint (afork_pool_get_n_queued (pool), ==, N_CALLS);
  for (guint32 i = 0; i < N_CALLS; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), <=, 3);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_pool_errors (void)
{
  GAsyncResult *results[3] = { NULL };
  AForkPool *pool = new_pool ("load", 2, NULL);
  g_autoptr(AForkJob) job = NULL;

  begin_pool_call (pool, "error", G_IO_ERROR_EXISTS, &results[0]);
  job = begin_pool_job (pool, "error", G_IO_ERROR_BUSY, &results[1]);
  begin_job (pool, job, &results[2]);
  await_error (pool, &results[0], G_IO_ERROR, G_IO_ERROR_EXISTS, "the worker says no");
  await_error (pool, &results[2], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  await_error (pool, &results[1], G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
  g_assert_error (afork_job_get_error (job), G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_null (afork_job_get_result (job));
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_FAILED);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The notifications of a job, in order. */
static void
append_notify_cb (GObject    *object,
                  GParamSpec *pspec,
                  gpointer    data)
{
  g_string_append_printf (data, "%s ", g_param_spec_get_name (pspec));
}

static void
test_pool_job (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  AForkPool *pool = new_pool ("load", 2, NULL);
  g_autoptr(AForkJob) job = afork_job_new (do_args ("echo", 42));
  GAsyncResult *result = NULL;

  g_signal_connect (job, "notify", G_CALLBACK (append_notify_cb), log);
  afork_job_set_key (job, "key");
  afork_job_set_priority (job, 3);
  afork_job_set_retries (job, 1);
  begin_job (pool, job, &result);
  afork_job_set_key (job, "other");
  afork_job_set_retries (job, 2);
  g_assert_cmpstr (afork_job_get_key (job), ==, "key");
  g_assert_cmpuint (afork_job_get_retries (job), ==, 1);
  g_assert_cmpuint (await_answer (pool, &result), ==, 42);
  assert_uint32 (afork_job_get_result (job), 42);
  g_assert_null (afork_job_get_error (job));
  g_assert_true (g_str_has_prefix (log->str, "key priority retries state begun state "));
  g_assert_nonnull (strstr (log->str, "result "));
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

/* Jobs with a higher priority come first, and jobs of one priority in the order in which they were
 * queued, even if the priority changes. */
static void
test_pool_priority (void)
{
  const int priorities[] = { 0, -1, 5, 0, 5, 2 };
  g_autoptr(GString) order = g_string_new (NULL);
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  AForkJob *jobs[G_N_ELEMENTS (priorities)];
  GAsyncResult *first = NULL;
  int gate;
  g_autoptr(AForkJob) gate_job = new_gate_job ("gate", &gate);

  begin_job (pool, gate_job, &first);
  await_job_state (gate_job, AFORK_JOB_STATE_RUNNING);
  for (guint32 i = 0; i < G_N_ELEMENTS (priorities); i++)
    {
      jobs[i] = afork_job_new (do_args ("echo", i));
      afork_job_set_priority (jobs[i], priorities[i]);
      afork_pool_run_job_async (pool, jobs[i], NULL, append_number_cb, order);
    }
  afork_job_set_priority (jobs[3], 9);
  afork_job_cancel (jobs[5]);
  close (gate);
  await_answer (pool, &first);
  await_text (order, "1 ");
  g_assert_cmpstr (order->str, ==, "c 3 2 4 0 1 ");
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_object_unref (jobs[i]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs with the same key go to the same worker, although other workers are free. */
static void
test_pool_key (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "min-idle", 2, NULL);
  GAsyncResult *results[2] = { NULL };
  guint32 pids[2];

  while (afork_pool_get_n_idle (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("sleep", 10));

      afork_job_set_key (job, i == 0 ? "a" : "b");
      begin_job (pool, job, &results[i]);
    }
  for (guint i = 0; i < 2; i++)
    pids[i] = await_answer (pool, &results[i]);
  g_assert_cmpuint (pids[0], !=, pids[1]);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("pid", 0));

      afork_job_set_key (job, "b");
      begin_job (pool, job, &results[0]);
      g_assert_cmpuint (await_answer (pool, &results[0]), ==, pids[1]);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
append_signal_cb (AForkPool    *pool,
                  AForkProcess *process,
                  GError       *error,
                  GString      *log)
{
  g_string_append (log, error != NULL ? "failed " : "exited ");
}

static void
append_started_cb (AForkPool    *pool,
                   AForkProcess *process,
                   GString      *log)
{
  g_assert_cmpint (afork_process_get_pid (process), >, 0);
  g_string_append (log, "started ");
}

/* Workers are started while jobs wait, and ended when they are idle. */
static void
test_pool_grow_and_shrink (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  AForkPool *pool = new_pool ("max-workers", 3, "load", 1, "start-delay", 20, "stop-delay", 20,
                              NULL);
  GAsyncResult *results[3] = { NULL };
  AForkJob *jobs[3];
  int gates[3];

  g_signal_connect (pool, "worker-started", G_CALLBACK (append_started_cb), log);
  g_signal_connect (pool, "worker-exited", G_CALLBACK (append_signal_cb), log);
  for (guint i = 0; i < 3; i++)
    {
      jobs[i] = new_gate_job ("gate", &gates[i]);
      begin_job (pool, jobs[i], &results[i]);
    }
  for (guint i = 0; i < 3; i++)
    await_job_state (jobs[i], AFORK_JOB_STATE_RUNNING);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 3);
  g_assert_cmpuint (afork_pool_get_n_running (pool), ==, 3);
  g_assert_cmpstr (log->str, ==, "started started started ");

  for (guint i = 0; i < 3; i++)
    {
      close (gates[i]);
      await_answer (pool, &results[i]);
      g_object_unref (jobs[i]);
    }
  while (afork_pool_get_n_workers (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (log->str, ==, "started started started exited exited exited ");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Workers are ready before the first job, and a pool that is never used can be dropped or shut
 * down. */
static void
test_pool_min_idle (void)
{
  AForkPool *pool = new_pool ("max-workers", 4, "min-idle", 2, NULL);

  while (afork_pool_get_n_idle (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 2);
  afork_pool_set_max_workers (pool, 1);
  while (afork_pool_get_n_workers (pool) > 1)
    g_main_context_iteration (NULL, TRUE);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);

  pool = new_pool ("min-idle", 1, NULL);
  g_assert_finalize_object (pool);
  pool = new_pool ("min-idle", 2, NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_ABORT);
  pool = new_pool ("load", 2, NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* If a pool is dropped, its idle workers exit. */
static void
test_pool_drop (void)
{
  AForkPool *pool = new_pool ("min-idle", 2, NULL);
  GAsyncResult *result = NULL;

  while (afork_pool_get_n_idle (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_finalize_object (pool);

  /* A pool with a job lives until the job has ended. */
  pool = new_pool ("load", 2, NULL);
  begin_pool_call (pool, "echo", 7, &result);
  g_object_unref (pool);
  await_result (&result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 7);
}

/* A worker that retires is replaced; it may call the function twice. */
static void
test_pool_retire (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  GAsyncResult *results[3] = { NULL };
  guint32 pid;

  begin_pool_call (pool, "retire", 0, &results[0]);
  pid = await_answer (pool, &results[0]);
  while (afork_pool_get_n_workers (pool) > 0)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < 30; i++)
    {
      g_autoptr(GHashTable) seen = g_hash_table_new (NULL, NULL);

      for (guint j = 0; j < 3; j++)
        begin_pool_call (pool, j == 0 ? "retire" : "sleep", 5, &results[j]);
      for (guint j = 0; j < 3; j++)
        g_hash_table_add (seen, GUINT_TO_POINTER (await_answer (pool, &results[j])));
      g_assert_false (g_hash_table_contains (seen, GUINT_TO_POINTER (pid)));
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_pool_max_calls (void)
{
  enum { N_CALLS = 21 };
  GAsyncResult *results[N_CALLS] = { NULL };
  g_autoptr(GHashTable) counts = g_hash_table_new (NULL, NULL);
  AForkPool *pool = new_pool ("max-workers", 2, "max-calls", 3, NULL);

  for (guint i = 0; i < N_CALLS; i++)
    begin_pool_call (pool, "pid", 0, &results[i]);
  for (guint i = 0; i < N_CALLS; i++)
    {
      gpointer pid = GUINT_TO_POINTER (await_answer (pool, &results[i]));
      guint n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, pid)) + 1;

      g_assert_cmpuint (n, <=, 3);
      g_hash_table_insert (counts, pid, GUINT_TO_POINTER (n));
    }
  g_assert_cmpuint (g_hash_table_size (counts), >=, N_CALLS / 3);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_pool_max_age (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "max-age", 20, NULL);
  g_autoptr(GHashTable) pids = g_hash_table_new (NULL, NULL);
  GAsyncResult *result = NULL;

  while (g_hash_table_size (pids) < 3)
    {
      begin_pool_call (pool, "sleep", 1, &result);
      g_hash_table_add (pids, GUINT_TO_POINTER (await_answer (pool, &result)));
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
count_cb (AForkPool *pool,
          guint     *n)
{
  (*n)++;
}

static void
test_pool_queue_limit (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, "queue-limit", 2, NULL);
  GAsyncResult *results[5] = { NULL };
  guint n_room = 0;
  int gate;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);

  g_signal_connect (pool, "room", G_CALLBACK (count_cb), &n_room);
  begin_job (pool, job, &results[0]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  for (guint i = 1; i < 5; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_OVERLOADED, "2 jobs");
  await_error (pool, &results[4], AFORK_ERROR, AFORK_ERROR_OVERLOADED, "2 jobs");
  g_assert_cmpuint (n_room, ==, 0);
  close (gate);
  await_answer (pool, &results[0]);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 1);
  g_assert_cmpuint (await_answer (pool, &results[2]), ==, 2);
  g_assert_cmpuint (n_room, ==, 1);
  begin_pool_call (pool, "echo", 5, &results[0]);
  g_assert_cmpuint (await_answer (pool, &results[0]), ==, 5);
  g_assert_cmpuint (n_room, ==, 1);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
append_event_cb (AForkPool *pool,
                 GVariant  *event,
                 GString   *log)
{
  g_autofree char *text = g_variant_print (event, FALSE);

  g_string_append_printf (log, "%s ", text);
}

static void
test_pool_event (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  AForkPool *pool = new_pool ("load", 2, NULL);
  GAsyncResult *result = NULL;

  g_signal_connect (pool, "event", G_CALLBACK (append_event_cb), log);
  begin_pool_call (pool, "emit", 5, &result);
  await_answer (pool, &result);
  g_assert_cmpstr (log->str, ==, "5 ");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Two pools have the same template, and the program uses this template as well. */
static void
test_pool_one_template (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("pool");
  AForkPool *pools[2];
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) answer = NULL;

  for (guint i = 0; i < 2; i++)
    {
      pools[i] = afork_pool_new (process, "pool_do");
      begin_pool_call (pools[i], "echo", i, &results[i]);
    }
  fork = afork_process_fork (process);
  rpc = afork_rpc_new (fork, "pool_do");
  answer = call (rpc, do_args ("echo", 9), NULL);
  assert_uint32 (answer, 9);
  close_rpc (rpc);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpuint (await_answer (pools[i], &results[i]), ==, i);
      shut_down_pool (pools[i], AFORK_SHUTDOWN_MODE_DRAIN);
    }
}

/* A blocking call dispatches only the sources that the pool needs, and other jobs go on. */
static gboolean
count_idle_cb (gpointer data)
{
  (*(guint *) data)++;
  return G_SOURCE_CONTINUE;
}

static void
test_pool_blocking (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "load", 1, "start-delay", 10, NULL);
  GAsyncResult *results[4] = { NULL };
  g_autoptr(GError) error = NULL;
  guint n_idle = 0;
  guint id = g_idle_add (count_idle_cb, &n_idle);

  for (guint i = 0; i < 4; i++)
    begin_pool_call (pool, "sleep", 20, &results[i]);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(GVariant) answer = afork_pool_call (pool, do_args ("echo", i), NULL, &error);
      g_autoptr(AForkJob) job = afork_job_new (do_args ("echo", i));
      g_autoptr(GVariant) other = NULL;

      g_assert_no_error (error);
      assert_uint32 (answer, i);
      other = afork_pool_run_job (pool, job, NULL, &error);
      g_assert_no_error (error);
      assert_uint32 (other, i);
    }
  g_assert_cmpuint (n_idle, ==, 0);
  g_source_remove (id);
  for (guint i = 0; i < 4; i++)
    g_assert_null (results[i]);
  for (guint i = 0; i < 4; i++)
    await_answer (pool, &results[i]);

  /* A worker that was started in a blocking call goes on after the call. */
  begin_pool_call (pool, "echo", 3, &results[0]);
  g_assert_cmpuint (await_answer (pool, &results[0]), ==, 3);
  g_assert_true (afork_pool_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error));
  g_assert_no_error (error);
  g_assert_null (afork_pool_call (pool, NULL, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (pool);
}

/* A handler makes a blocking call while another blocking call waits. */
static void
call_within_cb (AForkPool *pool,
                GVariant  *event,
                guint     *n)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = afork_pool_call (pool, do_args ("echo", 11), NULL, &error);

  g_assert_no_error (error);
  assert_uint32 (answer, 11);
  (*n)++;
}

static void
test_pool_blocking_within (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "load", 1, "start-delay", 0, NULL);
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;
  guint n = 0;

  g_signal_connect (pool, "event", G_CALLBACK (call_within_cb), &n);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(GVariant) answer = afork_pool_call (pool, do_args ("emit", 1), NULL, &error);

      g_assert_no_error (error);
      g_assert_nonnull (answer);
    }
  begin_pool_call (pool, "emit", 2, &result);
  await_answer (pool, &result);
  g_assert_cmpuint (n, ==, 6);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
await_result_in (GMainContext  *context,
                 GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (context, TRUE);
}

static gpointer
context_thread (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  AForkPool *pool;
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  pool = new_pool ("load", 2, NULL);
  afork_pool_call_async (pool, do_args ("echo", 4), NULL, store_result_cb, &result);
  await_result_in (context, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 4);
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
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_pool_call (data, NULL, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_object_unref (data);
  return NULL;
}

/* A pool belongs to a context of its own. Another thread, which may not use a pool, drops it. */
static void
test_pool_thread (void)
{
  AForkPool *pool = new_pool ("min-idle", 1, NULL);

  g_thread_join (g_thread_new ("context", context_thread, NULL));
  while (afork_pool_get_n_idle (pool) < 1)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (g_thread_new ("refused", refused_thread, pool));
}

typedef enum
{
  KEEP,
  DISPOSE,
  DISPOSE_AND_ITERATE,
} HowLost;

typedef struct
{
  GMainContext *other;
  HowLost       how;
  guint         n_jobs;         /* that are in the pool; the worker has the first */
} Lost;

/* The context of a pool is freed while jobs run and wait that were made in another context. The
 * pool may have been disposed of before. */
static gpointer
lost_thread (gpointer data)
{
  enum { MAX_JOBS = 2 };
  const Lost *lost = data;
  GMainContext *context = g_main_context_new ();
  AForkPool *pool;
  GAsyncResult *results[1 + MAX_JOBS] = { NULL };

  g_main_context_push_thread_default (context);
  pool = new_pool ("max-workers", 1, "load", 1, NULL);
  begin_pool_call (pool, "echo", 1, &results[0]);
  await_result_in (context, &results[0]);
  await_answer (pool, &results[0]);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);

  g_main_context_push_thread_default (lost->other);
  for (guint i = 1; i <= lost->n_jobs; i++)
    begin_pool_call (pool, "wait", 0, &results[i]);
  while (afork_pool_get_n_running (pool) == 0)
    g_main_context_iteration (context, TRUE);
  if (lost->how != KEEP)
    g_object_run_dispose (G_OBJECT (pool));
  if (lost->how == DISPOSE_AND_ITERATE)
    g_main_context_iteration (context, FALSE);
  g_main_context_pop_thread_default (lost->other);
  g_main_context_pop_thread_default (context);
  g_main_context_push_thread_default (lost->other);
  g_main_context_unref (context);
  for (guint i = 1; i <= lost->n_jobs; i++)
    {
      await_result_in (lost->other, &results[i]);
      await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
    }
  begin_pool_call (pool, "echo", 0, &results[1]);
  await_result_in (lost->other, &results[1]);
  await_error (pool, &results[1], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_main_context_pop_thread_default (lost->other);
  g_assert_finalize_object (pool);
  return NULL;
}

static void
check_context_gone (HowLost how)
{
  for (guint n_jobs = 1; n_jobs <= 2; n_jobs++)
    {
      g_autoptr(GMainContext) other = g_main_context_new ();
      Lost lost = { other, how, n_jobs };

      g_thread_join (g_thread_new ("lost", lost_thread, &lost));
    }
}

static void
test_pool_context_gone (void)
{
  check_context_gone (KEEP);
}

static void
test_pool_context_gone_disposed (void)
{
  check_context_gone (DISPOSE);
  check_context_gone (DISPOSE_AND_ITERATE);
}

/* The pool is disposed of while it is shut down: the shutdown completes. */
static void
test_pool_shutdown_disposed (void)
{
  AForkPool *pool = new_pool ("max-workers", 1, NULL);
  g_autoptr(GAsyncResult) shutdown = NULL;
  GAsyncResult *result = NULL;
  g_autoptr(GError) error = NULL;

  begin_pool_call (pool, "echo", 3, &result);
  g_assert_cmpuint (await_answer (pool, &result), ==, 3);
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, store_result_cb, &shutdown);
  g_object_run_dispose (G_OBJECT (pool));
  await_result (&shutdown);
  g_assert_true (afork_pool_shutdown_finish (pool, shutdown, &error));
  g_assert_no_error (error);
  g_clear_object (&shutdown);
  g_assert_finalize_object (pool);
}

/* Returns how long it takes until a worker has answered so many jobs that were cancelled, the last
 * one first, in microseconds of CPU time. */
static gint64
measure_late (guint n_jobs)
{
  AForkPool *pool = new_pool_later (65535);
  g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);
  gint64 time;

  afork_pool_set_grace (pool, 600 * 1000);
  for (guint i = 0; i < n_jobs; i++)
    {
      AForkJob *job = afork_job_new (do_args ("wait", i));

      afork_pool_run_job_async (pool, job, NULL, NULL, NULL);
      g_ptr_array_add (jobs, job);
    }
  await_job_state (g_ptr_array_index (jobs, n_jobs - 1), AFORK_JOB_STATE_RUNNING);
  time = get_own_time ();
  for (guint i = n_jobs; i-- > 0;)
    afork_job_cancel (g_ptr_array_index (jobs, i));
  while (afork_pool_get_n_running (pool) > 0 || afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  time = get_own_time () - time;
  g_test_message ("%u late answers took %.1f ms", n_jobs, time / 1e3);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  return time;
}

/* Four times as many late answers take about four times as long. */
static void
test_pool_late (void)
{
  const guint n_jobs = is_instrumented () ? 100 : 10 * 1000;
  const gint64 few = measure_late (n_jobs);
  const gint64 many = measure_late (4 * n_jobs);

  if (!is_instrumented ())
    g_assert_cmpint (many, <, 8 * few);
}

/* Getters return what was set when the pool was made. */
static void
test_pool_properties (void)
{
  for (guint i = 0; i < 8; i++)
    {
      const gboolean trusted = (i & 1) != 0;
      const gboolean dies = (i & 2) != 0;
      const gboolean forwards = (i & 4) != 0;
      g_autoptr(AForkProcess) process = new_module_process ("pool");
      AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                                      "trusted", trusted, "die-with-parent", dies,
                                      "forward-stderr", forwards, NULL);

      g_assert_cmpint (afork_pool_get_trusted (pool), ==, trusted);
      g_assert_cmpint (afork_pool_get_die_with_parent (pool), ==, dies);
      g_assert_cmpint (afork_pool_get_forward_stderr (pool), ==, forwards);
      g_assert_null (afork_pool_get_init_function (pool));
      g_assert_null (afork_pool_get_done_function (pool));
      g_assert_cmpstr (afork_pool_get_function (pool), ==, "pool_do");
      g_assert_true (afork_pool_get_process (pool) == process);
      shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
    }
}

static void
store_process_cb (AForkPool     *pool,
                  AForkProcess  *process,
                  AForkProcess **started)
{
  g_set_object (started, process);
}

/* The workers have the property of the pool. */
static void
test_pool_die_with_parent (void)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = new_module_process ("pool");
      AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                                      "die-with-parent", i == 1, NULL);
      g_autoptr(AForkProcess) worker = NULL;
      GAsyncResult *result = NULL;

      g_signal_connect (pool, "worker-started", G_CALLBACK (store_process_cb), &worker);
      begin_pool_call (pool, "echo", 5, &result);
      g_assert_cmpuint (await_answer (pool, &result), ==, 5);
      g_assert_nonnull (worker);
      g_assert_cmpint (afork_process_get_die_with_parent (worker), ==, i == 1);
      shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
    }
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool/properties", test_pool_properties);
  add_test ("/pool/die-with-parent", test_pool_die_with_parent);
  add_test ("/pool/many", test_pool_many);
  add_test ("/pool/errors", test_pool_errors);
  add_test ("/pool/job", test_pool_job);
  add_test ("/pool/priority", test_pool_priority);
  add_test ("/pool/key", test_pool_key);
  add_test ("/pool/grow-and-shrink", test_pool_grow_and_shrink);
  add_test ("/pool/min-idle", test_pool_min_idle);
  add_test ("/pool/drop", test_pool_drop);
  add_test ("/pool/retire", test_pool_retire);
  add_test ("/pool/max-calls", test_pool_max_calls);
  add_test ("/pool/max-age", test_pool_max_age);
  add_test ("/pool/queue-limit", test_pool_queue_limit);
  add_test ("/pool/event", test_pool_event);
  add_test ("/pool/shutdown/disposed", test_pool_shutdown_disposed);
  add_test ("/pool/late", test_pool_late);
  add_test ("/pool/one-template", test_pool_one_template);
  add_test ("/pool/blocking", test_pool_blocking);
  add_test ("/pool/blocking/within", test_pool_blocking_within);
  add_test ("/pool/thread", test_pool_thread);
  add_test ("/pool/context-gone", test_pool_context_gone);
  add_test ("/pool/context-gone/disposed", test_pool_context_gone_disposed);

  return g_test_run ();
}
