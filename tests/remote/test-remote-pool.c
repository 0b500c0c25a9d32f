/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A pool whose workers are on several hosts: agents over pipes, and destinations of ssh. */

#include "config.h"

#include "remote-util.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
  N_JOBS = 1000,
  N_PER_HOST = 3,
  JOB_USEC = 1000,
};

/* When a worker ran a job. */
typedef struct
{
  guint  pid;
  gint64 begun;
  gint64 ended;
} Run;

typedef struct
{
  AForkPool  *pool;
  GHashTable *hosts;            /* the host of each worker, by its pid there */
  guint       n_ended;
  guint       n_host_lost;
  guint       n_other_errors;
  guint       n_started;        /* workers of the host that is lost */
  GArray     *runs;
  gboolean    kills;            /* the agent of each worker there that starts */
} World;

typedef struct
{
  World *world;
  guint  n_calls;               /* of the callback */
} Job;

static void
job_ended_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  Job *job = data;
  World *world = job->world;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_run_job_finish (world->pool, result, &error);
  Run run;

  job->n_calls++;
  world->n_ended++;
  if (value != NULL)
    {
      g_variant_get (value, "(uxx)", &run.pid, &run.begun, &run.ended);
      g_array_append_val (world->runs, run);
    }
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST)
           && strstr (error->message, "first") != NULL)
    {
      world->n_host_lost++;
    }
  else
    {
      g_test_message ("%s", error->message);
      world->n_other_errors++;
    }
}

static void
kill_agent (GPid agent)
{
  if (agent > 0)
    kill (agent, SIGKILL);
}

static void
worker_started_cb (AForkPool    *pool,
                   AForkProcess *process,
                   World        *world)
{
  const int pid = afork_process_get_remote_pid (process);
  char *host = afork_process_dup_host (process);

  g_assert_cmpint (pid, >, 0);
  g_assert_nonnull (host);
  if (strstr (host, "first") != NULL)
    {
      world->n_started++;
      /* The worker may be gone already. */
      if (world->kills)
        kill_agent (find_agent (pid));
    }
  g_hash_table_insert (world->hosts, GINT_TO_POINTER (pid), host);
}

static AForkProcess *
new_template (AForkRuntime *runtime)
{
  return afork_process_require (afork_process_new_for_runtime (runtime), "pool");
}

/* Takes the templates. SECOND may be NULL. */
static void
world_init (World        *self,
            AForkProcess *first,
            AForkProcess *second)
{
  *self = (World) { NULL };
  self->hosts = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  self->runs = g_array_new (FALSE, FALSE, sizeof (Run));
  self->pool = g_object_new (AFORK_TYPE_POOL, "process", first, "function", "pool_do",
                             "max-workers", N_PER_HOST, "forward-stderr", FALSE,
                             "start-delay", 0, NULL);
  if (second != NULL)
    afork_pool_add_template (self->pool, second, N_PER_HOST);
  g_signal_connect (self->pool, "worker-started", G_CALLBACK (worker_started_cb), self);
  g_object_unref (first);
  g_clear_object (&second);
}

static void
world_clear (World *self)
{
  g_autoptr(GError) error = NULL;

  afork_pool_shutdown (self->pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&self->pool);
  g_hash_table_unref (self->hosts);
  g_array_unref (self->runs);
}

static Job *
begin_jobs (World *self,
            guint  n_jobs,
            guint  usec,
            guint  n_retries)
{
  Job *jobs = g_new0 (Job, n_jobs);

  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("time", usec));

      jobs[i].world = self;
      afork_job_set_retries (job, n_retries);
      afork_pool_run_job_async (self->pool, job, NULL, job_ended_cb, &jobs[i]);
    }
  return jobs;
}

static void
await_jobs (World *self,
            guint  n_ended)
{
  while (self->n_ended < n_ended)
    g_main_context_iteration (NULL, TRUE);
}

static int
compare_edges (gconstpointer a,
               gconstpointer b)
{
  const gint64 *x = a, *y = b;

  /* At the same time, one ends before another begins. */
  return x[0] != y[0] ? (x[0] > y[0] ? 1 : -1) : (int) (x[1] - y[1]);
}

/* How many jobs a host ran at most at a time, and in all. */
static guint
count_at_a_time (World      *self,
                 const char *host,
                 guint      *n_runs)
{
  g_autoptr(GArray) edges = g_array_new (FALSE, FALSE, 2 * sizeof (gint64));
  gint64 now = 0, most = 0;

  for (guint i = 0; i < self->runs->len; i++)
    {
      const Run *run = &g_array_index (self->runs, Run, i);
      const char *of_run = g_hash_table_lookup (self->hosts, GINT_TO_POINTER (run->pid));
      const gint64 begin[] = { run->begun, 1 }, end[] = { run->ended, -1 };

      g_assert_nonnull (of_run);
      if (strstr (of_run, host) == NULL)
        continue;
      g_array_append_val (edges, begin);
      g_array_append_val (edges, end);
    }
  g_array_sort (edges, compare_edges);
  for (guint i = 0; i < edges->len; i++)
    {
      now += ((gint64 *) (void *) edges->data)[2 * i + 1];
      most = MAX (most, now);
    }
  *n_runs = edges->len / 2;
  return (guint) most;
}

static GPid
find_agent_of_host (World      *self,
                    const char *host)
{
  GHashTableIter iter;
  gpointer pid, name;

  g_hash_table_iter_init (&iter, self->hosts);
  while (g_hash_table_iter_next (&iter, &pid, &name))
    if (strstr (name, host) != NULL && is_alive (GPOINTER_TO_INT (pid)))
      return find_agent (GPOINTER_TO_INT (pid));

  return 0;
}

#define SKIP_WITHOUT(runtime) if ((runtime) == NULL) return

static Way
get_way (gconstpointer data)
{
  return *(const Way *) data;
}

/* One of two hosts is lost in the middle of many jobs, without retries. */
static void
test_lost (Census        *census,
           gconstpointer  way)
{
  g_autoptr(AForkRuntime) first = new_named_host (get_way (way), "first");
  g_autoptr(AForkRuntime) second = new_named_host (get_way (way), "second");
  g_autofree Job *jobs = NULL;
  World world;
  guint n_first, n_second;

  SKIP_WITHOUT (first);
  world_init (&world, new_template (first), new_template (second));
  jobs = begin_jobs (&world, N_JOBS, JOB_USEC, 0);
  await_jobs (&world, N_JOBS / 2);
  while (find_agent_of_host (&world, "first") == 0)
    g_main_context_iteration (NULL, TRUE);
  kill_agent (find_agent_of_host (&world, "first"));
  await_jobs (&world, N_JOBS);
  iterate ();
  for (guint i = 0; i < N_JOBS; i++)
    g_assert_cmpuint (jobs[i].n_calls, ==, 1);

  /* Jobs that had begun there fail, and others are done elsewhere. */
  g_assert_cmpuint (world.n_other_errors, ==, 0);
  g_assert_cmpuint (world.n_host_lost, <=, N_PER_HOST);
  g_assert_cmpuint (count_at_a_time (&world, "first", &n_first), <=, N_PER_HOST);
  g_assert_cmpuint (count_at_a_time (&world, "second", &n_second), <=, N_PER_HOST);
  g_assert_cmpuint (n_first, >, 0);
  g_assert_cmpuint (n_second, >, 0);
  g_test_message ("%u jobs on the first host, %u on the second, %u lost", n_first, n_second,
                  world.n_host_lost);
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
  afork_runtime_set_template (second, NULL);
}

/* A host that is lost again and again, each time when a worker has started there. The other one
 * does all jobs, and there are longer and longer pauses before the next connection. */
static void
test_flaps (Census        *census,
            gconstpointer  way)
{
  g_autoptr(AForkRuntime) first = new_named_host (get_way (way), "first");
  g_autoptr(AForkRuntime) second = new_named_host (get_way (way), "second");
  g_autofree Job *jobs = NULL;
  const gint64 begun = g_get_monotonic_time ();
  guint n_jobs = 0;
  gint64 time;
  World world;

  SKIP_WITHOUT (first);
  world_init (&world, new_template (first), new_template (second));
  world.kills = TRUE;
  do
    {
      g_free (jobs);
      jobs = begin_jobs (&world, 300, 5 * JOB_USEC, 50);
      n_jobs += 300;
      await_jobs (&world, n_jobs);
    }
  while (world.n_started < 3);
  time = (g_get_monotonic_time () - begun) / 1000;
  g_assert_cmpuint (world.n_other_errors, ==, 0);
  g_assert_cmpuint (world.n_host_lost, ==, 0);
  g_assert_cmpuint (world.runs->len, ==, n_jobs);
  /* At 0, 0, 100, 300, 700, 1500 ms, and so on: each time, all workers of the host may start before
   * the loss is noticed. */
  g_test_message ("%u workers of the first host in %" G_GINT64_FORMAT " ms", world.n_started, time);
  for (guint n = 2; n < world.n_started / N_PER_HOST; n++)
    time -= 100 << (n - 2);
  g_assert_cmpint (time, >, 0);
  g_assert_true (afork_pool_get_unhealthy (world.pool));
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
  afork_runtime_set_template (second, NULL);
}

/* A host that is lost, and then cannot be connected. */

typedef struct
{
  char *folder;
  char *flag;                   /* while this file is there, nothing connects */
  char *attempts;               /* one byte for each attempt */
} Gate;

static void
gate_init (Gate *self)
{
  self->folder = g_dir_make_tmp ("afork-gate-XXXXXX", NULL);
  self->flag = g_build_filename (self->folder, "flag", NULL);
  self->attempts = g_build_filename (self->folder, "attempts", NULL);
}

static void
gate_close (Gate *self)
{
  g_assert_true (g_file_set_contents (self->flag, "", 0, NULL));
}

static void
gate_clear (Gate *self)
{
  g_remove (self->flag);
  g_remove (self->attempts);
  g_rmdir (self->folder);
  g_free (self->folder);
  g_free (self->flag);
  g_free (self->attempts);
}

static gsize
gate_count (Gate *self)
{
  g_autofree char *text = NULL;
  gsize n = 0;

  g_file_get_contents (self->attempts, &text, &n, NULL);
  return n;
}

static AForkRuntime *
gate_new_host (Gate       *self,
               const char *name)
{
  static const char script[] =
    "printf x >> \"$1\"; test -e \"$2\" && { echo no route >&2; exit 3; }; exec \"$0\" --agent";
  const char *path[] = { g_getenv ("AFORK_MODULE_PATH"), NULL };
  AForkRuntime *runtime = afork_runtime_new_agent (name,
    (const char * const []) { "sh", "-c", script, g_getenv ("AFORK_SERVER"), self->attempts,
                              self->flag, NULL });

  afork_runtime_set_module_path (runtime, path);
  return runtime;
}

static void
test_unreachable (void)
{
  g_autoptr(AForkRuntime) first = NULL;
  g_autoptr(AForkRuntime) second = new_named_host (OVER_PIPES, "second");
  g_autofree Job *jobs = NULL;
  World world;
  Gate gate;

  gate_init (&gate);
  first = gate_new_host (&gate, "first");
  world_init (&world, new_template (first), new_template (second));
  jobs = begin_jobs (&world, 400, 5 * JOB_USEC, 1);
  while (find_agent_of_host (&world, "first") == 0)
    g_main_context_iteration (NULL, TRUE);
  gate_close (&gate);
  kill_agent (find_agent_of_host (&world, "first"));
  await_jobs (&world, 400);
  g_assert_cmpuint (world.n_other_errors, ==, 0);
  g_assert_cmpuint (world.n_host_lost, ==, 0);
  g_assert_cmpuint (world.runs->len, ==, 400);
  /* The first connection, one attempt at once, and others later. */
  g_test_message ("%u attempts", (guint) gate_count (&gate));
  g_assert_cmpuint (gate_count (&gate), >=, 2);
  g_assert_cmpuint (gate_count (&gate), <=, 8);
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
  afork_runtime_set_template (second, NULL);
  gate_clear (&gate);
}

/* All hosts are lost: jobs fail with the names of all of them, and nothing is run here. When a host
 * can be connected again, later jobs are run. */
static void
test_none (void)
{
  g_autoptr(AForkRuntime) first = NULL;
  g_autoptr(AForkRuntime) second = NULL;
  g_autofree Job *jobs = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  World world;
  Gate gate;

  gate_init (&gate);
  first = gate_new_host (&gate, "first");
  second = gate_new_host (&gate, "second");
  world_init (&world, new_template (first), new_template (second));
  jobs = begin_jobs (&world, 4, 0, 0);
  await_jobs (&world, 4);
  while (find_agent_of_host (&world, "first") == 0 || find_agent_of_host (&world, "second") == 0)
    {
      g_autofree Job *more G_GNUC_UNUSED = begin_jobs (&world, 4, 5 * JOB_USEC, 0);

      await_jobs (&world, world.n_ended + 4);
      iterate ();
    }
  g_assert_cmpuint (world.n_other_errors, ==, 0);

  gate_close (&gate);
  kill_agent (find_agent_of_host (&world, "first"));
  kill_agent (find_agent_of_host (&world, "second"));
  while (afork_pool_get_n_workers (world.pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  afork_pool_call_async (world.pool, do_args ("pid", 0), NULL, store_result_cb, &result);
  await_result (&result);
  value = afork_pool_call_finish (world.pool, result, &error);
  g_assert_null (value);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "second"));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_HOST_LOST, "first");

  g_remove (gate.flag);
  do
    {
      g_clear_object (&result);
      g_clear_error (&error);
      afork_pool_call_async (world.pool, do_args ("pid", 0), NULL, store_result_cb, &result);
      await_result (&result);
      value = afork_pool_call_finish (world.pool, result, &error);
    }
  while (value == NULL);
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
  afork_runtime_set_template (second, NULL);
  gate_clear (&gate);
}

/* A host is connected when a worker is needed there, and not before. */
static void
test_first_need (void)
{
  AForkRuntime *runtimes[2];
  AForkProcess *templates[2];
  g_autofree Job *jobs = NULL;
  g_autofree char *host = NULL;
  World world;
  Gate gates[2];

  for (guint i = 0; i < 2; i++)
    {
      gate_init (&gates[i]);
      runtimes[i] = gate_new_host (&gates[i], i == 0 ? "first" : "second");
      templates[i] = new_template (runtimes[i]);
    }
  host = afork_process_dup_host (templates[1]);
  g_assert_cmpstr (host, ==, "second");
  world_init (&world, templates[0], templates[1]);
  iterate ();
  g_assert_cmpuint (gate_count (&gates[0]), ==, 0);
  jobs = begin_jobs (&world, 1, 0, 0);
  await_jobs (&world, 1);
  g_assert_cmpuint (world.runs->len, ==, 1);
  g_assert_cmpuint (gate_count (&gates[0]), ==, 1);
  g_assert_cmpuint (gate_count (&gates[1]), ==, 0);
  world_clear (&world);
  for (guint i = 0; i < 2; i++)
    {
      afork_runtime_set_template (runtimes[i], NULL);
      g_object_unref (runtimes[i]);
      gate_clear (&gates[i]);
    }
}

/* A host that never answers delays jobs for a few seconds, and not until its time is over. */
static void
test_silent (void)
{
  g_autoptr(AForkRuntime) first = afork_runtime_new_agent ("first",
    (const char * const []) { "sleep", "1000", NULL });
  g_autoptr(AForkRuntime) second = new_named_host (OVER_PIPES, "second");
  g_autofree Job *jobs = NULL;
  World world;

  world_init (&world, new_template (first), new_template (second));
  jobs = begin_jobs (&world, 1, 0, 0);
  await_jobs (&world, 1);
  g_assert_cmpuint (world.runs->len, ==, 1);
  g_assert_null (afork_pool_get_last_error (world.pool));
  g_assert_no_errno (kill (find_process ("sleep", "1000"), SIGKILL));
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
  afork_runtime_set_template (second, NULL);
}

static void
count_started_cb (AForkPool    *pool,
                  AForkProcess *process,
                  guint        *n_started)
{
  (*n_started)++;
}

/* Statistics and the list of workers name the host. */
static void
test_names (void)
{
  g_autoptr(AForkRuntime) first = new_named_host (OVER_PIPES, "first");
  g_autoptr(AForkProcess) local = afork_process_require (afork_process_new (), "pool");
  g_autoptr(GListModel) workers = NULL;
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GVariant) list = NULL;
  World world;
  guint n_here = 0, n_there = 0, n_started = 0;

  world_init (&world, new_template (first), NULL);
  g_signal_handlers_disconnect_by_data (world.pool, &world);
  g_signal_connect (world.pool, "worker-started", G_CALLBACK (count_started_cb), &n_started);
  afork_pool_add_template (world.pool, local, 2);
  /* The process IDs of a worker are known when it has started. */
  while (n_started < N_PER_HOST + 2)
    {
      g_autofree Job *jobs G_GNUC_UNUSED = begin_jobs (&world, 50, JOB_USEC, 0);

      await_jobs (&world, world.n_ended + 50);
    }
  g_assert_cmpuint (world.n_other_errors, ==, 0);
  g_assert_cmpuint (afork_pool_get_n_workers (world.pool), ==, N_PER_HOST + 2);

  stats = afork_pool_get_stats (world.pool);
  list = g_variant_lookup_value (stats, "workers", G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr(GVariant) worker = g_variant_get_child_value (list, i);
      const char *host;
      int pid, remote_pid = 0;

      g_assert_true (g_variant_lookup (worker, "host", "&s", &host));
      g_assert_true (g_variant_lookup (worker, "pid", "i", &pid));
      g_variant_lookup (worker, "remote-pid", "i", &remote_pid);
      if (*host == '\0')
        n_here++;
      else
        {
          g_assert_cmpstr (host, ==, "first");
          n_there++;
        }
      g_assert_true ((pid == 0) == (*host != '\0'));
      g_assert_true ((remote_pid == 0) == (*host == '\0'));
    }
  g_assert_cmpuint (n_here, ==, 2);
  g_assert_cmpuint (n_there, ==, N_PER_HOST);

  workers = afork_pool_get_workers (world.pool);
  for (guint i = 0; i < g_list_model_get_n_items (workers); i++)
    {
      g_autoptr(AForkPoolWorker) worker = g_list_model_get_item (workers, i);

      if (afork_pool_worker_get_host (worker) == NULL)
        n_here--;
      else if (g_str_equal (afork_pool_worker_get_host (worker), "first"))
        n_there--;
    }
  g_assert_cmpuint (n_here, ==, 0);
  g_assert_cmpuint (n_there, ==, 0);
  g_clear_object (&workers);
  world_clear (&world);
  afork_runtime_set_template (first, NULL);
}

int
main (int    argc,
      char **argv)
{
  enter_ssh (argv, NULL, -1);

  g_test_init (&argc, &argv, NULL);
  add_for_ways ("/pool/lost", test_lost);
  add_for_ways ("/pool/flaps", test_flaps);
  add_test ("/pool/unreachable", test_unreachable);
  add_test ("/pool/none", test_none);
  add_test ("/pool/first-need", test_first_need);
  add_test ("/pool/silent", test_silent);
  add_test ("/pool/names", test_names);
  return g_test_run ();
}
