/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The templates of a pool: several of them, and templates that are killed and created again. */

#include "test-pool-util.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static AForkPool *
new_pool_of (AForkProcess *process,
             guint         max_workers)
{
  return g_object_new (AFORK_TYPE_POOL, "process", process, "function", "pool_do",
                       "forward-stderr", FALSE, "max-workers", max_workers, "start-delay", 0,
                       "load", 1, "quarantine-time", 0, NULL);
}

static void
kill_process (AForkProcess *process)
{
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (process, SIGKILL);
}

static guint32
ask (AForkPool  *pool,
     const char *what)
{
  GAsyncResult *result = NULL;

  begin_pool_call (pool, what, 0, &result);
  return await_answer (pool, &result);
}

/* Several templates. */

/* Counts the workers of each kind. All workers run a job at the same time. */
static void
count_kinds (AForkPool *pool,
             guint      n_jobs,
             guint      kinds[3])
{
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, n_jobs);
  g_autofree int *gates = g_new (int, n_jobs);

  memset (kinds, 0, 3 * sizeof *kinds);
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = new_gate_job ("gate-kind", &gates[i]);

      begin_job (pool, job, &results[i]);
    }
  while (afork_pool_get_n_queued (pool) > 0)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < n_jobs; i++)
    close (gates[i]);
  for (guint i = 0; i < n_jobs; i++)
    kinds[await_answer (pool, &results[i])]++;
}

/* The next worker is a fork of the template with the most room. */
static void
test_several (void)
{
  g_autoptr(AForkProcess) first = new_pool_template (0);
  g_autoptr(AForkProcess) second = new_pool_template (1);
  g_autoptr(AForkProcess) third = new_pool_template (2);
  AForkPool *pool = new_pool_of (first, 4);
  guint kinds[3];

  afork_pool_add_template (pool, second, 1);
  afork_pool_add_template (pool, third, 2);
  g_assert_true (afork_pool_get_process (pool) == first);

  /* Room is 4, 1 and 2; 3, 1 and 2; 2, 1 and 2; 1, 1 and 2. */
  count_kinds (pool, 4, kinds);
  g_assert_cmpuint (kinds[0], ==, 3);
  g_assert_cmpuint (kinds[1], ==, 0);
  g_assert_cmpuint (kinds[2], ==, 1);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
expect_critical (const char *pattern)
{
  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, pattern);
}

static void
test_add_errors (void)
{
  g_autoptr(AForkProcess) first = new_pool_template (0);
  g_autoptr(AForkProcess) second = new_pool_template (1);
  g_autoptr(AForkProcess) ran = new_module_process ("lifecycle");
  g_autoptr(AForkProcess) other = NULL;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  AForkPool *pool = new_pool_of (first, 2);

  expect_critical ("*only once*");
  afork_pool_add_template (pool, first, 0);
  afork_pool_add_template (pool, second, 1);
  expect_critical ("*only once*");
  afork_pool_add_template (pool, second, 2);

  g_main_context_push_thread_default (context);
  other = afork_process_new ();
  g_main_context_pop_thread_default (context);
  expect_critical ("*same main context*");
  afork_pool_add_template (pool, other, 0);
  g_test_assert_expected_messages ();

  /* A process that was run is no template, which is not a mistake of the program. */
  connection = run_process_ok (ran, "until_closed");
  g_assert_false (afork_pool_get_unhealthy (pool));
  afork_pool_add_template (pool, ran, 0);
  g_assert_true (afork_pool_get_unhealthy (pool));
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_CLOSED);
  ask (pool, "pid");
  finish_process (ran, connection);

  await_shutdown (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_clear_object (&ran);
  ran = new_pool_template (0);
  afork_pool_add_template (pool, ran, 0);
  g_assert_finalize_object (pool);

  g_main_context_push_thread_default (context);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
  g_clear_object (&other);
  while (g_main_context_iteration (context, FALSE))
    ;
}

/* The workers of one template cannot start: those of the other one do all jobs. */
static void
test_init_fails_for_one (void)
{
  g_autoptr(AForkProcess) bad = new_pool_template (0);
  g_autoptr(AForkProcess) good = new_pool_template (1);
  AForkPool *pool = g_object_new (AFORK_TYPE_POOL, "process", bad, "function", "pool_do",
                                  "init-function", "pool_init_kind", "forward-stderr", FALSE,
                                  "max-workers", 2, "load", 1, "start-delay", 0, NULL);
  GAsyncResult *results[6] = { NULL };

  afork_pool_add_template (pool, good, 1);
  for (guint i = 0; i < 6; i++)
    begin_pool_call (pool, "kind", 0, &results[i]);
  for (guint i = 0; i < 6; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, 1);
  /* The jobs may have been done before the others have failed. */
  while (afork_pool_get_last_error (pool) == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (afork_pool_get_last_error (pool), G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Templates that exit. */

/* Ends the worker, if it is there, and checks that another worker of this KIND is started. */
static void
check_next_worker (AForkPool *pool,
                   guint      kind)
{
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "exit", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_EXITED, NULL);
  g_assert_cmpuint (ask (pool, "kind"), ==, kind);
}

/* The template is killed while nothing is to be done. Workers go on, and the next workers are forks
 * of a new template. That is killed as well. */
static void
test_killed_idle (void)
{
  g_autoptr(AForkProcess) process = new_pool_template (2);
  AForkPool *pool = new_pool_of (process, 1);
  const guint32 pid = ask (pool, "pid");

  kill_process (process);
  await_end (process);
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_SIGNALED);
  g_assert_nonnull (strstr (afork_pool_get_last_error (pool)->message, "template"));
  g_assert_false (afork_pool_get_unhealthy (pool));
  g_assert_cmpuint (ask (pool, "pid"), ==, pid);
  g_assert_true (afork_pool_get_process (pool) == process);
  check_next_worker (pool, 2);
  check_next_worker (pool, 2);

  for (guint i = 0; i < 3; i++)
    {
      kill_children ();
      check_next_worker (pool, 2);
      g_assert_false (afork_pool_get_unhealthy (pool));
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The template is killed before the forks that it was asked for are there. No job fails. */
static void
check_killed_forking (guint n_jobs,
                      int   first_signal)
{
  g_autoptr(AForkProcess) process = new_pool_template (0);
  AForkPool *pool = new_pool_of (process, 4);
  g_autofree GAsyncResult **results = g_new0 (GAsyncResult *, n_jobs);

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  if (first_signal != 0)
    afork_process_send_signal (process, first_signal);
  for (guint i = 0; i < n_jobs; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  while (afork_pool_get_n_workers (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  afork_process_send_signal (process, SIGKILL);
  for (guint i = 0; i < n_jobs; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  g_assert_false (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

static void
test_killed_forking (void)
{
  check_killed_forking (1, 0);
  check_killed_forking (20, 0);
  check_killed_forking (20, SIGSTOP);
}

/* The same during a blocking call. */
static void
test_killed_blocking (void)
{
  g_autoptr(AForkProcess) process = new_pool_template (1);
  AForkPool *pool = new_pool_of (process, 2);

  kill_process (process);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) answer = afork_pool_call (pool, do_args ("kind", 0), NULL, &error);

      g_assert_no_error (error);
      assert_uint32 (answer, 1);
      kill_children ();
      answer = (g_variant_unref (answer),
                afork_pool_call (pool, do_args ("exit", 1), NULL, &error));
      g_assert_null (answer);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
    }
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A template whose preparation crashes when it is repeated. */
typedef struct
{
  char *count;                  /* a file, which has one byte for each preparation */
  char *bomb;                   /* a file; if it is there, the preparation crashes or hangs */
} Trap;

static void
trap_begin (Trap *self)
{
  const char *dir = g_getenv ("TMPDIR") != NULL ? g_getenv ("TMPDIR") : g_get_tmp_dir ();

  self->count = g_strdup_printf ("%s/pool-count-%d", dir, (int) getpid ());
  self->bomb = g_strdup_printf ("%s/pool-bomb-%d", dir, (int) getpid ());
}

static void
trap_end (Trap *self)
{
  g_assert_true (g_unlink (self->bomb) == 0 || errno == ENOENT);
  g_assert_cmpint (g_unlink (self->count), ==, 0);
  g_free (self->bomb);
  g_free (self->count);
}

static AForkProcess *
trap_new_template (Trap *self)
{
  AForkProcess *process = new_pool_template (1);

  return afork_process_call (process, "pool_prepare",
                             (const char * const []) { self->count, self->bomb, NULL });
}

/* HOW is empty if the preparation is to crash. */
static void
trap_set (Trap       *self,
          const char *how)
{
  g_assert_true (g_file_set_contents (self->bomb, how, -1, NULL));
}

static void
trap_arm (Trap *self)
{
  trap_set (self, "");
}

static guint
trap_count (Trap *self)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (self->count, &text, NULL, NULL));
  return (guint) strlen (text);
}

static gboolean
set_true_cb (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
iterate_for (guint milliseconds)
{
  gboolean is_over = FALSE;

  g_timeout_add (milliseconds, set_true_cb, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
}

/* The jobs that wait fail after a few attempts. Then nothing happens until there is a job again.
 * When the preparation succeeds again, jobs are done. */
static void
test_replay_crashes (void)
{
  Trap trap;
  g_autoptr(AForkProcess) process = NULL;
  AForkPool *pool;
  GAsyncResult *results[3] = { NULL };
  guint n;

  trap_begin (&trap);
  process = trap_new_template (&trap);
  pool = new_pool_of (process, 3);
  ask (pool, "pid");
  trap_arm (&trap);
  kill_process (process);
  await_end (process);
  ask (pool, "pid");

  begin_pool_call (pool, "exit", 1, &results[0]);
  await_error (pool, &results[0], AFORK_ERROR, AFORK_ERROR_EXITED, NULL);
  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < 3; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED, "template");
  g_assert_true (afork_pool_get_unhealthy (pool));
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_SIGNALED);
  n = trap_count (&trap);
  g_assert_cmpuint (n, >=, 3);
  g_assert_cmpuint (n, <=, 4);
  iterate_for (1000);
  g_assert_cmpuint (trap_count (&trap), ==, n);
  g_assert_cmpuint (afork_pool_get_n_workers (pool), ==, 0);

  g_assert_cmpint (g_unlink (trap.bomb), ==, 0);
  g_assert_cmpuint (ask (pool, "kind"), ==, 1);
  g_assert_cmpuint (trap_count (&trap), ==, n + 1);
  g_assert_false (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  trap_end (&trap);
}

/* A pool that always wants a worker makes attempts after longer and longer times: at once, and then
 * 0.1, 0.2, 0.4 and 0.8 seconds after the last one. */
static void
test_replay_crashes_wanted (void)
{
  Trap trap;
  g_autoptr(AForkProcess) process = NULL;
  AForkPool *pool;

  trap_begin (&trap);
  process = trap_new_template (&trap);
  pool = new_pool_of (process, 3);
  ask (pool, "pid");
  trap_arm (&trap);
  kill_process (process);
  await_end (process);
  afork_pool_set_min_idle (pool, 2);
  iterate_for (1400);
  g_assert_cmpuint (trap_count (&trap), >=, 3);
  g_assert_cmpuint (trap_count (&trap), <=, 6);
  /* Two workers may just be starting. */
  g_assert_cmpuint (afork_pool_get_n_workers (pool), <=, 3);
  g_assert_true (afork_pool_get_unhealthy (pool));
  ask (pool, "pid");

  g_assert_cmpint (g_unlink (trap.bomb), ==, 0);
  while (afork_pool_get_n_idle (pool) < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_false (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  trap_end (&trap);
}

/* The template hangs when it is created again. A shutdown ends it, as does dropping the pool, or
 * this test would wait for ever for a child. */
static void
check_replay_hangs (gboolean is_shut_down)
{
  Trap trap;
  g_autoptr(AForkProcess) process = NULL;
  AForkPool *pool;
  GAsyncResult *result = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  trap_begin (&trap);
  process = trap_new_template (&trap);
  pool = new_pool_of (process, 1);
  ask (pool, "pid");
  trap_set (&trap, "hang");
  kill_process (process);
  await_end (process);
  while (trap_count (&trap) < 2)
    iterate_for (5);

  begin_pool_call (pool, "exit", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_EXITED, NULL);
  afork_pool_call_async (pool, do_args ("echo", 1), cancellable, store_result_cb, &result);
  iterate_for (20);
  g_assert_null (result);
  if (!is_shut_down)
    g_cancellable_cancel (cancellable);
  else
    await_shutdown (pool, AFORK_SHUTDOWN_MODE_ABORT);
  if (is_shut_down)
    await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  else
    await_error (pool, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_finalize_object (pool);
  trap_end (&trap);
}

static void
test_replay_hangs (void)
{
  check_replay_hangs (TRUE);
}

static void
test_replay_hangs_dropped (void)
{
  check_replay_hangs (FALSE);
}

/* Its own module is missing when the template is created again: the reason is that. */
static void
test_prepare_fails (void)
{
  g_autoptr(AForkProcess) process = new_pool_template (1);
  AForkPool *pool;
  GAsyncResult *result = NULL;

  afork_process_require (process, "no-such-module");
  pool = new_pool_of (process, 1);
  begin_pool_call (pool, "echo", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
  g_assert_true (afork_pool_get_unhealthy (pool));
  begin_pool_call (pool, "echo", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* A template that cannot be created again, because it has got a descriptor. */
static AForkProcess *
new_lost_template (void)
{
  AForkProcess *process = new_pool_template (0);

  return afork_process_send_fd (process, STDIN_FILENO);
}

/* Its workers go on. When there are none, jobs fail. */
static void
test_lost (void)
{
  g_autoptr(AForkProcess) process = new_lost_template ();
  AForkPool *pool = new_pool_of (process, 2);
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) job = NULL;
  int gate;

  job = new_gate_job ("gate", &gate);
  begin_job (pool, job, &results[0]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  kill_process (process);
  while (!afork_pool_get_unhealthy (pool))
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_LOST);

  begin_pool_call (pool, "echo", 1, &results[1]);
  begin_pool_call (pool, "exit", 1, &results[2]);
  close (gate);
  await_answer (pool, &results[0]);
  g_assert_cmpuint (await_answer (pool, &results[1]), ==, 1);
  await_error (pool, &results[2], AFORK_ERROR, AFORK_ERROR_EXITED, NULL);

  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < 3; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_LOST, "a descriptor was sent to it");
  g_assert_true (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* Jobs that wait when the template is lost fail as well. */
static void
test_lost_waiting (void)
{
  g_autoptr(AForkProcess) process = new_lost_template ();
  AForkPool *pool = new_pool_of (process, 2);
  GAsyncResult *results[3] = { NULL };

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (process, SIGSTOP);
  for (guint i = 0; i < 3; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  while (afork_pool_get_n_workers (pool) == 0)
    g_main_context_iteration (NULL, TRUE);
  afork_process_send_signal (process, SIGKILL);
  for (guint i = 0; i < 3; i++)
    await_error (pool, &results[i], AFORK_ERROR, AFORK_ERROR_LOST, "signal 9");
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* With another template, all jobs are done. */
static void
test_lost_other (void)
{
  g_autoptr(AForkProcess) process = new_lost_template ();
  g_autoptr(AForkProcess) other = new_pool_template (1);
  AForkPool *pool = new_pool_of (process, 3);
  GAsyncResult *results[10] = { NULL };

  afork_pool_add_template (pool, other, 2);
  ask (pool, "pid");
  kill_process (process);
  await_end (process);
  for (guint i = 0; i < 10; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  g_assert_true (afork_pool_get_unhealthy (pool));
  g_assert_error (afork_pool_get_last_error (pool), AFORK_ERROR, AFORK_ERROR_LOST);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The program runs the template: it is no template any more. */
static void
test_run (void)
{
  g_autoptr(AForkProcess) process = afork_process_require (new_pool_template (0), "lifecycle");
  AForkPool *pool = new_pool_of (process, 1);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
  GAsyncResult *result = NULL;

  begin_pool_call (pool, "echo", 1, &result);
  await_error (pool, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, "was run");
  g_assert_true (afork_pool_get_unhealthy (pool));
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  finish_process (process, connection);
}

/* The template of two pools and of the program is killed: each pool has another one from then
 * on. */
static void
test_two_pools (void)
{
  g_autoptr(AForkProcess) process = new_pool_template (1);
  AForkPool *pools[2];
  GAsyncResult *results[2][10] = { { NULL } };

  for (guint i = 0; i < 2; i++)
    {
      pools[i] = new_pool_of (process, 3);
      ask (pools[i], "pid");
    }
  kill_process (process);
  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < 10; j++)
      begin_pool_call (pools[i], "echo", j, &results[i][j]);
  for (guint i = 0; i < 2; i++)
    for (guint j = 0; j < 10; j++)
      g_assert_cmpuint (await_answer (pools[i], &results[i][j]), ==, j);
  check_next_worker (pools[1], 1);
  shut_down_pool (pools[0], AFORK_SHUTDOWN_MODE_DRAIN);
  check_next_worker (pools[1], 1);
  shut_down_pool (pools[1], AFORK_SHUTDOWN_MODE_DRAIN);
}

/* The template exits while the pool is shut down, and after that: it is not created again, unless
 * jobs are left to be run. */
static void
test_killed_shutdown (void)
{
  g_autoptr(AForkProcess) process = new_pool_template (1);
  AForkPool *pool = new_pool_of (process, 2);
  g_autoptr(GAsyncResult) result = NULL;
  GAsyncResult *results[5] = { NULL };

  for (guint i = 0; i < 5; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  kill_process (process);
  afork_pool_shutdown_async (pool, AFORK_SHUTDOWN_MODE_DRAIN, NULL, store_result_cb, &result);
  for (guint i = 0; i < 5; i++)
    g_assert_cmpuint (await_answer (pool, &results[i]), ==, i);
  await_result (&result);
  g_clear_object (&result);
  kill_children ();
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool/template/several", test_several);
  add_test ("/pool/template/add-errors", test_add_errors);
  add_test ("/pool/template/init-fails-for-one", test_init_fails_for_one);
  add_test ("/pool/template/killed-idle", test_killed_idle);
  add_test ("/pool/template/killed-forking", test_killed_forking);
  add_test ("/pool/template/killed-blocking", test_killed_blocking);
  add_test ("/pool/template/killed-shutdown", test_killed_shutdown);
  add_test ("/pool/template/replay-crashes", test_replay_crashes);
  add_test ("/pool/template/replay-crashes-wanted", test_replay_crashes_wanted);
  add_test ("/pool/template/replay-hangs", test_replay_hangs);
  add_test ("/pool/template/replay-hangs-dropped", test_replay_hangs_dropped);
  add_test ("/pool/template/prepare-fails", test_prepare_fails);
  add_test ("/pool/template/lost", test_lost);
  add_test ("/pool/template/lost-waiting", test_lost_waiting);
  add_test ("/pool/template/lost-other", test_lost_other);
  add_test ("/pool/template/run", test_run);
  add_test ("/pool/template/two-pools", test_two_pools);

  return g_test_run ();
}
