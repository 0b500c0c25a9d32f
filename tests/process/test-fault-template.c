/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Templates that exit, are stopped, hang, or must not be forked. */

#include "config.h"

#include "test-fault-util.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_FORKS = 24 };

/* Forks that are run together, and their results. */
typedef struct
{
  AForkProcess *processes[N_FORKS];
  Outcome       outcomes[N_FORKS];
} Forks;

static void
forks_begin (Forks        *forks,
             AForkProcess *template,
             GCancellable *cancellable)
{
  *forks = (Forks) { 0 };
  for (guint i = 0; i < N_FORKS; i++)
    {
      forks->processes[i] = afork_process_fork (template);
      afork_process_require (forks->processes[i], "echo");
      afork_process_run_async (forks->processes[i], "echo", cancellable, outcome_run_cb,
                               &forks->outcomes[i]);
    }
}

static void
forks_await (Forks *forks)
{
  for (guint i = 0; i < N_FORKS; i++)
    outcome_await (&forks->outcomes[i]);
}

static gboolean
forks_are_answered (Forks *forks)
{
  guint n_answered = 0;

  for (guint i = 0; i < N_FORKS; i++)
    n_answered += forks->outcomes[i].n_calls;
  return n_answered == N_FORKS;
}

/* Closes the connections of those that run, and waits until all have exited. */
static void
forks_end (Forks *forks)
{
  for (guint i = 0; i < N_FORKS; i++)
    outcome_clear (&forks->outcomes[i]);
  for (guint i = 0; i < N_FORKS; i++)
    {
      await_end (forks->processes[i]);
      g_clear_object (&forks->processes[i]);
    }
}

static void
expect_forks_fail (Forks      *forks,
                   GQuark      domain,
                   int         code,
                   const char *text)
{
  forks_await (forks);
  for (guint i = 0; i < N_FORKS; i++)
    outcome_expect_error (&forks->outcomes[i], domain, code, text);
  forks_end (forks);
}

static void
kill_process (AForkProcess *process)
{
  afork_process_send_signal (process, SIGKILL);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

/* A process whose template died first exits with the expected status, or the status is unknown. */
static void
expect_status_or_lost (AForkProcess *process,
                       int           status)
{
  g_autoptr(GError) error = NULL;

  if (wait_process (process, &error))
    {
      assert_exit_status (process, status);
    }
  else
    {
      g_test_message ("%s", error->message);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
      g_assert_false (afork_process_get_exit_status (process, NULL));
      g_assert_false (afork_process_get_term_signal (process, NULL));
    }
}

/* Makes a running echo() answer. It exits then; if its template has exited, init has to reap it,
 * which may take a while, so tests first call this for all processes, and then wait. */
static void
expect_echo (GSocketConnection *connection)
{
  GOutputStream *stream = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_true (g_output_stream_write_all (stream, "still here", 10, NULL, NULL, &error));
  g_assert_no_error (error);
  text = read_echo (connection);
  g_assert_cmpstr (text, ==, "still here");
}

/* Killed. */

/* The next process is forked from another template, which got the same commands. */
static void
test_default_replaced (Census        *census,
                       gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();

  afork_process_require (afork_runtime_get_template (runtime), "echo");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) template = g_object_ref (afork_runtime_get_template (runtime));
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "echo");

      finish_process (process, connection);
      kill_process (template);
      g_assert_true (afork_runtime_get_template (runtime) != template);
    }
}

/* A template that has exited is replaced, even if the main context was not iterated since. */
static void
test_default_unnoticed (Census        *census,
                        gconstpointer  data)
{
  AForkProcess *template = afork_runtime_get_template (afork_runtime_get_native ());
  siginfo_t info;

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (template, SIGKILL);
  g_assert_no_errno (waitid (P_PID, (id_t) afork_process_get_pid (template), &info,
                             WEXITED | WNOWAIT));

  assert_process_works (afork_runtime_get_native ());
}

/* The program itself must replace a template that it has made. */
static void
test_own (Census        *census,
          gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new ();

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  kill_process (template);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
      g_assert_false (wait_process (process, NULL));
    }
}

static void
test_given (Census        *census,
            gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);

  afork_runtime_set_template (runtime, template);
  assert_process_works (runtime);
  kill_process (template);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();

      expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
    }

  afork_runtime_set_template (runtime, NULL);
  assert_process_works (runtime);
}

/* All of them wait for the template when it exits. */
static void
test_killed_before_forks (Census        *census,
                          gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  Forks forks;

  stop (template);
  forks_begin (&forks, template, NULL);
  iterate ();
  afork_process_send_signal (template, SIGKILL);
  expect_forks_fail (&forks, AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
  await_end (template);
}

/* It exits while they are being made. Each operation returns once, in one way or another. */
static void
kill_during_forks (guint n_turns)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  guint n_entered = 0;
  Forks forks;

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  forks_begin (&forks, template, NULL);
  for (guint i = 0; i < n_turns && !forks_are_answered (&forks); i++)
    g_main_context_iteration (NULL, TRUE);
  afork_process_send_signal (template, SIGKILL);
  forks_await (&forks);

  for (guint i = 0; i < N_FORKS; i++)
    if (forks.outcomes[i].connection != NULL)
      n_entered++;
    else if (!g_error_matches (forks.outcomes[i].error, AFORK_ERROR, AFORK_ERROR_LOST))
      g_assert_error (forks.outcomes[i].error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
  g_test_message ("%u of %u were entered", n_entered, N_FORKS);
  forks_end (&forks);
  await_end (template);
}

/* An orphan is gone when init has reaped it, which may take time, so this is done only a few
 * times. */
static void
test_killed_during_forks (Census        *census,
                          gconstpointer  data)
{
  kill_during_forks (1);
  kill_during_forks (4);
}

/* Workers that run already continue, and their exits are seen. */
static void
test_killed_after_forks (Census        *census,
                         gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  Forks forks;

  forks_begin (&forks, template, NULL);
  forks_await (&forks);
  kill_process (template);
  for (guint i = 0; i < N_FORKS; i++)
    {
      g_assert_no_error (forks.outcomes[i].error);
      g_assert_cmpint (afork_process_get_state (forks.processes[i]),
                       ==, AFORK_PROCESS_STATE_RUNNING);
    }

  /* Such a worker can be signalled. */
  afork_process_force_exit (forks.processes[0]);
  expect_echo (forks.outcomes[1].connection);
  for (guint i = 0; i < N_FORKS; i++)
    outcome_clear (&forks.outcomes[i]);
  expect_status_or_lost (forks.processes[1], 0);
  forks_end (&forks);
}

/* A fork that can be forked outlives its own template. */
static void
test_killed_below (Census        *census,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) bottom = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) middle = afork_process_fork (bottom);
  g_autoptr(AForkProcess) early = afork_process_fork (middle);
  g_autoptr(AForkProcess) late = NULL;
  g_autoptr(GSocketConnection) early_connection = NULL;
  g_autoptr(GSocketConnection) late_connection = NULL;

  afork_process_require (early, "echo");
  early_connection = run_process_ok (early, "echo");
  kill_process (bottom);
  late = afork_process_fork (middle);
  afork_process_require (late, "echo");
  late_connection = run_process_ok (late, "echo");

  /* The process in the middle still reports on its own forks. */
  g_clear_object (&early_connection);
  g_assert_true (wait_process (early, NULL));
  assert_exit_status (early, 0);

  afork_process_send_signal (middle, SIGKILL);
  expect_echo (late_connection);
  expect_status_or_lost (late, 0);
  await_end (middle);
}

/* It was run while it had forks, so it has stayed as the parent of these and of the worker. */
static void
test_killed_behind (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) fork_connection = NULL;
  GPid stays, worker;

  afork_process_require (process, "echo");
  fork = afork_process_fork (process);
  fork_connection = run_process_ok (fork, "echo");
  stays = afork_process_get_pid (process);
  connection = run_process_ok (process, "echo");
  worker = afork_process_get_pid (process);
  g_assert_cmpint (stays, !=, worker);

  g_assert_no_errno (kill (stays, SIGKILL));
  expect_echo (fork_connection);
  expect_echo (connection);
  expect_status_or_lost (fork, 0);
  expect_status_or_lost (process, 0);
}

/* Orphans become children of this process, as of init, so it has to reap them. */
static void
test_killed_subreaper (Census        *census,
                       gconstpointer  data)
{
  g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 1));
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
      g_autoptr(AForkProcess) process = afork_process_fork (template);
      g_autoptr(GSocketConnection) connection = NULL;

      afork_process_require (process, "faults");
      connection = run_process_ok (process, "run_hang");
      kill_process (template);
      afork_process_send_signal (process, SIGTERM);
      g_assert_true (wait_process (process, NULL));
      assert_term_signal (process, SIGTERM);
    }

  g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 0));
}

static AForkProcess *
make_orphan (const char         *function,
             GSocketConnection **connection)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  AForkProcess *process = afork_process_fork (template);

  afork_process_require (process, "echo");
  afork_process_require (process, "faults");
  *connection = run_process_ok (process, function);
  kill_process (template);
  return process;
}

/* A process that gets orphans as children without knowing it never reaps them. They have exited
 * nevertheless, and their exit status is known. */
static void
test_killed_unreaped (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) killed = NULL;
  g_autoptr(AForkProcess) exited = NULL;
  g_autoptr(GSocketConnection) to_killed = NULL;
  g_autoptr(GSocketConnection) to_exited = NULL;
  guint n_orphans = 0;

  if (!g_test_subprocess ())
    {
      g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 1));
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      while (waitpid (-1, NULL, 0) > 0)
        n_orphans++;
      g_assert_cmpuint (n_orphans, ==, 2);
      g_assert_no_errno (prctl (PR_SET_CHILD_SUBREAPER, 0));
      return;
    }

  killed = make_orphan ("run_hang", &to_killed);
  afork_process_send_signal (killed, SIGTERM);
  g_assert_true (wait_process (killed, NULL));
  assert_term_signal (killed, SIGTERM);

  exited = make_orphan ("echo:echo", &to_exited);
  finish_process (exited, to_exited);
}

/* Stopped. */

static AForkRuntime *
new_command_runtime (gboolean can_fork)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());

  return g_object_new (AFORK_TYPE_RUNTIME,
                       "name", "command",
                       "argv", argv,
                       "can-fork", can_fork,
                       "can-pass-fds", can_fork,
                       NULL);
}

/* Everything else continues. */
static void
expect_others_work (void)
{
  g_autoptr(AForkRuntime) relayed = new_command_runtime (FALSE);
  g_autoptr(AForkRuntime) forking = new_command_runtime (TRUE);
  g_autoptr(AForkProcess) fresh = afork_process_new_exec (NULL);

  assert_process_works (afork_runtime_get_native ());
  assert_process_works (relayed);
  assert_process_works (forking);
  assert_echoes (fresh);
  afork_runtime_set_template (forking, NULL);
}

static void
test_stopped_continued (Census        *census,
                        gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  Forks forks;

  stop (template);
  forks_begin (&forks, template, NULL);
  expect_others_work ();
  for (guint i = 0; i < N_FORKS; i++)
    g_assert_cmpuint (forks.outcomes[i].n_calls, ==, 0);

  afork_process_send_signal (template, SIGCONT);
  forks_await (&forks);
  for (guint i = 0; i < N_FORKS; i++)
    g_assert_no_error (forks.outcomes[i].error);
  forks_end (&forks);
}

static void
test_stopped_killed (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  Forks forks;

  stop (template);
  forks_begin (&forks, template, NULL);
  expect_others_work ();
  afork_process_force_exit (template);
  expect_forks_fail (&forks, AFORK_ERROR, AFORK_ERROR_CLOSED, "killed by its caller");
}

/* Cancelling returns at once. The results of the commands that the template does when it continues
 * are not needed any more. */
static void
test_stopped_cancelled (Census        *census,
                        gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Forks forks;

  stop (template);
  forks_begin (&forks, template, cancellable);
  iterate ();
  g_cancellable_cancel (cancellable);
  forks_await (&forks);
  for (guint i = 0; i < N_FORKS; i++)
    outcome_expect_error (&forks.outcomes[i], G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);

  afork_process_send_signal (template, GPOINTER_TO_INT (data));
  forks_end (&forks);
}

/* This is also so for processes whose objects were dropped. */
static void
test_stopped_dropped (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);

  stop (template);
  for (guint i = 0; i < N_FORKS; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      if (i % 2 == 0)
        afork_process_require (process, "echo");
      if (i % 4 == 0)
        afork_process_run_async (process, "echo", NULL, NULL, NULL);
    }

  iterate ();
  afork_process_send_signal (template, GPOINTER_TO_INT (data));
}

/* Hung. */

static void
free_flag (gpointer data)
{
  *(gboolean *) data = TRUE;
}

/* A template that does not read: its queued commands make no operation wait, and are freed when it
 * is dropped. */
static void
test_full (Census        *census,
           gconstpointer  data)
{
  enum { SIZE = 64 * 1024 * 1024 };
  g_autofree char *memory = g_malloc0 (SIZE);
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GBytes) bytes = NULL;
  gboolean freed = FALSE;
  Outcome outcome = { 0 };
  Outcome fork_outcome = { 0 };

  stop (template);
  bytes = g_bytes_new_with_free_func (memory, SIZE, free_flag, &freed);
  afork_process_send_bytes (template, bytes);
  g_clear_pointer (&bytes, g_bytes_unref);
  fork = afork_process_fork (template);
  afork_process_run_async (template, "echo", cancellable, outcome_run_cb, &outcome);
  afork_process_run_async (fork, "echo", NULL, outcome_run_cb, &fork_outcome);
  iterate ();
  expect_others_work ();
  g_assert_false (freed);

  g_cancellable_cancel (cancellable);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  outcome_await (&fork_outcome);
  outcome_expect_error (&fork_outcome, AFORK_ERROR, AFORK_ERROR_CLOSED, "cancelled");
  await_end (template);
  await_end (fork);
  g_assert_true (freed);
}

/* Threads. */

static void
test_threads (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  Forks forks;

  afork_process_require (template, "faults");
  afork_process_call (template, "call_thread", STRV ("loom"));
  forks_begin (&forks, template, NULL);
  expect_forks_fail (&forks, AFORK_ERROR, AFORK_ERROR_THREADS, "more than one thread: loom");

  /* The error names all of them. */
  afork_process_call (template, "call_thread", STRV ("shuttle"));
  forks_begin (&forks, template, NULL);
  expect_forks_fail (&forks, AFORK_ERROR, AFORK_ERROR_THREADS, "loom, shuttle");

  g_assert_cmpint (afork_process_get_state (template), ==, AFORK_PROCESS_STATE_PREPARING);
  afork_process_require (template, "echo");
  connection = run_process_ok (template, "echo");
  expect_echo (connection);
  await_end (template);
  assert_exit_status (template, 0);
}

/* The forks that it made while it had one thread stay its forks, but it cannot be run any more,
 * because that would need another fork. */
static void
test_threads_later (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  Outcome outcome = { 0 };

  afork_process_require (template, "faults");
  fork = afork_process_fork (template);
  afork_process_require (fork, "echo");
  connection = run_process_ok (fork, "echo");
  afork_process_call (template, "call_thread", STRV ("loom"));
  afork_process_run_async (template, "run_hang", NULL, outcome_run_cb, &outcome);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, AFORK_ERROR, AFORK_ERROR_THREADS, "loom");
  expect_echo (connection);
  await_end (fork);
  assert_exit_status (fork, 0);
  await_end (template);
}

static void
test_threads_default (Census        *census,
                      gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);

  afork_process_require (template, "faults");
  afork_process_call (template, "call_thread", STRV ("loom"));
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();

      expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_THREADS, "loom");
      g_assert_true (afork_runtime_get_template (runtime) == template);
    }

  afork_runtime_set_template (runtime, NULL);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  fault_add ("/fault/template/killed/default-replaced", test_default_replaced);
  fault_add ("/fault/template/killed/default-unnoticed", test_default_unnoticed);
  fault_add ("/fault/template/killed/own", test_own);
  fault_add ("/fault/template/killed/given", test_given);
  fault_add ("/fault/template/killed/before-forks", test_killed_before_forks);
  fault_add ("/fault/template/killed/during-forks", test_killed_during_forks);
  fault_add ("/fault/template/killed/after-forks", test_killed_after_forks);
  fault_add ("/fault/template/killed/below", test_killed_below);
  fault_add ("/fault/template/killed/behind", test_killed_behind);
  fault_add ("/fault/template/killed/subreaper", test_killed_subreaper);
  fault_add ("/fault/template/killed/unreaped", test_killed_unreaped);
  fault_add ("/fault/template/stopped/continued", test_stopped_continued);
  fault_add ("/fault/template/stopped/killed", test_stopped_killed);
  fault_add_with_data ("/fault/template/stopped/cancelled/continued",
                       GINT_TO_POINTER (SIGCONT), test_stopped_cancelled);
  fault_add_with_data ("/fault/template/stopped/cancelled/killed",
                       GINT_TO_POINTER (SIGKILL), test_stopped_cancelled);
  fault_add_with_data ("/fault/template/stopped/dropped/continued",
                       GINT_TO_POINTER (SIGCONT), test_stopped_dropped);
  fault_add_with_data ("/fault/template/stopped/dropped/killed",
                       GINT_TO_POINTER (SIGKILL), test_stopped_dropped);
  fault_add ("/fault/template/full", test_full);
  fault_add ("/fault/template/threads/first", test_threads);
  fault_add ("/fault/template/threads/later", test_threads_later);
  fault_add ("/fault/template/threads/default", test_threads_default);

  return g_test_run ();
}
