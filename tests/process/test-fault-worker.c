/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that exit, at any time and for any reason, and workers that do not exit. */

#include "config.h"

#include "test-fault-util.h"

#include <errno.h>
#include <signal.h>

/* How the process was made. */
typedef enum
{
  FORKED,                       /* from the default template */
  FORKED_TWICE,
  EXECUTED,
  N_WAYS
} Way;

typedef struct
{
  const char *path;
  const char *function;
  const char *arg;
  int         status;           /* the exit status, or -1 */
  int         signal;           /* the signal that ends it, or 0 */
} Case;

static const Case cases[] = {
  { "return", "run_return", NULL, 0, 0 },
  { "exit-0", "run_exit", "0", 0, 0 },
  { "exit-3", "run_exit", "3", 3, 0 },
  { "exit-255", "run_exit", "255", 255, 0 },
  { "abort", "run_signal", "6", -1, SIGABRT },
  { "kill", "run_signal", "9", -1, SIGKILL },
  { "segv", "run_signal", "11", -1, SIGSEGV },
  { "term", "run_signal", "15", -1, SIGTERM },
};

static AForkProcess *
new_process (Way way)
{
  g_autoptr(AForkProcess) template = NULL;
  AForkProcess *process;

  switch (way)
    {
    case EXECUTED:
      process = afork_process_new_exec (NULL);
      break;
    case FORKED_TWICE:
      template = afork_process_new ();
      process = afork_process_fork (template);
      break;
    default:
      process = afork_process_new ();
      break;
    }

  return afork_process_require (process, "faults");
}

/* The function is entered, and the process then ends as the function has chosen. */
static void
test_end (Census        *census,
          gconstpointer  data)
{
  const Case *self = data;

  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);
      g_autoptr(GSocketConnection) connection = NULL;
      g_autofree char *text = NULL;
      guint64 user_usec, system_usec, max_rss_kib;
      gsize size;

      if (self->arg != NULL)
        afork_process_send_arg (process, self->arg);
      connection = run_process_ok (process, self->function);
      text = read_to_end (connection, &size);
      g_assert_cmpuint (size, ==, 0);

      g_assert_true (wait_process (process, NULL));
      if (self->signal != 0)
        assert_term_signal (process, self->signal);
      else
        assert_exit_status (process, self->status);
      g_assert_true (afork_process_get_usage (process, &user_usec, &system_usec, &max_rss_kib));
      g_assert_cmpuint (max_rss_kib, >, 0);
    }
}

/* Killed by another process when the function was entered. */
static void
test_signal_after_ready (Census        *census,
                         gconstpointer  data)
{
  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);
      g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (process, "run_hang");

      afork_process_send_signal (process, SIGTERM);
      g_assert_true (wait_process (process, NULL));
      assert_term_signal (process, SIGTERM);
    }
}

/* Killed as soon as the pid is known, which is before the function is entered. */
static void
test_signal_before_ready (Census        *census,
                          gconstpointer  data)
{
  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);

      afork_process_call (process, "call_hang", NULL);
      afork_process_send_signal (process, SIGUSR1);
      expect_run_error (process, "run_hang", AFORK_ERROR, AFORK_ERROR_SIGNALED,
                        g_strsignal (SIGUSR1));
      assert_term_signal (process, SIGUSR1);
    }
}

/* The caller gets the error that it has set itself. */
static void
test_force_exit (Census        *census,
                 gconstpointer  data)
{
  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);
      Outcome outcome = { 0 };

      afork_process_call (process, "call_hang", NULL);
      afork_process_run_async (process, "run_hang", NULL, outcome_run_cb, &outcome);
      afork_process_force_exit (process);
      outcome_await (&outcome);
      outcome_expect_error (&outcome, AFORK_ERROR, AFORK_ERROR_CLOSED, "killed by its caller");
      await_end (process);
      assert_term_signal (process, SIGKILL);
    }
}

/* Operations on a process that has exited reach no other process. */
static void
test_signal_after_end (Census        *census,
                       gconstpointer  data)
{
  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);
      g_autoptr(GSocketConnection) connection G_GNUC_UNUSED =
        run_process_ok (process, "run_return");

      await_end (process);
      afork_process_send_signal (process, SIGKILL);
      afork_process_force_exit (process);
      iterate ();
      assert_exit_status (process, 0);
      g_assert_true (wait_process (process, NULL));
      expect_run_error (process, "run_return", AFORK_ERROR, AFORK_ERROR_CLOSED,
                        "already been started");
    }
}

static void
count_message_cb (const char     *domain,
                  GLogLevelFlags  level,
                  const char     *message,
                  gpointer        n_messages)
{
  g_test_message ("%s", message);
  ++*(guint *) n_messages;
}

/* The process was reaped, but its watch does not know this yet. This is no error, and no warning is
 * printed. */
static void
test_signal_after_reaping (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (FORKED);
  g_autoptr(GSocketConnection) connection = NULL;
  guint n_messages = 0;
  guint handler;
  GPid pid;

  afork_process_require (process, "echo");
  connection = run_process_ok (process, "echo");
  pid = afork_process_get_pid (process);
  g_clear_object (&connection);
  while (kill (pid, 0) == 0)
    g_usleep (1000);
  g_assert_cmpint (errno, ==, ESRCH);

  handler = g_log_set_handler ("AFork", G_LOG_LEVEL_DEBUG, count_message_cb, &n_messages);
  afork_process_send_signal (process, SIGTERM);
  g_log_remove_handler ("AFork", handler);
  g_assert_cmpuint (n_messages, ==, 0);

  await_end (process);
  assert_exit_status (process, 0);
}

/* A worker that neither reads nor writes nor exits ends only if it is killed. */
static void
test_hang (Census        *census,
           gconstpointer  data)
{
  for (Way way = 0; way < N_WAYS; way++)
    {
      g_autoptr(AForkProcess) process = new_process (way);
      g_autoptr(GSocketConnection) connection = run_process_ok (process, "run_hang");
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      Outcome waited = { 0 };

      g_clear_object (&connection);
      afork_process_wait_async (process, cancellable, outcome_wait_cb, &waited);
      iterate ();
      g_assert_cmpuint (waited.n_calls, ==, 0);
      g_cancellable_cancel (cancellable);
      outcome_await (&waited);
      g_assert_error (waited.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      outcome_clear (&waited);
      g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);

      afork_process_force_exit (process);
      await_end (process);
      assert_term_signal (process, SIGKILL);
    }
}

/* A crash ends only its own process. */
static void
test_neighbours (Census        *census,
                 gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(GPtrArray) crashing = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) working = g_ptr_array_new_with_free_func (g_object_unref);
  Outcome crashed[16] = { 0 };

  afork_process_require (template, "faults");
  for (guint i = 0; i < G_N_ELEMENTS (crashed); i++)
    {
      AForkProcess *process = afork_process_fork (template);

      g_ptr_array_add (crashing, process);
      g_ptr_array_add (working, afork_process_fork (template));
      afork_process_send_arg (process, "11");
      afork_process_run_async (process, "run_signal", NULL, outcome_run_cb, &crashed[i]);
    }

  for (guint i = 0; i < G_N_ELEMENTS (crashed); i++)
    {
      assert_echoes (g_ptr_array_index (working, i));
      outcome_await (&crashed[i]);
      g_assert_no_error (crashed[i].error);
      await_end (g_ptr_array_index (crashing, i));
      assert_term_signal (g_ptr_array_index (crashing, i), SIGSEGV);
      outcome_clear (&crashed[i]);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/fault/worker/end/%s", cases[i].path);

      fault_add_with_data (path, &cases[i], test_end);
    }
  fault_add ("/fault/worker/signal/before-ready", test_signal_before_ready);
  fault_add ("/fault/worker/signal/after-ready", test_signal_after_ready);
  fault_add ("/fault/worker/signal/after-end", test_signal_after_end);
  fault_add ("/fault/worker/signal/after-reaping", test_signal_after_reaping);
  fault_add ("/fault/worker/force-exit", test_force_exit);
  fault_add ("/fault/worker/hang", test_hang);
  fault_add ("/fault/worker/neighbours", test_neighbours);

  return g_test_run ();
}
