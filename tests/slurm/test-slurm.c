/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes on the nodes of a cluster, with one srun for each node. cluster.py starts the cluster.
 * All nodes are this machine, so what is there can be looked at from here. */

#include "config.h"

#include "remote-util.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
  N_FORKS = 50,
  N_JOBS = 300,
  N_PER_NODE = 2,
  N_PENDING = 3,
  KEEPALIVE_MS = 1000,
  BUSY = 5,             /* a machine with other work may take so many times as long */
};

static char **nodes;

/* Within an allocation, the step shares its processors with others. */
static AForkRuntime *
new_node (const char *name)
{
  const char *path[] = { g_getenv ("AFORK_MODULE_PATH"), NULL };
  const char *argv[] = {
    "srun", "--quiet", "--unbuffered", "--overlap", "-N1", "-n1", "-w", name,
    g_getenv ("AFORK_SERVER"), "--agent", NULL
  };
  AForkRuntime *runtime = afork_runtime_new_agent (name, argv);

  afork_runtime_set_module_path (runtime, path);
  afork_runtime_set_keepalive (runtime, KEEPALIVE_MS);
  return runtime;
}

static AForkRpc *
new_node_rpc (AForkRuntime *runtime)
{
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_require (process, "calls");
  return afork_rpc_new (process, "calls_do");
}

static char *
get_output (const char * const *argv)
{
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;
  char *output = NULL;

  process = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  return g_strchomp (output);
}

static guint
count_lines (const char *text)
{
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);

  return *text != '\0' ? g_strv_length (lines) : 0;
}

/* A node whose last step has ended is free a moment later. */
static void
await_free_nodes (void)
{
  g_autoptr(GSource) deadline = deadline_new ("an idle cluster");
  guint n_busy;

  do
    {
      g_autofree char *jobs = get_output (STRV ("squeue", "--noheader"));

      n_busy = count_lines (jobs);
      iterate ();
      g_usleep (n_busy > 0 ? 50 * 1000 : 0);
    }
  while (n_busy > 0);
  deadline_clear (g_steal_pointer (&deadline));
}

/* Many workers at a time on each node, each with the environment of its node, and one step. */
static void
test_forks (Census        *census,
            gconstpointer  data)
{
  const guint n_nodes = g_strv_length (nodes);
  g_autoptr(GPtrArray) runtimes = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) rpcs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *steps = NULL;

  for (guint i = 0; i < n_nodes; i++)
    {
      AForkRuntime *runtime = new_node (nodes[i]);
      g_autoptr(AForkProcess) process = NULL;
      g_autofree char *where = NULL;
      g_autofree char *expected = g_strdup_printf ("SLURMD_NODENAME=%s\n", nodes[i]);

      g_ptr_array_add (runtimes, runtime);
      process = afork_process_new_for_runtime (runtime);
      afork_process_require (process, "inspect");
      afork_process_send_arg (process, "SLURMD_NODENAME");
      where = run_to_end (process, "inspect");
      g_assert_nonnull (strstr (where, expected));
      afork_process_require (afork_runtime_get_template (runtime), "calls");
      for (guint k = 0; k < N_FORKS; k++)
        {
          g_autoptr(AForkProcess) fork = afork_process_new_for_runtime (runtime);

          g_ptr_array_add (rpcs, afork_rpc_new (fork, "calls_do"));
        }
    }

  for (guint i = 0; i < rpcs->len; i++)
    {
      g_autofree char *host = NULL;
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) pid = call (rpcs->pdata[i], do_args ("pid", 0), &error);

      g_assert_no_error (error);
      host = afork_process_dup_host (afork_rpc_get_process (rpcs->pdata[i]));
      g_assert_cmpstr (host, ==, nodes[i / N_FORKS]);
      g_assert_true (is_alive ((GPid) g_variant_get_uint32 (pid)));
    }
  steps = get_output (STRV ("squeue", "--noheader", "--steps"));
  g_assert_cmpuint (count_lines (steps), ==, n_nodes);

  for (guint i = 0; i < rpcs->len; i++)
    close_rpc (rpcs->pdata[i]);
  for (guint i = 0; i < runtimes->len; i++)
    afork_runtime_set_template (runtimes->pdata[i], NULL);
  await_free_nodes ();
}

/* The job of the node is cancelled, or Slurm's process there is killed. */

static void
cancel_job (GPid        worker,
            const char *node)
{
  g_autofree char *of_node = g_strconcat ("--nodelist=", node, NULL);
  g_autofree char *output = get_output (STRV ("scancel", of_node, "--user", g_get_user_name ()));

  g_assert_cmpstr (output, ==, "");
}

static void
kill_slurmstepd (GPid        worker,
                 const char *node)
{
  GPid pid = find_agent (worker);
  g_autofree char *name = NULL;

  do
    {
      g_autofree char *path = NULL;

      pid = get_parent (pid);
      g_assert_cmpint (pid, >, 1);
      path = g_strdup_printf ("/proc/%d/comm", pid);
      g_free (name);
      g_assert_true (g_file_get_contents (path, &name, NULL, NULL));
    }
  while (!g_str_has_prefix (name, "slurmstepd"));
  g_assert_no_errno (kill (pid, SIGKILL));
}

typedef void (*Loss) (GPid        worker,
                      const char *node);

static void
expect_loss (Loss   lose,
             double seconds)
{
  g_autoptr(AForkRuntime) runtime = new_node (nodes[0]);
  g_autoptr(AForkRpc) rpc = new_node_rpc (runtime);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) pid = call (rpc, do_args ("pid", 0), &error);
  GAsyncResult *results[N_PENDING] = { NULL };
  gint64 begun;
  GPid worker;

  g_assert_no_error (error);
  worker = (GPid) g_variant_get_uint32 (pid);
  for (guint i = 0; i < N_PENDING; i++)
    begin_call (rpc, "stuck", 0, NULL, &results[i]);
  iterate ();

  begun = g_get_monotonic_time ();
  lose (worker, nodes[0]);
  for (guint i = 0; i < N_PENDING; i++)
    {
      await_result (&results[i]);
      g_assert_null (afork_rpc_call_finish (rpc, results[i], &error));
      g_test_message ("%s", error->message);
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_HOST_LOST, nodes[0]);
      g_clear_object (&results[i]);
    }
  g_assert_cmpfloat ((double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC, <,
                     BUSY * seconds);
  await_gone (worker, 3 * BUSY);
  afork_runtime_set_template (runtime, NULL);
  await_free_nodes ();
}

static void
test_cancelled (Census        *census,
                gconstpointer  data)
{
  expect_loss (cancel_job, 2);
}

/* Nobody says so: the connection stays open. */
static void
test_killed (Census        *census,
             gconstpointer  data)
{
  expect_loss (kill_slurmstepd, KEEPALIVE_MS / 1000.0 + 1);
}

/* A pool over all nodes, of which one is cancelled meanwhile. */

typedef struct
{
  AForkPool *pool;
  guint      n_ended;
  guint      n_done;
  guint      n_lost;
} Jobs;

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Jobs *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);

  self->n_ended++;
  if (value != NULL)
    self->n_done++;
  else if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST))
    self->n_lost++;
  else
    g_test_message ("%s", error->message);
}

static AForkPool *
new_pool (AForkRuntime * const *runtimes)
{
  AForkPool *pool = NULL;

  for (guint i = 0; nodes[i] != NULL; i++)
    {
      g_autoptr(AForkProcess) template = afork_process_new_for_runtime (runtimes[i]);

      afork_process_require (template, "pool");
      if (pool == NULL)
        pool = g_object_new (AFORK_TYPE_POOL, "process", template, "function", "pool_do",
                             "max-workers", N_PER_NODE, "start-delay", 0, NULL);
      else
        afork_pool_add_template (pool, template, N_PER_NODE);
    }
  return pool;
}

static void
run_jobs (Jobs     *self,
          gboolean  cancel)
{
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr(AForkJob) job = afork_job_new (do_args ("sleep", 10));

      afork_pool_run_job_async (self->pool, job, NULL, ended_cb, self);
    }
  while (self->n_ended < N_JOBS / 3)
    g_main_context_iteration (NULL, TRUE);
  if (cancel)
    cancel_job (0, nodes[1]);
  while (self->n_ended < N_JOBS)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (self->n_done + self->n_lost, ==, N_JOBS);
}

static void
test_pool (Census        *census,
           gconstpointer  data)
{
  g_autoptr(GPtrArray) runtimes = g_ptr_array_new_with_free_func (g_object_unref);
  Jobs jobs = { NULL };
  g_autoptr(GError) error = NULL;

  for (guint i = 0; nodes[i] != NULL; i++)
    g_ptr_array_add (runtimes, new_node (nodes[i]));
  jobs.pool = new_pool ((AForkRuntime **) runtimes->pdata);
  run_jobs (&jobs, TRUE);
  /* Only those that ran there at that moment. */
  g_assert_cmpuint (jobs.n_lost, <=, N_PER_NODE * 2);
  g_test_message ("%u jobs were lost with their node", jobs.n_lost);
  g_assert_true (afork_pool_shutdown (jobs.pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error));
  g_assert_no_error (error);
  g_clear_object (&jobs.pool);
  for (guint i = 0; i < runtimes->len; i++)
    afork_runtime_set_template (runtimes->pdata[i], NULL);
  await_free_nodes ();
}

/* The whole program runs in an allocation, as docs/remote.md has it. */

static int
be_program (char **names)
{
  g_autoptr(GPtrArray) runtimes = g_ptr_array_new_with_free_func (g_object_unref);
  Jobs jobs = { NULL };
  g_autoptr(GError) error = NULL;

  nodes = names;
  for (guint i = 0; nodes[i] != NULL; i++)
    g_ptr_array_add (runtimes, new_node (nodes[i]));
  jobs.pool = new_pool ((AForkRuntime **) runtimes->pdata);
  run_jobs (&jobs, FALSE);
  g_assert_true (afork_pool_shutdown (jobs.pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, &error));
  g_clear_object (&jobs.pool);
  for (guint i = 0; i < runtimes->len; i++)
    afork_runtime_set_template (runtimes->pdata[i], NULL);
  g_print ("%u jobs on %u nodes\n", jobs.n_done, g_strv_length (nodes));
  return 0;
}

static void
test_allocation (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *quoted = g_shell_quote (self);
  g_autofree char *script = g_strdup_printf ("exec %s --be-program $(scontrol show hostnames)",
                                             quoted);
  g_autofree char *expected = g_strdup_printf ("%d jobs on %u nodes", N_JOBS,
                                               g_strv_length (nodes));
  g_autofree char *number = g_strdup_printf ("--nodes=%u", g_strv_length (nodes));
  g_autofree char *output = get_output (STRV ("salloc", "--quiet", number, "sh", "-c", script));

  g_assert_cmpstr (output, ==, expected);
  await_free_nodes ();
}

/* The caller is killed while a worker is busy. */

G_NORETURN static void
be_caller (const char *node)
{
  g_autoptr(AForkRuntime) runtime = new_node (node);
  g_autoptr(AForkRpc) rpc = new_node_rpc (runtime);

  be_busy_caller (rpc);
}

static void
test_caller_killed (Census        *census,
                    gconstpointer  data)
{
  kill_busy_caller (nodes[0], 3 * BUSY);
  await_free_nodes ();
}

int
main (int    argc,
      char **argv)
{
  if (argc > 2 && g_str_equal (argv[1], "--be-program"))
    return be_program (argv + 2);
  if (argc == 3 && g_str_equal (argv[1], "--be-caller"))
    be_caller (argv[2]);

  nodes = g_strsplit (g_getenv ("AFORK_TEST_SLURM_NODES"), " ", -1);
  g_test_init (&argc, &argv, NULL);
  add_with_census ("/slurm/forks", test_forks);
  add_with_census ("/slurm/cancelled", test_cancelled);
  add_with_census ("/slurm/killed", test_killed);
  add_with_census ("/slurm/pool", test_pool);
  add_test ("/slurm/allocation", test_allocation);
  add_with_census ("/slurm/caller-killed", test_caller_killed);
  return g_test_run ();
}
