/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers of a pool that break the protocol of calls: only they are ended, and each job ends
 * once. */

#include "test-hostile-util.h"
#include "test-limits.h"
#include "test-pool-util.h"

static const guint8 garbage[64] = { 0xff, 0xff, 0xff, 0xff, 0xff };
static const guint8 text[] = "ok";

/* What a worker sends when its first call has come. */
typedef struct
{
  const char    *name;
  AForkCallFrame frame;         /* of kind 0: garbage */
} Mistake;

static const Mistake mistakes[] = {
  { "garbage", { 0 } },
  { "unknown-call", { .kind = AFORK_CALL_FRAME_RESULT, .number = 77, .type = "s", .data = text,
                      .size = sizeof text } },
  { "no-call", { .kind = AFORK_CALL_FRAME_FAILED, .number = 0, .string = { "none", "no" } } },
  { "progress", { .kind = AFORK_CALL_FRAME_PROGRESS, .number = 9, .type = "s", .data = text,
                  .size = sizeof text } },
  { "not-normal", { .kind = AFORK_CALL_FRAME_RESULT, .number = 1, .type = "s", .data = garbage,
                    .size = 3 } },
  { "started-twice", { .kind = AFORK_CALL_FRAME_STARTED } },
  { "command", { .kind = AFORK_CALL_FRAME_CANCEL, .number = 1 } },
  { "release", { .kind = AFORK_CALL_FRAME_RELEASE, .number = 3 } },
};

static AForkProcess *
new_mistake_template (const Mistake *mistake)
{
  AForkProcess *process = new_hostile_process ();

  step (process, "w");
  step_frame (process, FRAME (BEGUN, .number = 1));
  if (mistake->frame.kind != 0)
    step_frame (process, mistake->frame);
  else
    step_bytes (process, 'b', garbage, sizeof garbage);
  step (process, "s");
  return process;
}

static AForkPool *
new_pool_of (AForkProcess *process)
{
  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                       "forward-stderr", FALSE, "max-workers", 2, "load", 2, "start-delay", 0,
                       "quarantine-time", 0, "grace", 5, NULL);
}

static guint64
get_exits (AForkPool  *pool,
           const char *cause)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (pool);
  g_autoptr(GVariant) exits = g_variant_lookup_value (stats, "workers-exited",
                                                      G_VARIANT_TYPE ("a{st}"));
  guint64 number = 0;

  g_assert_true (g_variant_lookup (exits, cause, "t", &number));
  return number;
}

/* All workers are hostile: each ends one job. */
static void
check_all_hostile (const Mistake *mistake)
{
  g_autoptr(AForkProcess) process = new_mistake_template (mistake);
  AForkPool *pool = new_pool_of (process);
  GAsyncResult *results[3] = { NULL };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (get_exits (pool, "protocol"), ==, G_N_ELEMENTS (results));
  g_assert_finalize_object (pool);
}

typedef struct
{
  AForkPool *pool;
  guint      n_ended;
  guint      n_results;
} Jobs;

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  AForkJob *job = data;
  Jobs *jobs = g_object_get_data (G_OBJECT (job), "jobs");
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  jobs->n_ended++;
  if (answer == NULL)
    {
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL);
      return;
    }

  jobs->n_results++;
  assert_uint32 (answer, GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (job), "number")));
}

/* Workers of another template serve the same jobs. A job fails only if its workers were hostile,
 * and has its own result otherwise. */
static void
check_some_hostile (const Mistake *mistake)
{
  g_autoptr(AForkProcess) process = new_mistake_template (mistake);
  g_autoptr(AForkProcess) good = new_pool_template (0);
  Jobs jobs = { .pool = new_pool_of (process) };
  AForkJob *all[20];

  /* A worker of each. The hostile one gets the first job. */
  afork_pool_add_template (jobs.pool, good, 0);
  afork_pool_set_min_idle (jobs.pool, 2);
  while (afork_pool_get_n_idle (jobs.pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      all[i] = afork_job_new (do_args ("echo", i));
      afork_job_set_retries (all[i], i % 3);
      g_object_set_data (G_OBJECT (all[i]), "jobs", &jobs);
      g_object_set_data (G_OBJECT (all[i]), "number", GUINT_TO_POINTER (i));
      afork_pool_run_job_async (jobs.pool, all[i], NULL, ended_cb, all[i]);
    }
  while (jobs.n_ended < G_N_ELEMENTS (all))
    g_main_context_iteration (NULL, TRUE);

  await_shutdown (jobs.pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (jobs.n_ended, ==, G_N_ELEMENTS (all));
  g_assert_cmpuint (jobs.n_results, >, 0);
  g_assert_cmpuint (get_exits (jobs.pool, "protocol"), >, 0);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    g_object_unref (all[i]);
  g_assert_finalize_object (jobs.pool);
}

static void
test_mistake (Census        *census,
             gconstpointer  data)
{
  check_all_hostile (data);
  check_some_hostile (data);
}

/* A worker sends more than this program has memory for. */
static void
test_no_memory (void)
{
  g_autofree guint8 *piece = g_malloc0 (32 * 1024);
  g_autoptr(AForkProcess) process = NULL;
  AForkPool *pool;
  GAsyncResult *result = NULL;

  if (is_instrumented ())
    {
      g_test_skip ("What instruments a program needs memory of its own");
      return;
    }
  if (!is_own_program ())
    return;

  process = new_hostile_process ();
  step (process, "w");
  step_frame (process, FRAME (BEGUN, .number = 1));
  step (process, "*4000");
  step_frames (process, 'b', FRAME (BLOB, .flags = AFORK_CALL_FRAME_MORE, .data = piece,
                                    .size = 32 * 1024), 1);
  pool = new_pool_of (process);
  afork_pool_set_min_idle (pool, 1);
  while (afork_pool_get_n_idle (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  limit_memory (16 * 1024 * 1024);
  begin_pool_call (pool, "echo", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY, "no memory");
  unlimit_memory ();
  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (get_exits (pool, "out-of-memory"), ==, 1);
  g_assert_finalize_object (pool);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/pool-hostile/%s", mistakes[i].name);

      add_with_data (path, &mistakes[i], test_mistake);
    }
  g_test_add_func ("/pool-hostile/no-memory", test_no_memory);

  return g_test_run ();
}
