/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Equal jobs that share one run. Each job that a worker runs emits its arguments as an event, so
 * the events count the runs. */

#include "test-pool-util.h"

#include <string.h>
#include <unistd.h>

typedef struct
{
  AForkPool *pool;
  int        commands;          /* what the workers do: see new_script_pool() */
  GString   *runs;              /* the number of each job that was run, and a space */
  GString   *progress;          /* each report of progress of the jobs that are watched */
} Script;

static void
append_run_cb (AForkPool *pool,
               GVariant  *event,
               GString   *runs)
{
  guint32 number;

  if (!g_variant_is_of_type (event, G_VARIANT_TYPE ("(su)")))
    {
      g_string_append_printf (runs, "%s ", g_variant_get_string (event, NULL));
      return;
    }

  g_variant_get (event, "(su)", NULL, &number);
  g_string_append_printf (runs, "%u ", number);
}

static void
set_up (Script *script)
{
  *script = (Script) { .runs = g_string_new (NULL), .progress = g_string_new (NULL) };
  script->pool = new_script_pool (&script->commands, "grace", 20, NULL);
  g_signal_connect (script->pool, "event", G_CALLBACK (append_run_cb), script->runs);
}

static void
clear (Script *script)
{
  close (script->commands);
  g_string_free (script->runs, TRUE);
  g_string_free (script->progress, TRUE);
}

static void
tear_down (Script *script)
{
  shut_down_pool (script->pool, AFORK_SHUTDOWN_MODE_DRAIN);
  clear (script);
}

static AForkJob *
new_job (guint32 number)
{
  AForkJob *job = afork_job_new (do_args ("job", number));

  afork_job_set_coalesce (job, TRUE);
  return job;
}

static AForkJob *
begin (Script       *script,
       guint32        number,
       GAsyncResult **result)
{
  AForkJob *job = new_job (number);

  begin_job (script->pool, job, result);
  return job;
}

static void
append_progress_cb (AForkJob *job,
                    GVariant *progress,
                    Script  *script)
{
  g_string_append_printf (script->progress, "%s%u ", (char *) g_object_get_data (G_OBJECT (job),
                                                                                  "name"),
                          g_variant_get_uint32 (progress));
}

static void
watch_progress (Script    *script,
                AForkJob   *job,
                const char *name)
{
  g_object_set_data (G_OBJECT (job), "name", (gpointer) name);
  g_signal_connect (job, "progress", G_CALLBACK (append_progress_cb), script);
}

/* Makes the worker busy with a job that is not shared, and has the number 100. It is the next to
 * get a command. */
static void
hold (Script       *script,
      GAsyncResult **result)
{
  const gsize length = script->runs->len;

  begin_pool_call (script->pool, "job", 100, result);
  while (script->runs->len == length)
    g_main_context_iteration (NULL, TRUE);
}

/* Waits until the worker has noticed that its job is cancelled. */
static void
await_idle (Script *script)
{
  while (afork_pool_get_n_idle (script->pool) == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* Equal jobs are run once, and get the same result. Jobs that differ, or do not ask for it, are run
 * by themselves. */
static void
test_once (void)
{
  Script script;
  GAsyncResult *results[6] = { NULL };
  AForkJob *jobs[6] = { NULL };

  set_up (&script);
  for (guint i = 0; i < 3; i++)
    jobs[i] = begin (&script, 1, &results[i]);
  jobs[3] = begin_pool_job (script.pool, "job", 1, &results[3]);
  jobs[4] = begin (&script, 2, &results[4]);
  jobs[5] = new_job (1);
  afork_job_set_key (jobs[5], "key");
  begin_job (script.pool, jobs[5], &results[5]);
  g_assert_cmpuint (afork_pool_get_n_queued (script.pool), ==, 4);

  send_commands (script.commands, "brrrr");
  for (guint i = 0; i < 6; i++)
    g_assert_cmpuint (await_answer (script.pool, &results[i]), !=, 0);
  g_assert_cmpstr (script.runs->str, ==, "1 1 2 1 ");
  for (guint i = 0; i < 6; i++)
    {
      gsize n_blobs;
      gboolean is_shared = i < 3;

      g_assert_cmpint (afork_job_get_state (jobs[i]), ==, AFORK_JOB_STATE_SUCCEEDED);
      g_assert_true (afork_job_get_begun (jobs[i]));
      g_assert_true ((afork_job_get_result (jobs[i]) == afork_job_get_result (jobs[0]))
                     == is_shared);
      afork_job_get_result_blobs (jobs[i], &n_blobs);
      g_assert_cmpuint (n_blobs, ==, is_shared ? 1 : 0);
    }

  /* A job that ends is not joined any more. */
  g_clear_object (&jobs[0]);
  jobs[0] = begin (&script, 1, &results[0]);
  send_commands (script.commands, "r");
  await_answer (script.pool, &results[0]);
  g_assert_cmpstr (script.runs->str, ==, "1 1 2 1 1 ");

  /* A job that was run cannot be run again. */
  begin_job (script.pool, jobs[0], &results[0]);
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_CLOSED, "run already");
  for (guint i = 0; i < 6; i++)
    g_object_unref (jobs[i]);
  tear_down (&script);
}

/* Asserts that the blobs of JOB are as the worker made them, and writes to all of them. */
static void
write_to_blobs (AForkJob *job)
{
  gsize n_blobs;
  GBytes **blobs = afork_job_get_result_blobs (job, &n_blobs);

  g_assert_cmpuint (n_blobs, ==, 3);
  for (gsize i = 0; i < n_blobs; i++)
    {
      gsize size;
      char *bytes = (char *) g_bytes_get_data (blobs[i], &size);

      if (i == 0)
        g_assert_cmpmem (bytes, size, "blob", 4);
      else
        for (gsize at = 0; at < size; at++)
          if (bytes[at] != 0)
            g_error ("byte %" G_GSIZE_FORMAT " of a blob was changed", at);
      memset (bytes, '!', size);
    }
}

static void
write_to_blobs_cb (AForkJob   *job,
                   GParamSpec *pspec,
                   guint      *n_written)
{
  write_to_blobs (job);
  ++*n_written;
}

/* Each job has blobs of its own: what the program writes to them, no other job sees. */
static void
test_blobs (void)
{
  Script script;
  GAsyncResult *results[4] = { NULL };
  AForkJob *jobs[4];
  guint n_written = 0;

  set_up (&script);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      jobs[i] = begin (&script, 1, &results[i]);
      g_signal_connect (jobs[i], "notify::result", G_CALLBACK (write_to_blobs_cb), &n_written);
    }
  send_commands (script.commands, "bBBr");
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      await_answer (script.pool, &results[i]);
      g_object_unref (jobs[i]);
    }
  g_assert_cmpuint (n_written, ==, G_N_ELEMENTS (jobs));
  g_assert_cmpstr (script.runs->str, ==, "1 ");
  tear_down (&script);
}

/* Jobs are cancelled while the blobs of others are copied, and in the handlers of these. */
static void
cancel_next_cb (AForkJob   *job,
                GParamSpec *pspec,
                AForkJob   *next)
{
  afork_job_cancel (next);
}

static void
test_blobs_cancelled (void)
{
  Script script;
  GAsyncResult *results[3] = { NULL };
  AForkJob *jobs[3];
  guint n_written = 0;

  set_up (&script);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    {
      jobs[i] = begin (&script, 1, &results[i]);
      if (i != 1)
        g_signal_connect (jobs[i], "notify::result", G_CALLBACK (write_to_blobs_cb), &n_written);
    }
  g_signal_connect (jobs[0], "notify::result", G_CALLBACK (cancel_next_cb), jobs[1]);
  send_commands (script.commands, "bBBr");
  await_answer (script.pool, &results[0]);
  await_error (script.pool, &results[1], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_answer (script.pool, &results[2]);
  g_assert_cmpuint (n_written, ==, 2);
  for (guint i = 0; i < G_N_ELEMENTS (jobs); i++)
    g_object_unref (jobs[i]);
  tear_down (&script);
}

/* A job joins one that is running, and reports the progress from then on, in order with events. */
static void
test_join_running (void)
{
  Script script;
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = new_job (1);

  set_up (&script);
  first = begin (&script, 1, &results[0]);
  watch_progress (&script, first, "a");
  watch_progress (&script, second, "b");
  send_commands (script.commands, "p");
  while (script.progress->len == 0)
    g_main_context_iteration (NULL, TRUE);
  begin_job (script.pool, second, &results[1]);
  g_assert_cmpint (afork_job_get_state (second), ==, AFORK_JOB_STATE_RUNNING);
  send_commands (script.commands, "ppr");
  await_answer (script.pool, &results[0]);
  await_answer (script.pool, &results[1]);
  g_assert_cmpstr (script.progress->str, ==, "a0 a1 b1 a2 b2 ");
  g_assert_cmpstr (script.runs->str, ==, "1 ");
  tear_down (&script);
}

/* Progress, events and results come in the order in which the worker made them. */
static void
append_state_cb (AForkJob   *job,
                 GParamSpec *pspec,
                 Script    *script)
{
  if (afork_job_get_state (job) == AFORK_JOB_STATE_RUNNING)
    g_string_append (script->progress, "running ");
}

static void
append_event_cb (AForkPool *pool,
                 GVariant  *event,
                 Script   *script)
{
  if (g_variant_is_of_type (event, G_VARIANT_TYPE_STRING))
    g_string_append (script->progress, "v ");
}

static void
test_order (void)
{
  Script script;
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;

  set_up (&script);
  g_signal_connect (script.pool, "event", G_CALLBACK (append_event_cb), &script);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  watch_progress (&script, first, "a");
  watch_progress (&script, second, "b");
  g_signal_connect (first, "notify::state", G_CALLBACK (append_state_cb), &script);
  send_commands (script.commands, "vppvvpr");
  await_answer (script.pool, &results[0]);
  await_answer (script.pool, &results[1]);
  g_assert_cmpstr (script.progress->str, ==, "running v a0 b0 a1 b1 v v a2 b2 ");
  tear_down (&script);
}

static void
test_error (void)
{
  Script script;
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;

  set_up (&script);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  send_commands (script.commands, "e");
  await_error (script.pool, &results[0], G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
  await_error (script.pool, &results[1], G_IO_ERROR, G_IO_ERROR_BUSY, "the worker says no");
  g_assert_true (afork_job_get_error (first) != afork_job_get_error (second));
  g_assert_cmpstr (script.runs->str, ==, "1 ");
  tear_down (&script);
}

/* One job is cancelled, and the others go on. If all are cancelled, the work is cancelled. */
static void
check_cancel (gboolean running)
{
  Script script;
  GAsyncResult *held = NULL;
  GAsyncResult *results[4] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;
  g_autoptr(AForkJob) third = NULL;
  g_autoptr(AForkJob) fourth = NULL;
  guint32 pid;

  set_up (&script);
  if (!running)
    hold (&script, &held);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  if (running)
    await_job_state (second, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (first);
  await_error (script.pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  g_assert_null (results[1]);
  send_commands (script.commands, running ? "r" : "rr");
  pid = await_answer (script.pool, &results[1]);
  g_assert_cmpint (afork_job_get_state (first), ==, AFORK_JOB_STATE_CANCELLED);
  if (!running)
    await_answer (script.pool, &held);

  if (!running)
    hold (&script, &held);
  third = begin (&script, 1, &results[2]);
  fourth = begin (&script, 1, &results[3]);
  if (running)
    await_job_state (third, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (third);
  afork_job_cancel (fourth);
  await_error (script.pool, &results[2], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_error (script.pool, &results[3], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  if (!running)
    g_assert_cmpuint (afork_pool_get_n_queued (script.pool), ==, 0);
  if (running)
    await_idle (&script);

  /* The next equal job is run anew, in the same worker. */
  g_clear_object (&first);
  first = begin (&script, 1, &results[0]);
  send_commands (script.commands, running ? "r" : "rr");
  g_assert_cmpuint (await_answer (script.pool, &results[0]), ==, pid);
  if (!running)
    await_answer (script.pool, &held);
  g_assert_cmpstr (script.runs->str, ==, running ? "1 1 1 " : "100 1 100 1 ");
  tear_down (&script);
}

static void
test_cancel_waiting (void)
{
  check_cancel (FALSE);
}

static void
test_cancel_running (void)
{
  check_cancel (TRUE);
}

/* Each job has its own time limit. The time of a job that joins later starts then. */
static void
test_timeout (void)
{
  Script script;
  GAsyncResult *held = NULL;
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) first = new_job (1);
  g_autoptr(AForkJob) second = NULL;
  g_autoptr(AForkJob) third = new_job (1);
  gint64 begin_time;

  set_up (&script);
  /* The time that the jobs wait does not count. */
  hold (&script, &held);
  afork_job_set_timeout (first, 100);
  begin_job (script.pool, first, &results[0]);
  second = begin (&script, 1, &results[1]);
  g_usleep (120 * 1000);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_null (results[0]);
  send_commands (script.commands, "r");
  await_answer (script.pool, &held);
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "100 ms");

  begin_time = g_get_monotonic_time ();
  afork_job_set_timeout (third, 50);
  begin_job (script.pool, third, &results[2]);
  await_error (script.pool, &results[2], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "50 ms");
  g_assert_cmpint (g_get_monotonic_time () - begin_time, >=, 50 * 1000);
  g_assert_null (results[1]);
  send_commands (script.commands, "r");
  await_answer (script.pool, &results[1]);
  g_assert_cmpstr (script.runs->str, ==, "100 1 ");

  /* If all take too long, the work is cancelled. The pool has a limit for the second one. */
  g_clear_object (&first);
  first = new_job (1);
  g_clear_object (&second);
  second = new_job (1);
  afork_job_set_timeout (first, 30);
  afork_pool_set_timeout (script.pool, 60);
  begin_job (script.pool, first, &results[0]);
  begin_job (script.pool, second, &results[1]);
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "30 ms");
  await_error (script.pool, &results[1], AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "60 ms");
  afork_pool_set_timeout (script.pool, 0);
  await_idle (&script);
  begin_pool_call (script.pool, "job", 5, &held);
  send_commands (script.commands, "r");
  await_answer (script.pool, &held);
  g_assert_cmpstr (script.runs->str, ==, "100 1 1 5 ");
  tear_down (&script);
}

/* The time limit starts again when the jobs are run again. */
static void
test_timeout_again (void)
{
  Script script;
  GAsyncResult *result = NULL;
  g_autoptr(AForkJob) job = new_job (1);

  set_up (&script);
  afork_job_set_timeout (job, 60 * 1000);
  afork_job_set_retries (job, 1);
  send_commands (script.commands, "kr");
  begin_job (script.pool, job, &result);
  await_answer (script.pool, &result);
  g_assert_cmpstr (script.runs->str, ==, "1 1 ");

  g_clear_object (&job);
  job = new_job (2);
  afork_job_set_timeout (job, 50);
  afork_job_set_retries (job, 1);
  send_commands (script.commands, "k");
  begin_job (script.pool, job, &result);
  await_error (script.pool, &result, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "50 ms");
  tear_down (&script);
}

/* The highest priority of the jobs counts, also when it changes and when its job is cancelled. The
 * other job has priority 5. */
typedef enum
{
  HIGH_JOINS,
  HIGH_IS_SET,
  HIGH_IS_CANCELLED,
} HighPriority;

static void
check_priority (HighPriority  how,
                const char   *runs)
{
  Script script;
  GAsyncResult *results[4] = { NULL };
  g_autoptr(AForkJob) low = NULL;
  g_autoptr(AForkJob) high = new_job (1);
  g_autoptr(AForkJob) other = afork_job_new (do_args ("job", 2));

  set_up (&script);
  hold (&script, &results[0]);
  low = begin (&script, 1, &results[1]);
  afork_job_set_priority (other, 5);
  begin_job (script.pool, other, &results[2]);
  afork_job_set_priority (high, how == HIGH_IS_SET ? -1 : 10);
  begin_job (script.pool, high, &results[3]);
  if (how == HIGH_IS_SET)
    afork_job_set_priority (high, 6);
  if (how == HIGH_IS_CANCELLED)
    {
      afork_job_cancel (high);
      await_error (script.pool, &results[3], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
    }
  send_commands (script.commands, "rrr");
  for (guint i = 0; i < (how == HIGH_IS_CANCELLED ? 3 : 4); i++)
    await_answer (script.pool, &results[i]);
  g_assert_cmpstr (script.runs->str, ==, runs);
  tear_down (&script);
}

static void
test_priority (void)
{
  check_priority (HIGH_JOINS, "100 1 2 ");
  check_priority (HIGH_IS_SET, "100 1 2 ");
  check_priority (HIGH_IS_CANCELLED, "100 2 1 ");
}

/* If one of the jobs allows it, they are run again. */
static void
test_retries (void)
{
  Script script;
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = new_job (1);
  g_autoptr(AForkJob) third = NULL;

  set_up (&script);
  first = begin (&script, 1, &results[0]);
  afork_job_set_retries (second, 1);
  begin_job (script.pool, second, &results[1]);
  send_commands (script.commands, "kr");
  await_answer (script.pool, &results[0]);
  await_answer (script.pool, &results[1]);
  g_assert_cmpstr (script.runs->str, ==, "1 1 ");

  /* They fail together, and are then refused. */
  g_clear_object (&first);
  first = begin (&script, 1, &results[0]);
  g_clear_object (&second);
  second = new_job (1);
  afork_job_set_retries (second, 5);
  begin_job (script.pool, second, &results[1]);
  send_commands (script.commands, "kk");
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED, "two workers");
  await_error (script.pool, &results[1], AFORK_ERROR, AFORK_ERROR_SIGNALED, "two workers");
  g_assert_true (afork_job_get_begun (first));
  third = begin (&script, 1, &results[2]);
  await_error (script.pool, &results[2], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  tear_down (&script);

  /* Without retries, they fail with the first worker. */
  set_up (&script);
  g_clear_object (&first);
  g_clear_object (&second);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  send_commands (script.commands, "k");
  for (guint i = 0; i < 2; i++)
    await_error (script.pool, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED,
                 "The worker was ended");
  g_assert_cmpstr (script.runs->str, ==, "1 ");
  tear_down (&script);
}

/* Shared jobs that wait are refused when equal jobs have ended two workers. */
static void
test_quarantine (void)
{
  Script script;
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;
  g_autoptr(AForkJob) bad = afork_job_new (do_args ("job", 1));

  set_up (&script);
  afork_job_set_retries (bad, 1);
  begin_job (script.pool, bad, &results[0]);
  first = begin (&script, 1, &results[1]);
  second = begin (&script, 1, &results[2]);
  send_commands (script.commands, "kk");
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_SIGNALED, "two workers");
  await_error (script.pool, &results[1], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  await_error (script.pool, &results[2], AFORK_ERROR, AFORK_ERROR_QUARANTINED, NULL);
  g_assert_false (afork_job_get_begun (first));
  g_assert_cmpstr (script.runs->str, ==, "1 1 ");
  tear_down (&script);
}

/* A job that joins another one takes no place in the queue. */
static void
test_queue_limit (void)
{
  Script script;
  GAsyncResult *held = NULL;
  GAsyncResult *results[4] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;
  g_autoptr(AForkJob) other = NULL;

  set_up (&script);
  afork_pool_set_queue_limit (script.pool, 1);
  hold (&script, &held);
  first = begin (&script, 1, &results[0]);
  other = begin (&script, 2, &results[1]);
  second = begin (&script, 1, &results[2]);
  await_error (script.pool, &results[1], AFORK_ERROR, AFORK_ERROR_OVERLOADED, NULL);
  g_assert_cmpuint (afork_pool_get_n_queued (script.pool), ==, 1);
  send_commands (script.commands, "rr");
  await_answer (script.pool, &held);
  await_answer (script.pool, &results[0]);
  await_answer (script.pool, &results[2]);
  tear_down (&script);
}

/* A job with descriptors, and one with large arguments, are run by themselves. */
static void
test_alone (void)
{
  const gsize size = 1024 * 1024;
  Script script;
  GAsyncResult *results[4] = { NULL };
  g_autofree char *text = g_strnfill (size, 'x');
  int gates[2];

  set_up (&script);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) gate_job = new_gate_job ("job", &gates[i]);
      g_autoptr(AForkJob) large = afork_job_new (do_args (text, 1));

      afork_job_set_coalesce (gate_job, TRUE);
      afork_job_set_coalesce (large, TRUE);
      begin_job (script.pool, gate_job, &results[2 * i]);
      begin_job (script.pool, large, &results[2 * i + 1]);
    }
  send_commands (script.commands, "rrrr");
  for (guint i = 0; i < 4; i++)
    await_answer (script.pool, &results[i]);
  g_assert_cmpstr (script.runs->str, ==, "0 1 0 1 ");
  close (gates[0]);
  close (gates[1]);
  tear_down (&script);
}

/* A handler may do anything with the other jobs and the pool. */
typedef struct
{
  Script      *script;
  AForkJob     *first;
  AForkJob     *second;
  AForkJob     *third;
  GAsyncResult *again;
} Handler;

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Handler *handler = data;
  g_autoptr(GVariant) answer = afork_pool_run_job_finish (AFORK_POOL (object), result, NULL);

  g_assert_nonnull (answer);
  afork_job_cancel (handler->second);
  g_clear_object (&handler->second);
  g_clear_object (&handler->first);
  handler->third = begin (handler->script, 1, &handler->again);
  /* An equal job is a new one. */
  g_assert_cmpint (afork_job_get_state (handler->third), ==, AFORK_JOB_STATE_QUEUED);
}

static void
test_handlers (void)
{
  Script script;
  Handler handler = { .script = &script };
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) last = NULL;

  set_up (&script);
  handler.first = new_job (1);
  handler.second = new_job (1);
  afork_pool_run_job_async (script.pool, handler.first, NULL, ended_cb, &handler);
  begin_job (script.pool, handler.second, &results[0]);
  last = begin (&script, 1, &results[1]);
  send_commands (script.commands, "r");
  await_error (script.pool, &results[0], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_answer (script.pool, &results[1]);
  send_commands (script.commands, "r");
  await_answer (script.pool, &handler.again);
  g_assert_cmpstr (script.runs->str, ==, "1 1 ");
  g_object_unref (handler.third);
  tear_down (&script);
}

/* A handler iterates the main context, in which the other jobs end. */
static void
iterate_cb (AForkJob   *job,
            GParamSpec *pspec,
            gpointer    data)
{
  GAsyncResult **results = data;

  while (afork_job_get_state (job) == AFORK_JOB_STATE_SUCCEEDED && results[1] == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_nested (void)
{
  Script script;
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;

  set_up (&script);
  first = begin (&script, 1, &results[0]);
  g_signal_connect (first, "notify::state", G_CALLBACK (iterate_cb), results);
  second = begin (&script, 1, &results[1]);
  send_commands (script.commands, "r");
  await_answer (script.pool, &results[0]);
  await_answer (script.pool, &results[1]);
  tear_down (&script);
}

static void
check_shutdown (gboolean running)
{
  Script script;
  GAsyncResult *results[3] = { NULL };
  AForkJob *jobs[3] = { NULL };

  for (guint mode = 0; mode < 2; mode++)
    {
      GAsyncResult *held = NULL;

      set_up (&script);
      if (!running)
        hold (&script, &held);
      for (guint i = 0; i < 3; i++)
        jobs[i] = begin (&script, 1, &results[i]);
      if (running)
        await_job_state (jobs[0], AFORK_JOB_STATE_RUNNING);
      if (mode == 0)
        send_commands (script.commands, "rr");
      await_shutdown (script.pool, mode == 0 ? AFORK_SHUTDOWN_MODE_DRAIN
                                              : AFORK_SHUTDOWN_MODE_ABORT);
      for (guint i = 0; i < 3; i++)
        {
          g_assert_nonnull (results[i]);
          g_object_unref (jobs[i]);
          if (mode == 0)
            await_answer (script.pool, &results[i]);
          else
            await_error (script.pool, &results[i], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
        }
      g_clear_object (&held);
      g_assert_finalize_object (script.pool);
      clear (&script);
    }
}

static void
test_shutdown (void)
{
  check_shutdown (FALSE);
  check_shutdown (TRUE);
}

static void
test_dispose (void)
{
  Script script;
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;

  set_up (&script);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  await_job_state (first, AFORK_JOB_STATE_RUNNING);
  g_object_run_dispose (G_OBJECT (script.pool));
  await_error (script.pool, &results[0], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  await_error (script.pool, &results[1], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (script.pool);
  clear (&script);
}

/* The main context of the pool is freed while jobs wait, or run, that were made in another one. */
static gpointer
lost_thread (gpointer data)
{
  g_autoptr(GMainContext) other = g_main_context_new ();
  GMainContext *context = g_main_context_new ();
  const gboolean running = GPOINTER_TO_INT (data);
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = NULL;
  g_autoptr(AForkJob) held = NULL;
  Script script;

  g_main_context_push_thread_default (context);
  set_up (&script);
  g_main_context_push_thread_default (other);
  if (!running)
    held = begin (&script, 100, &results[2]);
  first = begin (&script, 1, &results[0]);
  second = begin (&script, 1, &results[1]);
  while (afork_job_get_state (running ? first : held) < AFORK_JOB_STATE_RUNNING)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (other);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
  g_main_context_pop_thread_default (context);
  g_main_context_push_thread_default (other);
  g_main_context_unref (context);
  for (guint i = 0; i < (running ? 2 : 3); i++)
    {
      while (results[i] == NULL)
        g_main_context_iteration (other, TRUE);
      await_error (script.pool, &results[i], AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
    }
  g_main_context_pop_thread_default (other);
  g_assert_finalize_object (script.pool);
  clear (&script);
  return NULL;
}

static void
test_context_gone (void)
{
  for (int running = 0; running < 2; running++)
    g_thread_join (g_thread_new ("lost", lost_thread, GINT_TO_POINTER (running)));
}

/* A blocking call joins a job, and their time limits end them while the call blocks. */
static void
test_blocking (void)
{
  Script script;
  GAsyncResult *result = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkJob) first = NULL;
  g_autoptr(AForkJob) second = new_job (1);

  set_up (&script);
  first = begin (&script, 1, &result);
  await_job_state (first, AFORK_JOB_STATE_RUNNING);
  send_commands (script.commands, "r");
  answer = afork_pool_run_job (script.pool, second, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (answer == afork_job_get_result (first));
  await_answer (script.pool, &result);
  g_assert_cmpstr (script.runs->str, ==, "1 ");

  for (guint i = 0; i < 2; i++)
    {
      g_clear_object (&first);
      first = new_job (2);
      g_clear_object (&second);
      second = new_job (2);
      afork_job_set_timeout (first, 30);
      afork_job_set_timeout (second, 60);
      begin_job (script.pool, first, &result);
      if (i == 1)
        await_job_state (first, AFORK_JOB_STATE_RUNNING);
      g_assert_null (afork_pool_run_job (script.pool, second, NULL, &error));
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "60 ms");
      g_assert_cmpint (afork_job_get_state (first), ==, AFORK_JOB_STATE_FAILED);
      await_error (script.pool, &result, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "30 ms");
    }
  tear_down (&script);
}

/* Many equal jobs end in turns: other sources run in between, and each job ends once. */
typedef struct
{
  guint    n_ended;
  guint    n_between;           /* how often the idle source ran after some jobs had ended */
  gboolean is_over;
} Flood;

static void
count_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  g_autoptr(GVariant) answer = afork_pool_run_job_finish (AFORK_POOL (object), result, NULL);

  g_assert_nonnull (answer);
  ((Flood *) data)->n_ended++;
}

static gboolean
between_cb (gpointer data)
{
  Flood *flood = data;

  flood->n_between += flood->n_ended > 0;
  return G_SOURCE_CONTINUE;
}

static void
test_flood (void)
{
  const guint n_jobs = is_instrumented () ? 5 * 1000 : 20 * 1000;
  Script script;
  Flood flood = { 0 };
  guint id;

  set_up (&script);
  id = g_idle_add (between_cb, &flood);
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = new_job (1);

      afork_pool_run_job_async (script.pool, job, NULL, count_cb, &flood);
    }
  send_commands (script.commands, "ppr");
  while (flood.n_ended < n_jobs)
    g_main_context_iteration (NULL, TRUE);
  g_test_message ("other sources ran %u times", flood.n_between);
  g_assert_cmpuint (flood.n_between, >, 0);
  g_assert_cmpstr (script.runs->str, ==, "1 ");
  g_source_remove (id);
  tear_down (&script);
}

/* The memory of many jobs that wait, and their end when the pool is shut down. */
static void
count_closed_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      data)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_pool_run_job_finish (AFORK_POOL (object), result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  (*(guint *) data)++;
}

static gsize
measure (gboolean coalesce,
         gboolean equal)
{
  const guint n_jobs = is_instrumented () ? 1000 : 20 * 1000;
  Script script;
  GAsyncResult *held = NULL;
  guint n_closed = 0;
  gsize size;

  set_up (&script);
  hold (&script, &held);
  size = get_heap_size ();
  for (guint i = 0; i < n_jobs; i++)
    {
      g_autoptr(AForkJob) job = new_job (equal ? 0 : i);

      afork_job_set_coalesce (job, coalesce);
      afork_pool_run_job_async (script.pool, job, NULL, count_closed_cb, &n_closed);
    }
  size = (get_heap_size () - size) / n_jobs;
  await_shutdown (script.pool, AFORK_SHUTDOWN_MODE_ABORT);
  g_assert_cmpuint (n_closed, ==, n_jobs);
  await_error (script.pool, &held, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_assert_finalize_object (script.pool);
  clear (&script);
  return size;
}

static void
test_memory (void)
{
  const gsize alone = measure (FALSE, FALSE);
  const gsize equal = measure (TRUE, TRUE);
  const gsize different = measure (TRUE, FALSE);

  g_test_message ("bytes of a job that waits: %" G_GSIZE_FORMAT " alone, %" G_GSIZE_FORMAT
                  " if it shares a run, %" G_GSIZE_FORMAT " if it could", alone, equal, different);
  if (is_instrumented ())
    return;

  /* Before 2.76, GLib keeps the memory of what was freed, so that the second and third figure seem
   * less than they are. */
  g_assert_cmpuint (equal, <=, alone + 64);
  g_assert_cmpuint (different, <=, alone + 1536);
}

/* Random jobs wait behind one that holds the worker. Some of them are cancelled, or get another
 * priority. Then the worker goes on, and may crash once: then it runs the same job again. Each
 * number of which a job is left is run once, and once more for the crash. */
typedef struct
{
  guint n_accepted;
  guint n_results;
  guint n_cancelled;
  guint n_runs;
} Counts;

static void
count_end_cb (GObject      *object,
              GAsyncResult *result,
              gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = afork_pool_run_job_finish (AFORK_POOL (object), result, &error);
  Counts *counts = data;

  if (answer != NULL)
    {
      counts->n_results++;
      return;
    }

  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  counts->n_cancelled++;
}

static void
count_run_cb (AForkPool *pool,
              GVariant  *event,
              Counts    *counts)
{
  counts->n_runs++;
}

static void
run_batch (Script *script,
           Counts  *counts)
{
  enum { N_NUMBERS = 8 };
  const guint n_jobs = (guint) g_test_rand_int_range (1, 40);
  const gboolean crashes = g_test_rand_int_range (0, 8) == 0;
  g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GString) commands = g_string_new ("r");
  guint n_left[N_NUMBERS] = { 0 };
  GAsyncResult *held = NULL;
  guint n_cancelled = counts->n_cancelled;
  guint n_numbers = 0;
  guint n_expected;

  hold (script, &held);
  for (guint i = 0; i < n_jobs; i++)
    {
      const guint number = (guint) g_test_rand_int_range (0, N_NUMBERS);
      AForkJob *job = new_job (number);

      afork_job_set_priority (job, g_test_rand_int_range (0, 3));
      afork_job_set_retries (job, 1);
      if (g_test_rand_int_range (0, 4) == 0)
        afork_job_set_timeout (job, 60 * 1000);
      g_ptr_array_add (jobs, job);
      afork_pool_run_job_async (script->pool, job, NULL, count_end_cb, counts);
      n_left[number]++;
      if (g_test_rand_int_range (0, 2) == 0)
        {
          afork_job_cancel (job);
          n_left[number]--;
          n_cancelled++;
        }
      if (g_test_rand_int_range (0, 3) == 0)
        g_main_context_iteration (NULL, FALSE);
      afork_job_set_priority (g_ptr_array_index (jobs, g_test_rand_int_range (0, (int) jobs->len)),
                              g_test_rand_int_range (0, 3));
    }
  counts->n_accepted += n_jobs;

  for (guint i = 0; i < N_NUMBERS; i++)
    n_numbers += n_left[i] > 0;
  if (crashes && n_numbers > 0)
    g_string_append_c (commands, 'k');
  for (guint i = 0; i < n_numbers; i++)
    g_string_append_c (commands, 'r');
  n_expected = counts->n_runs + n_numbers + (crashes && n_numbers > 0);

  /* All jobs that were cancelled have to end before the worker goes on. */
  while (counts->n_cancelled < n_cancelled)
    g_main_context_iteration (NULL, TRUE);
  send_commands (script->commands, commands->str);
  await_answer (script->pool, &held);
  while (counts->n_results + counts->n_cancelled < counts->n_accepted)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (counts->n_runs, ==, n_expected);
}

static void
test_random (void)
{
  const guint n_batches = is_instrumented () ? 50 : 300;
  Script script;
  Counts counts = { 0 };

  set_up (&script);
  g_signal_connect (script.pool, "event", G_CALLBACK (count_run_cb), &counts);
  for (guint i = 0; i < n_batches; i++)
    run_batch (&script, &counts);
  g_test_message ("%u jobs accepted, %u results, %u cancelled; %u runs in workers",
                  counts.n_accepted, counts.n_results, counts.n_cancelled,
                  counts.n_runs - n_batches);
  g_assert_cmpuint (counts.n_accepted, ==, counts.n_results + counts.n_cancelled);
  tear_down (&script);
}

/* Jobs with descriptors are run by themselves, even if their keys and arguments are equal. */
static void
test_fds (void)
{
  AForkPool *pool = new_pool ("max-workers", 2, "load", 1, "start-delay", 0, NULL);
  GAsyncResult *results[2] = { NULL };
  guint32 workers[2];
  int gates[2];

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkJob) job = new_gate_job ("gate", &gates[i]);

      afork_job_set_key (job, "equal");
      afork_job_set_coalesce (job, TRUE);
      begin_job (pool, job, &results[i]);
      await_job_state (job, AFORK_JOB_STATE_RUNNING);
    }
  g_assert_cmpuint (afork_pool_get_n_running (pool), ==, 2);

  /* The second job ends when nobody has the other end of its own descriptor. */
  close (gates[1]);
  workers[1] = await_answer (pool, &results[1]);
  g_assert_null (results[0]);
  close (gates[0]);
  workers[0] = await_answer (pool, &results[0]);
  g_assert_cmpuint (workers[0], !=, workers[1]);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
}

#define add_test(path, function) \
  g_test_add_data_func (path, (gconstpointer) function, run_with_census)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/pool/coalesce/once", test_once);
  add_test ("/pool/coalesce/blobs", test_blobs);
  add_test ("/pool/coalesce/blobs/cancelled", test_blobs_cancelled);
  add_test ("/pool/coalesce/join-running", test_join_running);
  add_test ("/pool/coalesce/order", test_order);
  add_test ("/pool/coalesce/error", test_error);
  add_test ("/pool/coalesce/cancel/waiting", test_cancel_waiting);
  add_test ("/pool/coalesce/cancel/running", test_cancel_running);
  add_test ("/pool/coalesce/timeout", test_timeout);
  add_test ("/pool/coalesce/timeout-again", test_timeout_again);
  add_test ("/pool/coalesce/priority", test_priority);
  add_test ("/pool/coalesce/retries", test_retries);
  add_test ("/pool/coalesce/quarantine", test_quarantine);
  add_test ("/pool/coalesce/queue-limit", test_queue_limit);
  add_test ("/pool/coalesce/alone", test_alone);
  add_test ("/pool/coalesce/handlers", test_handlers);
  add_test ("/pool/coalesce/nested", test_nested);
  add_test ("/pool/coalesce/shutdown", test_shutdown);
  add_test ("/pool/coalesce/dispose", test_dispose);
  add_test ("/pool/coalesce/descriptors", test_fds);
  add_test ("/pool/coalesce/context-gone", test_context_gone);
  add_test ("/pool/coalesce/blocking", test_blocking);
  add_test ("/pool/coalesce/flood", test_flood);
  add_test ("/pool/coalesce/memory", test_memory);
  add_test ("/pool/coalesce/random", test_random);

  return g_test_run ();
}
