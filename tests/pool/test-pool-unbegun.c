/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers of a pool that exit before they have begun with a job, each time: the job fails, and no
 * other job does. */

#include "test-hostile-util.h"
#include "test-pool-util.h"
#include "test-refuse-util.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The request of PIDFD_GET_INFO, with the structure that the library passes. */
#define PIDFD_GET_INFO_NUMBER 0xc040ff0b

/* More descriptors than a worker can have after pool_init_few_fds(). */
enum { N_FDS = 60 };

/* KIND is that of new_pool_template(), and the others are properties of the pool. */
static AForkPool *
new_few_fds_pool (guint       kind,
                  const char *function,
                  guint       load)
{
  g_autoptr(AForkProcess) process = new_pool_template (kind);

  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", function,
                       "init-function", "pool_init_few_fds", "forward-stderr", FALSE,
                       "concurrent", g_str_equal (function, "pool_later"),
                       "max-workers", 1, "load", load, NULL);
}

/* A job that no worker can receive. */
static AForkJob *
new_large_job (guint32 number)
{
  AForkJob *job = afork_job_new (do_args ("echo", number));
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new ();

  for (guint i = 0; i < N_FDS; i++)
    g_assert_cmpint (g_unix_fd_list_append (list, STDIN_FILENO, NULL), >=, 0);
  afork_job_set_fds (job, list);
  return job;
}

/* The worker has exited twice because of JOB, which never began. */
static void
assert_unbegun (AForkJob *job)
{
  g_assert_false (afork_job_get_begun (job));
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_FAILED);
}

/* Jobs before and behind it in the same worker, and in the same message, are done. */
static void
check_neighbours (AForkPool *pool)
{
  g_autoptr(AForkJob) large = new_large_job (0);
  GAsyncResult *results[8] = { NULL };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    if (i == 3)
      begin_job (pool, large, &results[i]);
    else
      begin_pool_call (pool, "echo", i, &results[i]);
  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_EXITED, "Too many open files");
  assert_unbegun (large);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    if (i != 3)
      await_answer (pool, &results[i]);
  begin_pool_call (pool, "echo", 9, &results[0]);
  await_answer (pool, &results[0]);
  g_assert_false (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_descriptors (void)
{
  AForkPool *pool = new_few_fds_pool (0, "pool_do", 1);
  g_autoptr(AForkJob) job = new_large_job (0);
  GAsyncResult *result = NULL;
  guint n = 0;

  g_signal_connect (pool, "worker-exited", G_CALLBACK (count_exited_cb), &n);
  begin_job (pool, job, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_EXITED,
               "The job has ended two workers. The first: ");
  assert_unbegun (job);
  g_assert_true (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_assert_cmpuint (n, ==, 2);
}

static void
test_sequential (void)
{
  check_neighbours (new_few_fds_pool (0, "pool_do", 1));
  check_neighbours (new_few_fds_pool (0, "pool_do", 8));
}

static void
test_concurrent (void)
{
  check_neighbours (new_few_fds_pool (0, "pool_later", 8));
}

/* A worker serves a job for a long time, and cannot receive the next one. */
static void
test_concurrent_busy (void)
{
  AForkPool *pool = new_few_fds_pool (0, "pool_later", 8);
  g_autoptr(AForkJob) busy = afork_job_new (do_args ("after", 20));
  g_autoptr(AForkJob) large = new_large_job (0);
  GAsyncResult *results[2] = { NULL };

  afork_job_set_retries (busy, 1);
  begin_job (pool, busy, &results[0]);
  await_job_state (busy, AFORK_JOB_STATE_RUNNING);
  begin_job (pool, large, &results[1]);
  await_error (pool, &results[1], AFORK_ERROR, AFORK_ERROR_EXITED, NULL);
  assert_unbegun (large);
  await_answer (pool, &results[0]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Retries are for jobs that have begun. They are neither needed nor used up. */
static void
test_retries (void)
{
  AForkPool *pool = new_few_fds_pool (0, "pool_do", 1);
  g_autoptr(AForkJob) job = new_large_job (0);
  g_autoptr(GVariant) stats = NULL;
  GAsyncResult *result = NULL;
  guint64 n_retried;

  afork_job_set_retries (job, 100);
  begin_job (pool, job, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_EXITED, "has ended two workers");
  stats = afork_pool_get_stats (pool);
  g_assert_true (g_variant_lookup (stats, "retried", "t", &n_retried));
  g_assert_cmpuint (n_retried, ==, 0);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The worker has no room for a blob. */
static void
test_blob (void)
{
  const gsize size = 16 * 1024 * 1024;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GBytes) blob = NULL;
  AForkPool *pool;
  GAsyncResult *results[2] = { NULL };

  if (is_instrumented ())
    {
      g_test_skip ("What instruments a program needs memory of its own");
      return;
    }

  process = new_pool_template (0);
  pool = g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                       "init-function", "pool_init_little_memory", "forward-stderr", FALSE,
                       "max-workers", 1, NULL);
  job = afork_job_new (do_args ("echo", 1));
  blob = g_bytes_new_take (g_malloc0 (size), size);
  afork_job_add_blob (job, blob);
  begin_job (pool, job, &results[0]);
  begin_pool_call (pool, "echo", 7, &results[1]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_EXITED, "has ended two workers");
  assert_unbegun (job);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 7);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The items behind the one that fails are done. */
static void
test_map (void)
{
  AForkPool *pool = new_few_fds_pool (0, "pool_do", 4);
  g_autoptr(GListStore) jobs = g_list_store_new (AFORK_TYPE_JOB);
  g_autoptr(AForkMap) map = NULL;
  AForkJob *job;
  guint n_failed = 0;
  guint n = 0;

  for (guint i = 0; i < 6; i++)
    {
      g_autoptr(AForkJob) next = i == 2 ? new_large_job (i) : afork_job_new (do_args ("echo", i));

      g_list_store_append (jobs, next);
    }
  map = afork_pool_map_jobs (pool, G_LIST_MODEL (jobs), AFORK_MAP_ORDERED);
  for (;;)
    {
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;

      afork_map_next_async (map, NULL, store_result_cb, &result);
      await_result (&result);
      job = afork_map_next_finish (map, result, &error);
      g_assert_no_error (error);
      if (job == NULL)
        break;
      g_assert_cmpuint (n == 2, ==, afork_job_get_error (job) != NULL);
      n_failed += afork_job_get_error (job) != NULL;
      n++;
      g_object_unref (job);
    }
  g_assert_cmpuint (n, ==, 6);
  g_assert_cmpuint (n_failed, ==, 1);
  g_clear_object (&map);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Workers that exit, or break the protocol, as soon as they serve or when a call has come. Each job
 * ends two of them. Equal jobs are shared, or refused afterwards. */
typedef struct
{
  const char *name;
  const char *steps[2];
  int         code;
} Exit;

#define FF "\xff\xff\xff\xff\xff\xff\xff\xff"
#define GARBAGE "b" FF FF FF FF FF FF FF FF

static const Exit exits[] = {
  { "exit", { "w", "x" }, AFORK_ERROR_EXITED },
  { "killed", { "w", "K9" }, AFORK_ERROR_SIGNALED },
  { "garbage", { "w", GARBAGE }, AFORK_ERROR_PROTOCOL },
  { "at-once", { "x", NULL }, AFORK_ERROR_EXITED },
};

static AForkPool *
new_exit_pool (const Exit *data)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();

  for (guint i = 0; i < G_N_ELEMENTS (data->steps) && data->steps[i] != NULL; i++)
    step (process, data->steps[i]);
  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                       "forward-stderr", FALSE, "max-workers", 2, "load", 2, NULL);
}

static void
test_exit (Census        *census,
           gconstpointer  data)
{
  const Exit *how = data;
  AForkPool *pool = new_exit_pool (how);
  AForkJob *jobs[3];
  GAsyncResult *results[4] = { NULL };

  for (guint i = 0; i < 3; i++)
    {
      jobs[i] = afork_job_new (do_args ("echo", i / 2));
      afork_job_set_coalesce (jobs[i], TRUE);
      begin_job (pool, jobs[i], &results[i]);
    }
  for (guint i = 0; i < 3; i++)
    {
      await_error (pool, &results[i], AFORK_ERROR, how->code, "has ended two workers");
      assert_unbegun (jobs[i]);
      g_object_unref (jobs[i]);
    }
  begin_pool_call (pool, "echo", 0, &results[3]);
  await_error (pool, &results[3], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
check_status_unknown (gconstpointer data)
{
  const Exit how = { "unknown", { "w", "P" }, AFORK_ERROR_LOST };
  AForkPool *pool;
  GAsyncResult *results[2] = { NULL };

  /* Neither the pidfd nor /proc tells how another process has exited. */
  refuse_system_call_with (SYS_ioctl, 1, PIDFD_GET_INFO_NUMBER, ENOTTY);
  refuse_system_call (SYS_readlinkat, EACCES);
#ifdef SYS_readlink
  refuse_system_call (SYS_readlink, EACCES);
#endif
  pool = new_exit_pool (&how);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr(AForkJob) job = begin_pool_job (pool, "echo", 0, &results[i]);

      await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_LOST, "has ended two workers");
      assert_unbegun (job);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The template is killed before each worker exits, and the kernel does not tell how a worker has
 * exited. So nobody knows it: the job fails, because all workers might exit in the same way, but
 * equal jobs are not refused. */
static void
test_status_unknown (void)
{
  run_apart (check_status_unknown, NULL);
}

/* The template exits with each worker, so that the exit status of the worker may be unknown. */
static void
test_template (void)
{
  AForkPool *pool = new_few_fds_pool (1, "pool_do", 1);
  g_autoptr(AForkJob) job = new_large_job (0);
  GAsyncResult *results[2] = { NULL };

  begin_job (pool, job, &results[0]);
  begin_pool_call (pool, "echo", 4, &results[1]);
  await_result (&results[0]);
  g_clear_object (&results[0]);
  g_test_message ("%s", afork_job_get_error (job)->message);
  g_assert_nonnull (strstr (afork_job_get_error (job)->message, "has ended two workers"));
  assert_unbegun (job);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 4);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool-unbegun/descriptors", test_descriptors);
  add_test ("/pool-unbegun/neighbours/sequential", test_sequential);
  add_test ("/pool-unbegun/neighbours/concurrent", test_concurrent);
  add_test ("/pool-unbegun/neighbours/concurrent-busy", test_concurrent_busy);
  add_test ("/pool-unbegun/retries", test_retries);
  add_test ("/pool-unbegun/blob", test_blob);
  add_test ("/pool-unbegun/map", test_map);
  for (gsize i = 0; i < G_N_ELEMENTS (exits); i++)
    {
      g_autofree char *path = g_strdup_printf ("/pool-unbegun/exit/%s", exits[i].name);

      add_with_data (path, &exits[i], test_exit);
    }
  add_test ("/pool-unbegun/template", test_template);
  g_test_add_func ("/pool-unbegun/status-unknown", test_status_unknown);

  return g_test_run ();
}
