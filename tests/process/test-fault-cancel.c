/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that are cancelled or dropped in each of their states. */

#include "config.h"

#include "test-fault-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The numbers of pipes in processes of these tests. */
#define PIPE "20"
#define GATE "21"

enum { PIPE_FD = 20, GATE_FD = 21 };

typedef struct
{
  const char   *path;
  AForkProcess *(*create) (void);
} Way;

static AForkProcess *
create_executed (void)
{
  return afork_process_new_exec (NULL);
}

static AForkProcess *
create_forked (void)
{
  return afork_process_new ();
}

/* A fork of a template that has not replied yet, and whose object is dropped at once. */
static AForkProcess *
create_forked_twice (void)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = afork_process_fork (template);

  return afork_process_fork (fork);
}

/* The process is not started before it is run. */
static AForkProcess *
create_command (void)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = g_object_new (AFORK_TYPE_RUNTIME,
                                                  "name", "command",
                                                  "argv", argv,
                                                  "can-pass-fds", TRUE,
                                                  NULL);

  return afork_process_new_for_runtime (runtime);
}

static const Way ways[] = {
  { "executed", create_executed },
  { "forked", create_forked },
  { "forked-twice", create_forked_twice },
  { "command", create_command },
};

/* A process with a pipe to the test. Its writing end is closed here. */
static AForkProcess *
create (const Way *way,
        int       *reading)
{
  AForkProcess *process = way->create ();
  int writing;

  open_pipe (reading, &writing);
  afork_process_require (process, "faults");
  afork_process_map_fd (process, writing, PIPE_FD);
  close_fd (&writing);
  return process;
}

static void
expect_cancelled (AForkProcess *process,
                  Outcome      *outcome)
{
  outcome_await (outcome);
  outcome_expect_error (outcome, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_end (process);
}

/* The pipe is at its end when the process exits. */
static void
expect_gone (int *reading)
{
  char byte;

  await_readable (*reading);
  g_assert_cmpint (read (*reading, &byte, 1), ==, 0);
  close_fd (reading);
}

/* Cancelling. */

static void
test_cancel_before (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);

  g_cancellable_cancel (cancellable);
  afork_process_run_async (process, "run_hang", cancellable, outcome_run_cb, &outcome);
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  expect_cancelled (process, &outcome);
  expect_run_error (process, "run_hang", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
  g_clear_object (&process);
  expect_gone (&reading);
}

static void
test_cancel_queued (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);

  afork_process_run_async (process, "run_hang", cancellable, outcome_run_cb, &outcome);
  g_cancellable_cancel (cancellable);
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  expect_cancelled (process, &outcome);
  g_clear_object (&process);
  expect_gone (&reading);
}

/* After one iteration of the main context, after two, and so on, until it is too late. */
static void
test_cancel_after_iterations (Census        *census,
                              gconstpointer  data)
{
  gboolean late = FALSE;

  for (guint n_turns = 1; !late; n_turns++)
    {
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      Outcome outcome = { 0 };
      int reading;
      g_autoptr(AForkProcess) process = create (data, &reading);

      afork_process_run_async (process, "run_hang", cancellable, outcome_run_cb, &outcome);
      for (guint i = 0; i < n_turns && outcome.n_calls == 0; i++)
        g_main_context_iteration (NULL, TRUE);
      late = outcome.n_calls > 0;
      g_cancellable_cancel (cancellable);
      if (late)
        {
          iterate ();
          g_assert_no_error (outcome.error);
          g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
          outcome_clear (&outcome);
          afork_process_force_exit (process);
          await_end (process);
        }
      else
        {
          expect_cancelled (process, &outcome);
        }
      g_clear_object (&process);
      expect_gone (&reading);
    }
}

/* While the process is busy. */
static void
test_cancel_preparing (Census        *census,
                       gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };
  char byte;
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);

  afork_process_call (process, "call_notify", STRV (PIPE, "x"));
  afork_process_call (process, "call_hang", NULL);
  afork_process_run_async (process, "run_hang", cancellable, outcome_run_cb, &outcome);
  await_readable (reading);
  g_assert_cmpint (read (reading, &byte, 1), ==, 1);
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  g_cancellable_cancel (cancellable);
  expect_cancelled (process, &outcome);
  assert_term_signal (process, SIGKILL);
  g_clear_object (&process);
  expect_gone (&reading);
}

/* The function has been entered, but READY has not been read here yet. Both sides agree on the
 * result: the run is cancelled and the process is gone, or the run was not cancelled. */
static void
test_cancel_entered (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Outcome outcome = { 0 };
  int gate_reading, gate_writing;
  int item_reading, item_writing;
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);

  open_pipe (&gate_reading, &gate_writing);
  open_pipe (&item_reading, &item_writing);
  afork_process_map_fd (process, gate_reading, GATE_FD);
  afork_process_send_fd (process, item_writing);
  afork_process_call (process, "call_notify", STRV (PIPE, "x"));
  afork_process_call (process, "call_await", STRV (GATE));
  afork_process_run_async (process, "run_notify", cancellable, outcome_run_cb, &outcome);
  await_readable (reading);
  await_byte (reading);

  /* The process has all its commands, and continues. */
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  close_fd (&gate_reading);
  close_fd (&gate_writing);
  await_byte (item_reading);
  g_cancellable_cancel (cancellable);
  outcome_await (&outcome);
  if (outcome.error != NULL)
    g_assert_error (outcome.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  else
    afork_process_force_exit (process);
  outcome_clear (&outcome);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  g_clear_object (&process);
  close_fd (&item_reading);
  close_fd (&item_writing);
  expect_gone (&reading);
}

/* One of the processes that wait for the same cancellable. */
static void
test_cancel_many (Census        *census,
                  gconstpointer  data)
{
  const Way *way = data;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  AForkProcess *processes[16];
  Outcome outcomes[16] = { 0 };
  int reading[16];

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      processes[i] = create (way, &reading[i]);
      afork_process_call (processes[i], "call_notify", STRV (PIPE, "x"));
      afork_process_call (processes[i], "call_hang", NULL);
      afork_process_run_async (processes[i], "run_hang", cancellable, outcome_run_cb,
                               &outcomes[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (processes); i += 2)
    {
      char byte;

      await_readable (reading[i]);
      g_assert_cmpint (read (reading[i], &byte, 1), ==, 1);
    }

  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      expect_cancelled (processes[i], &outcomes[i]);
      g_object_unref (processes[i]);
      close_fd (&reading[i]);
    }
}

/* Cancelling a wait ends only the wait. */
static void
test_cancel_wait (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  Outcome cancelled = { 0 };
  Outcome waited = { 0 };
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);

  connection = run_process_ok (process, "run_hang");
  afork_process_wait_async (process, cancellable, outcome_wait_cb, &cancelled);
  afork_process_wait_async (process, NULL, outcome_wait_cb, &waited);
  iterate ();
  g_cancellable_cancel (cancellable);
  outcome_await (&cancelled);
  g_assert_error (cancelled.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  outcome_clear (&cancelled);

  /* The cancellable is cancelled before. */
  afork_process_wait_async (process, cancellable, outcome_wait_cb, &cancelled);
  outcome_await (&cancelled);
  g_assert_error (cancelled.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  outcome_clear (&cancelled);

  g_assert_cmpuint (waited.n_calls, ==, 0);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
  afork_process_force_exit (process);
  outcome_await (&waited);
  g_assert_no_error (waited.error);
  outcome_clear (&waited);
  g_clear_object (&process);
  expect_gone (&reading);
}

/* In a blocking call, from another thread. */

typedef struct
{
  GCancellable *cancellable;
  int           reading;
} Canceller;

static gpointer
cancel_thread (gpointer data)
{
  Canceller *self = data;

  await_byte (self->reading);
  g_cancellable_cancel (self->cancellable);
  return NULL;
}

static void
test_cancel_blocking_run (Census        *census,
                          gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Canceller canceller = { cancellable, -1 };
  g_autoptr(AForkProcess) process = create (data, &canceller.reading);
  GThread *thread;

  afork_process_call (process, "call_notify", STRV (PIPE, "x"));
  afork_process_call (process, "call_hang", NULL);
  thread = g_thread_new ("canceller", cancel_thread, &canceller);
  connection = afork_process_run (process, "run_hang", cancellable, &error);
  g_assert_null (connection);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  await_end (process);
  g_clear_object (&process);
  expect_gone (&canceller.reading);
}

static void
test_cancel_blocking_wait (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Canceller canceller = { cancellable, -1 };
  int writing;
  int reading;
  g_autoptr(AForkProcess) process = create (data, &reading);
  GThread *thread;

  open_pipe (&canceller.reading, &writing);
  afork_process_send_fd (process, writing);
  close_fd (&writing);
  connection = run_process_ok (process, "run_notify");
  thread = g_thread_new ("canceller", cancel_thread, &canceller);
  g_assert_false (afork_process_wait (process, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  afork_process_force_exit (process);
  g_assert_true (afork_process_wait (process, NULL, NULL));
  g_clear_object (&process);
  expect_gone (&reading);
  close_fd (&canceller.reading);
}

/* Dropping. Queued commands are done nevertheless, and then the process exits. */

static void
expect_text (int        *reading,
             const char *expected)
{
  char text[32] = "";
  gsize size = 0;
  gssize n_read;

  do
    {
      await_readable (*reading);
      n_read = read (*reading, text + size, sizeof text - 1 - size);
      g_assert_cmpint (n_read, >=, 0);
      size += (gsize) n_read;
    }
  while (n_read > 0);

  g_assert_cmpstr (text, ==, expected);
  close_fd (reading);
}

static void
test_drop_new (Census        *census,
               gconstpointer  data)
{
  const Way *way = data;
  g_autoptr(AForkProcess) process G_GNUC_UNUSED = way->create ();
}

static void
test_drop_prepared (Census        *census,
                    gconstpointer  data)
{
  const Way *way = data;
  int reading;
  AForkProcess *process = create (way, &reading);

  afork_process_call (process, "call_notify", STRV (PIPE, "one"));
  afork_process_call (process, "call_notify", STRV (PIPE, " two"));
  g_object_unref (process);
  /* If the runtime cannot fork, a process that is never run is never started. */
  expect_text (&reading, way->create == create_command ? "" : "one two");
}

/* After so many iterations of the main context. */
static void
test_drop_after_iterations (Census        *census,
                            gconstpointer  data)
{
  const Way *way = data;

  for (guint n_turns = 0; n_turns < 6; n_turns++)
    {
      int reading;
      AForkProcess *process = create (way, &reading);

      for (guint i = 0; i < n_turns; i++)
        g_main_context_iteration (NULL, FALSE);
      afork_process_call (process, "call_notify", STRV (PIPE, "done"));
      g_object_unref (process);
      expect_text (&reading, way->create == create_command ? "" : "done");
    }
}

/* No operation waits for the process: it runs, and finds its socket closed. */
static void
test_drop_running (Census        *census,
                   gconstpointer  data)
{
  int reading;
  AForkProcess *process = create (data, &reading);

  afork_process_require (process, "echo");
  afork_process_call (process, "call_notify", STRV (PIPE, "run"));
  afork_process_run_async (process, "echo", NULL, NULL, NULL);
  g_object_unref (process);
  expect_text (&reading, "run");
}

/* An operation keeps its object. */
static void
test_drop_awaited (Census        *census,
                   gconstpointer  data)
{
  int reading;
  AForkProcess *process = create (data, &reading);
  Outcome outcome = { 0 };
  Outcome waited = { 0 };

  afork_process_require (process, "echo");
  afork_process_run_async (process, "echo", NULL, outcome_run_cb, &outcome);
  afork_process_wait_async (process, NULL, outcome_wait_cb, &waited);
  g_object_unref (process);
  outcome_await (&outcome);
  g_assert_no_error (outcome.error);
  g_assert_cmpuint (waited.n_calls, ==, 0);
  outcome_clear (&outcome);
  outcome_await (&waited);
  g_assert_true (waited.success);
  expect_gone (&reading);
}

/* The connection belongs to the caller, even if the object is dropped. */
static void
test_drop_entered (Census        *census,
                   gconstpointer  data)
{
  int reading;
  AForkProcess *process = create (data, &reading);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *text = NULL;

  afork_process_require (process, "echo");
  afork_process_send_arg (process, "still here");
  connection = run_process_ok (process, "echo");
  g_assert_finalize_object (process);
  iterate ();
  text = read_echo (connection);
  g_assert_cmpstr (text, ==, "still here");
  expect_gone (&reading);
}

/* A template is dropped before its forks are made. */
static void
test_drop_template (Census        *census,
                    gconstpointer  data)
{
  AForkProcess *forks[8];
  Outcome outcomes[8] = { 0 };
  int reading;
  AForkProcess *template = create (data, &reading);

  afork_process_require (template, "echo");
  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      forks[i] = afork_process_fork (template);
      afork_process_run_async (forks[i], "echo", NULL, outcome_run_cb, &outcomes[i]);
    }
  g_object_unref (template);

  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      outcome_await (&outcomes[i]);
      g_assert_no_error (outcomes[i].error);
      outcome_clear (&outcomes[i]);
      await_end (forks[i]);
      assert_exit_status (forks[i], 0);
      g_object_unref (forks[i]);
    }
  expect_gone (&reading);
}

/* Its item has not arrived yet. */
static void
test_drop_full (Census        *census,
                gconstpointer  data)
{
  enum { SIZE = 64 * 1024 * 1024 };
  g_autoptr(GBytes) bytes = g_bytes_new_take (g_malloc0 (SIZE), SIZE);
  const Way *way = data;
  int reading;
  AForkProcess *process = create (way, &reading);

  afork_process_send_bytes (process, bytes);
  afork_process_call (process, "call_notify", STRV (PIPE, "arrived"));
  g_object_unref (process);
  expect_text (&reading, way->create == create_command ? "" : "arrived");
}

/* In the callback, and in the signal handler. */

static void
drop_in_callback_cb (GObject      *object,
                     GAsyncResult *result,
                     gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  AForkProcess **process = data;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  g_assert_no_error (error);
  g_clear_object (process);
}

static void
drop_in_signal_cb (AForkProcess *self,
                   int           wait_status,
                   gpointer      data)
{
  g_clear_object ((AForkProcess **) data);
}

static void
test_drop_in_callback (Census        *census,
                       gconstpointer  data)
{
  int reading;
  AForkProcess *process = create (data, &reading);

  afork_process_require (process, "echo");
  afork_process_run_async (process, "echo", NULL, drop_in_callback_cb, &process);
  while (process != NULL)
    g_main_context_iteration (NULL, TRUE);
  expect_gone (&reading);
}

static void
test_drop_in_signal (Census        *census,
                     gconstpointer  data)
{
  int reading;
  AForkProcess *process = create (data, &reading);
  g_autoptr(GSocketConnection) connection = NULL;

  /* The process may have exited before it is known to run. */
  g_signal_connect (process, "exited", G_CALLBACK (drop_in_signal_cb), &process);
  connection = run_process_ok (process, "run_return");
  while (process != NULL)
    g_main_context_iteration (NULL, TRUE);
  expect_gone (&reading);
}

/* A worker that is a fork of its process, because that has another fork. It runs, and has a pipe of
 * which *TOLD is the reading end, but no message of it was read here. */
static void
enter_with_fork (AForkProcess *process,
                 Outcome      *outcome,
                 int          *notified)
{
  int notifying, gate, opening;

  open_pipe (notified, &notifying);
  open_pipe (&gate, &opening);
  afork_process_send_fd (process, notifying);
  afork_process_map_fd (process, gate, GATE_FD);
  close_fd (&notifying);
  close_fd (&gate);
  afork_process_call (process, "call_await", STRV (GATE));

  afork_process_run_async (process, "run_notify", NULL, outcome_run_cb, outcome);
  iterate ();
  close_fd (&opening);
  await_byte (*notified);
}

static AForkProcess *
fork_known (AForkProcess *process)
{
  AForkProcess *fork = afork_process_fork (process);

  while (afork_process_get_pid (fork) == 0)
    g_main_context_iteration (NULL, TRUE);
  return fork;
}

static void
test_kill_entered_with_fork (Census        *census,
                             gconstpointer  data)
{
  Outcome outcome = { 0 };
  int reading, notified;
  g_autoptr(AForkProcess) process = create (data, &reading);
  g_autoptr(AForkProcess) fork = fork_known (process);

  enter_with_fork (process, &outcome, &notified);
  afork_process_force_exit (process);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, AFORK_ERROR, AFORK_ERROR_CLOSED, "killed by its caller");
  await_end (process);
  expect_gone (&notified);
  g_clear_object (&fork);
  expect_gone (&reading);
}

/* The parent is stopped, and only this program can continue it once the worker is known. It still
 * has to report the exit of the worker. */
static void
test_stop_entered_with_fork (Census        *census,
                             gconstpointer  data)
{
  Outcome outcome = { 0 };
  int reading, notified;
  g_autoptr(AForkProcess) process = create (data, &reading);
  g_autoptr(AForkProcess) fork = fork_known (process);

  enter_with_fork (process, &outcome, &notified);
  afork_process_send_signal (process, SIGSTOP);
  outcome_await (&outcome);
  g_assert_no_error (outcome.error);
  afork_process_send_signal (process, SIGCONT);
  afork_process_force_exit (process);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  outcome_clear (&outcome);
  expect_gone (&notified);
  g_clear_object (&fork);
  expect_gone (&reading);
}

static void
add_way (const char  *path,
         const Way   *way,
         void       (*test) (Census        *census,
                             gconstpointer  data))
{
  g_autofree char *full = g_strconcat (path, "/", way->path, NULL);

  fault_add_with_data (full, way, test);
}

static void
add_ways (const char  *path,
          void       (*test) (Census        *census,
                              gconstpointer  data))
{
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    add_way (path, &ways[i], test);
}

/* For runtimes that can fork. */
static void
add_forking_ways (const char  *path,
                  void       (*test) (Census        *census,
                                      gconstpointer  data))
{
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    if (ways[i].create != create_command)
      add_way (path, &ways[i], test);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_ways ("/fault/cancel/before", test_cancel_before);
  add_ways ("/fault/cancel/queued", test_cancel_queued);
  add_ways ("/fault/cancel/after-turns", test_cancel_after_iterations);
  add_ways ("/fault/cancel/preparing", test_cancel_preparing);
  add_ways ("/fault/cancel/entered", test_cancel_entered);
  add_ways ("/fault/cancel/many", test_cancel_many);
  add_ways ("/fault/cancel/wait", test_cancel_wait);
  add_ways ("/fault/cancel/blocking/run", test_cancel_blocking_run);
  add_ways ("/fault/cancel/blocking/wait", test_cancel_blocking_wait);
  add_forking_ways ("/fault/kill/entered-with-fork", test_kill_entered_with_fork);
  add_forking_ways ("/fault/stop/entered-with-fork", test_stop_entered_with_fork);
  add_ways ("/fault/drop/new", test_drop_new);
  add_ways ("/fault/drop/prepared", test_drop_prepared);
  add_ways ("/fault/drop/after-turns", test_drop_after_iterations);
  add_ways ("/fault/drop/running", test_drop_running);
  add_ways ("/fault/drop/awaited", test_drop_awaited);
  add_ways ("/fault/drop/entered", test_drop_entered);
  add_ways ("/fault/drop/template", test_drop_template);
  add_ways ("/fault/drop/full", test_drop_full);
  add_ways ("/fault/drop/in-callback", test_drop_in_callback);
  add_ways ("/fault/drop/in-signal", test_drop_in_signal);

  return g_test_run ();
}
