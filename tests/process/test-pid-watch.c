/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The pid, the state and the exit of processes, from the time when no pid is known to the time when
 * each operation has its result. */

#include "config.h"

#include "test-pid-watch-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static GSocketConnection *
run_with_number (AForkProcess *process,
                 const char   *function,
                 int           number)
{
  g_autofree char *text = g_strdup_printf ("%d", number);

  return run_process_ok (afork_process_send_arg (process, text), function);
}

/* The pid. */

static void
test_pid (Fixture       *fixture,
          gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) executed = new_executed ();
  AForkProcess *processes[] = { fork, fork_of_fork, executed, fixture->template };

  /* Only a child of this program is known at once. */
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    g_assert_true ((afork_process_get_pid (processes[i]) != 0) == (processes[i] == executed));

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(GSocketConnection) connection = NULL;

      connection = run_process_ok (processes[i], "write_pid");
      assert_pid (processes[i], connection);
      finish_process (processes[i], connection);
    }
}

/* The pid of a process is known before it is run, without a command. */
static void
test_pid_before_run (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = NULL;
  GPid pid;

  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  pid = afork_process_get_pid (fork);
  g_assert_cmpint (pid, !=, 0);

  connection = run_process_ok (fork, "write_pid");
  g_assert_cmpint (assert_pid (fork, connection), ==, pid);
  finish_process (fork, connection);
  g_assert_cmpint (afork_process_get_pid (fork), ==, pid);
}

/* The state. */

static void
add_state_cb (GObject    *object,
              GParamSpec *pspec,
              gpointer    data)
{
  AForkProcessState state;

  g_object_get (object, "state", &state, NULL);
  g_string_append_printf (data, " %d", state);
}

static void
add_pid_cb (GObject    *object,
            GParamSpec *pspec,
            gpointer    data)
{
  g_assert_cmpint (afork_process_get_pid (AFORK_PROCESS (object)), !=, 0);
  g_string_append (data, " pid");
}

static void
add_exited_cb (AForkProcess *process,
               int           wait_status,
               gpointer      data)
{
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_EXITED);
  g_string_append_printf (data, " exited(%d)", wait_status);
}

static void
record (AForkProcess *process,
        GString      *events)
{
  g_signal_connect (process, "notify::state", G_CALLBACK (add_state_cb), events);
  g_signal_connect (process, "notify::pid", G_CALLBACK (add_pid_cb), events);
  g_signal_connect (process, "exited", G_CALLBACK (add_exited_cb), events);
}

static void
test_state (Fixture       *fixture,
            gconstpointer  data)
{
  for (int i = 0; i < 4; i++)
    {
      g_autoptr(AForkProcess) process = i % 2 == 0 ? afork_process_fork (fixture->template)
                                                   : new_executed ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GString) events = g_string_new (NULL);

      g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_STARTING);
      record (process, events);
      if (i >= 2)
        await_state (process, AFORK_PROCESS_STATE_PREPARING);
      connection = run_with_number (process, "exit_with_when_closed", 3);
      g_assert_cmpstr (events->str, ==, " 1 pid 2");
      g_clear_object (&connection);
      await_end (process);
      g_assert_cmpstr (events->str, ==, " 1 pid 2 3 exited(768)");

      /* Nothing is notified after the exit. */
      iterate ();
      g_assert_cmpstr (events->str, ==, " 1 pid 2 3 exited(768)");
    }
}

/* A handler that takes longer than its share of the time. */
static void
take_long_cb (GObject    *object,
              GParamSpec *pspec,
              gpointer    data)
{
  const gint64 end = g_get_monotonic_time () + 20 * 1000;

  while (g_get_monotonic_time () < end)
    ;
}

/* Between two iterations, the state and the signal agree, even if two processes have exited at the
 * same time and the handlers of the first leave no time for the second. */
static void
test_state_of_exited (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) first = new_executed ();
  g_autoptr(AForkProcess) second = new_executed ();
  AForkProcess *processes[] = { first, second };
  GSocketConnection *connections[G_N_ELEMENTS (processes)];
  guint n_exited[G_N_ELEMENTS (processes)] = { 0 };

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    connections[i] = run_with_number (processes[i], "exit_with_when_closed", 3);
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_clear_object (&connections[i]);
      g_signal_connect (processes[i], "notify::state", G_CALLBACK (take_long_cb), NULL);
      g_signal_connect_swapped (processes[i], "exited", G_CALLBACK (count_cb), &n_exited[i]);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      const id_t pid = (id_t) afork_process_get_pid (processes[i]);
      siginfo_t info;

      g_assert_no_errno (waitid (P_PID, pid, &info, WEXITED | WNOWAIT));
    }

  while (n_exited[0] == 0 || n_exited[1] == 0)
    {
      g_main_context_iteration (NULL, TRUE);
      for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
        g_assert_cmpint (afork_process_get_state (processes[i]) == AFORK_PROCESS_STATE_EXITED, ==,
                         n_exited[i] > 0);
    }
}

static void
test_state_of_missing (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GString) events = g_string_new (NULL);

  afork_process_require (process, "no-such-module");
  fork = afork_process_fork (process);
  record (fork, events);
  expect_run_error (fork, "done", AFORK_ERROR, AFORK_ERROR_MODULE, NULL);
  g_assert_cmpstr (events->str, ==, " 3 exited(-1)");
  g_assert_cmpint (afork_process_get_pid (fork), ==, 0);
}

/* The exit. */

static void
test_end_exit (Fixture       *fixture,
               gconstpointer  data)
{
  static const int statuses[] = { 0, 1, 3, 127, 255 };

  for (gsize i = 0; i < 2 * G_N_ELEMENTS (statuses); i++)
    {
      g_autoptr(AForkProcess) process = i % 2 == 0 ? afork_process_fork (fixture->template)
                                                   : new_executed ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      g_assert_false (afork_process_get_exit_status (process, NULL));
      g_assert_false (afork_process_get_term_signal (process, NULL));
      connection = run_with_number (process, "exit_with", statuses[i / 2]);
      g_assert_true (wait_process (process, &error));
      g_assert_no_error (error);
      assert_exit_status (process, statuses[i / 2]);
    }
}

static void
test_end_signal (Fixture       *fixture,
                 gconstpointer  data)
{
  static const int numbers[] = { SIGTERM, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM };

  for (gsize i = 0; i < 2 * G_N_ELEMENTS (numbers); i++)
    {
      g_autoptr(AForkProcess) process = i % 2 == 0 ? afork_process_fork (fixture->template)
                                                   : new_executed ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      connection = run_with_number (process, "die_of", numbers[i / 2]);
      g_assert_true (wait_process (process, &error));
      g_assert_no_error (error);
      assert_term_signal (process, numbers[i / 2]);
    }
}

static gboolean
has_children (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", (int) pid, (int) pid);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return *text != '\0';
}

/* A template reaps its forks when they exit, although it gets no command and there is no
 * handler. */
static void
test_end_no_zombies (Fixture       *fixture,
                     gconstpointer  data)
{
  AForkProcess *forks[5];
  GSocketConnection *connections[5];
  GPid pid;

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      forks[i] = afork_process_fork (fixture->template);
      connections[i] = run_process_ok (forks[i], "until_closed");
    }
  pid = afork_process_get_pid (fixture->template);
  g_assert_true (has_children (pid));

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    g_object_unref (connections[i]);
  /* The main context is not iterated, and no other event shows this. */
  while (has_children (pid))
    g_usleep (1000);

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      await_end (forks[i]);
      assert_exit_status (forks[i], 0);
      g_object_unref (forks[i]);
    }
}

static void
test_end_usage (Fixture       *fixture,
                gconstpointer  data)
{
  guint64 user_usec, system_usec, max_rss_kib;

  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_fork (fixture->template)
                                               : new_executed ();
      g_autoptr(GSocketConnection) connection = NULL;

      afork_process_send_arg (process, "50");
      afork_process_send_arg (process, "32");
      connection = run_process_ok (process, "burn");
      g_assert_false (afork_process_get_usage (process, &user_usec, &system_usec, &max_rss_kib));
      await_end (process);
      assert_exit_status (process, 0);

      g_assert_true (afork_process_get_usage (process, &user_usec, &system_usec, &max_rss_kib));
      g_test_message ("%" G_GUINT64_FORMAT " us, %" G_GUINT64_FORMAT " us, "
                      "%" G_GUINT64_FORMAT " KiB",
                      user_usec, system_usec, max_rss_kib);
      /* The kernel samples and then scales the times, so the two parts are not exact. */
      g_assert_cmpuint (user_usec + system_usec, >=, 45 * 1000);
      g_assert_cmpuint (user_usec + system_usec, <, 60 * G_USEC_PER_SEC);
      g_assert_cmpuint (max_rss_kib, >=, 32 * 1024);
      g_assert_cmpuint (max_rss_kib, <, 1024 * 1024);
    }
}

/* Waiting. */

static void
test_wait_many (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GCancellable) cancelled = g_cancellable_new ();
  GAsyncResult *results[5] = { NULL };

  g_cancellable_cancel (cancelled);
  afork_process_wait_async (process, NULL, store_result_cb, &results[0]);
  connection = run_process_ok (process, "until_closed");
  afork_process_wait_async (process, cancellable, store_result_cb, &results[1]);
  afork_process_wait_async (process, cancelled, store_result_cb, &results[2]);
  afork_process_wait_async (process, NULL, store_result_cb, &results[3]);
  afork_process_wait_async (process, cancelled, NULL, NULL);

  g_cancellable_cancel (cancellable);
  await_result (&results[1]);
  await_result (&results[2]);
  for (int i = 1; i <= 2; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (afork_process_wait_finish (process, results[i], &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }

  /* Cancelling has ended the waits, and not the process. */
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
  g_assert_null (results[0]);
  g_assert_null (results[3]);
  finish_process (process, connection);
  afork_process_wait_async (process, NULL, store_result_cb, &results[4]);
  for (int i = 0; i < 5; i++)
    {
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      if (i == 0 || i > 2)
        {
          g_assert_true (afork_process_wait_finish (process, results[i], &error));
          g_assert_no_error (error);
        }
      g_object_unref (results[i]);
    }
}

/* A wait that was cancelled keeps no reference. */
static void
test_wait_given_up (Fixture       *fixture,
                    gconstpointer  data)
{
  AForkProcess *process = afork_process_fork (fixture->template);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_wait_async (process, cancellable, store_result_cb, &result);
  g_cancellable_cancel (cancellable);
  await_result (&result);
  g_clear_object (&result);
  g_assert_finalize_object (process);
}

static void
test_wait_blocking (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GCancellable) cancelled = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  guint n_dispatched = 0;
  guint id;

  connection = run_with_number (process, "exit_with", 4);
  g_cancellable_cancel (cancelled);
  g_assert_false (afork_process_wait (process, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  id = g_idle_add (count_cb, &n_dispatched);
  for (int i = 0; i < 2; i++)
    {
      g_assert_true (afork_process_wait (process, NULL, &error));
      g_assert_no_error (error);
      assert_exit_status (process, 4);
    }
  g_assert_cmpuint (n_dispatched, ==, 0);
  g_source_remove (id);
}

/* Signals. */

static void
test_signal_early (Fixture       *fixture,
                   gconstpointer  data)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_fork (fixture->template)
                                               : new_executed ();

      afork_process_send_signal (process, SIGUSR1);
      await_end (process);
      assert_term_signal (process, SIGUSR1);
      expect_run_error (process, "until_closed", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
    }
}

/* The signals that a template ignores are kept for the function or program, whenever they were
 * sent. */
static void
test_signal_kept (Fixture       *fixture,
                  gconstpointer  data)
{
  const int numbers[] = { SIGINT, SIGTERM };

  for (guint i = 0; i < 12; i++)
    {
      const int number = numbers[i % 2];
      g_autoptr(AForkProcess) process = i < 6 ? afork_process_fork (fixture->template)
                                              : new_executed ();
      g_autoptr(AForkProcess) fork = NULL;
      g_autoptr(GAsyncResult) result = NULL;

      if (i % 6 < 2)
        {
          await_state (process, AFORK_PROCESS_STATE_PREPARING);
          fork = afork_process_fork (process);
        }
      if (i % 6 < 4)
        afork_process_send_signal (process, number);
      afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
      if (i % 6 >= 4)
        afork_process_send_signal (process, number);
      await_result (&result);
      await_end (process);
      assert_term_signal (process, number);
    }
}

/* As another program would. */
static void
signal_directly (AForkProcess *process,
                 int           number)
{
  const GPid pid = afork_process_get_pid (process);

  /* 0 would be this program and all of its group. */
  g_assert_cmpint (pid, >, 0);
  g_assert_no_errno (kill (pid, number));
}

/* Signals that a terminal or a service manager sends to a whole program do not end its
 * templates. */
static void
test_signal_template (Fixture       *fixture,
                      gconstpointer  data)
{
  const int numbers[] = { SIGINT, SIGTERM };
  g_autoptr(AForkProcess) executed = new_executed ();
  g_autoptr(AForkProcess) before = afork_process_fork (fixture->template);
  AForkProcess *processes[] = { fixture->template, executed, before };

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    await_state (processes[i], AFORK_PROCESS_STATE_PREPARING);
  for (guint i = 0; i < G_N_ELEMENTS (processes) * G_N_ELEMENTS (numbers); i++)
    signal_directly (processes[i / 2], numbers[i % 2]);

  for (guint i = 0; i < 2 * G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (processes[i / 2]);
      g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (fork, "forever");

      /* They end a worker as they end any process. */
      signal_directly (fork, numbers[i % 2]);
      await_end (fork);
      assert_term_signal (fork, numbers[i % 2]);
    }
}

/* A process that is run at once is known from READY, and may have exited before the signal. */
static void
test_signal_early_run (Fixture       *fixture,
                       gconstpointer  data)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_fork (fixture->template)
                                               : new_executed ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      afork_process_send_signal (process, SIGUSR1);
      afork_process_send_signal (process, SIGTERM);
      connection = run_process (process, "forever", &error);
      if (connection == NULL)
        g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
      await_end (process);
      g_assert_true (afork_process_get_term_signal (process, NULL));
    }
}

/* If a process that has a fork is run, another fork becomes the worker, and a signal is for that
 * one, too: the process may have forked before it gets the signal. No reply of either was read
 * yet. */
static void
test_signal_early_template (Fixture       *fixture,
                            gconstpointer  data)
{
  for (int signal = 0; signal <= SIGTERM; signal += SIGTERM)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
      g_autoptr(AForkProcess) fork G_GNUC_UNUSED = afork_process_fork (process);
      g_autoptr(GAsyncResult) result = NULL;

      afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
      if (signal != 0)
        afork_process_send_signal (process, signal);
      else
        afork_process_force_exit (process);
      await_result (&result);
      await_end (process);
      assert_term_signal (process, signal != 0 ? signal : SIGKILL);
    }
}

static void
test_signal_running (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "count_signals");

  assert_line (connection, "ready");
  afork_process_send_signal (process, SIGUSR1);
  assert_line (connection, "1");
  afork_process_send_signal (process, SIGSTOP);
  afork_process_send_signal (process, SIGUSR1);
  afork_process_send_signal (process, SIGCONT);
  assert_line (connection, "2");
  finish_process (process, connection);

  /* Another process may have the pid by now. */
  afork_process_send_signal (process, SIGKILL);
  assert_exit_status (process, 0);
}

static void
await_stopped (AForkProcess *process)
{
  while (get_process_state (afork_process_get_pid (process)) != 'T')
    g_thread_yield ();
}

/* Makes the process, which is known and has a fork, enter a function that lives on. Returns when
 * the worker runs, but before a message of it was read. */
static void
run_unobserved (AForkProcess  *process,
                GAsyncResult **result)
{
  const GPid pid = afork_process_get_pid (process);
  int pipe[2];
  char byte;

  g_assert_true (g_unix_open_pipe (pipe, FD_CLOEXEC, NULL));
  afork_process_send_fd (process, pipe[1]);
  g_assert_no_errno (kill (pid, SIGSTOP));
  await_stopped (process);
  afork_process_run_async (process, "run_notify", NULL, store_result_cb, result);
  iterate ();
  g_assert_no_errno (kill (pid, SIGCONT));
  g_assert_cmpint (read (pipe[0], &byte, 1), ==, 1);
  g_assert_no_errno (close (pipe[0]));
  g_assert_no_errno (close (pipe[1]));
  g_assert_null (*result);
}

/* The same when the process is known and the worker runs already. */
static void
test_signal_early_worker (Fixture       *fixture,
                          gconstpointer  data)
{
  for (int signal = 0; signal <= SIGTERM; signal += SIGTERM)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
      g_autoptr(AForkProcess) fork = NULL;
      g_autoptr(GAsyncResult) result = NULL;

      afork_process_require (process, "faults");
      fork = afork_process_fork (process);
      await_state (fork, AFORK_PROCESS_STATE_PREPARING);
      run_unobserved (process, &result);
      if (signal != 0)
        afork_process_send_signal (process, signal);
      else
        afork_process_force_exit (process);
      await_result (&result);
      await_end (process);
      assert_term_signal (process, signal != 0 ? signal : SIGKILL);
    }
}

/* A process that was stopped and continued before it was known runs; in the other order it is
 * stopped. */
static void
test_signal_early_stop (Fixture       *fixture,
                        gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) stopped = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_stopped = NULL;

  afork_process_send_signal (process, SIGSTOP);
  afork_process_send_signal (process, SIGTSTP);
  afork_process_send_signal (process, SIGCONT);
  connection = run_process_ok (process, "until_closed");
  finish_process (process, connection);

  afork_process_send_signal (stopped, SIGCONT);
  afork_process_send_signal (stopped, SIGSTOP);
  await_state (stopped, AFORK_PROCESS_STATE_PREPARING);
  await_stopped (stopped);
  afork_process_send_signal (stopped, SIGCONT);
  of_stopped = run_process_ok (stopped, "until_closed");
  finish_process (stopped, of_stopped);
}

static void
test_signal_invalid (Fixture       *fixture,
                     gconstpointer  data)
{
  static const int numbers[] = { 0, -1, 65 };

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    afork_process_send_signal (fixture->template, numbers[i]);
}

/* Killing a process at each stage. */

static void
test_kill_new (Fixture       *fixture,
               gconstpointer  data)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_fork (fixture->template)
                                               : new_executed ();
      g_autoptr(GError) error = NULL;

      afork_process_force_exit (process);
      afork_process_force_exit (process);
      afork_process_send_arg (process, "for nobody");
      expect_run_error (process, "until_closed", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
      g_assert_true (wait_process (process, &error));
      assert_term_signal (process, SIGKILL);
    }
}

static void
test_kill_prepared (Fixture       *fixture,
                    gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_force_exit (process);
  fork = afork_process_fork (process);
  await_end (process);
  assert_term_signal (process, SIGKILL);
  expect_run_error (fork, "done", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
}

static void
test_kill_run (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
  afork_process_force_exit (process);
  await_result (&result);
  connection = afork_process_run_finish (process, result, &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_null (connection);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

static gboolean
set_flag_cb (int          fd,
             GIOCondition condition,
             gpointer     flag)
{
  *(gboolean *) flag = TRUE;
  return G_SOURCE_REMOVE;
}

/* Killing a process that has forks, at any moment after it was told to run: a fork that becomes the
 * worker at that time must not live on. All of them have the end of a pipe. */
static void
test_kill_meanwhile (Fixture       *fixture,
                     gconstpointer  data)
{
  enum { ROUNDS = 400, MAX_USEC = 1500 };
  gboolean all_ended = FALSE;
  int pipe[2];

  g_assert_true (g_unix_open_pipe (pipe, FD_CLOEXEC, NULL));
  for (int i = 0; i < ROUNDS; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
      g_autoptr(AForkProcess) fork G_GNUC_UNUSED = afork_process_fork (process);

      await_state (process, AFORK_PROCESS_STATE_PREPARING);
      afork_process_send_fd (process, pipe[1]);
      afork_process_run_async (process, "forever", NULL, NULL, NULL);
      iterate ();
      g_usleep ((gulong) g_test_rand_int_range (0, MAX_USEC));
      afork_process_force_exit (process);
    }

  g_assert_no_errno (close (pipe[1]));
  g_unix_fd_add (pipe[0], G_IO_HUP, set_flag_cb, &all_ended);
  while (!all_ended)
    g_main_context_iteration (NULL, TRUE);
  g_assert_no_errno (close (pipe[0]));
}

static void
test_kill_running (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "forever");
  g_autofree char *nothing = NULL;

  afork_process_force_exit (process);
  nothing = read_to_end (connection, NULL);
  g_assert_cmpstr (nothing, ==, "");
  await_end (process);
  assert_term_signal (process, SIGKILL);
  afork_process_force_exit (process);
  assert_term_signal (process, SIGKILL);
}

/* Templates that are run. */

/* The worker is then a fork of the template, which stays to report on all. */
static void
test_template_run (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) of_fork = run_process_ok (fork, "until_closed");
  g_autoptr(GSocketConnection) of_template = NULL;
  g_autoptr(GString) events = g_string_new (NULL);
  guint64 user_usec, system_usec, max_rss_kib;
  GPid pid;

  await_state (fixture->template, AFORK_PROCESS_STATE_PREPARING);
  pid = afork_process_get_pid (fixture->template);
  record (fixture->template, events);
  of_template = run_process_ok (fixture->template, "write_pid");
  g_assert_cmpint (assert_pid (fixture->template, of_template), !=, pid);
  g_assert_cmpstr (events->str, ==, " pid 2");

  finish_process (fixture->template, of_template);
  g_assert_cmpstr (events->str, ==, " pid 2 3 exited(0)");
  g_assert_true (afork_process_get_usage (fixture->template,
                                          &user_usec, &system_usec, &max_rss_kib));
  g_assert_no_errno (kill (pid, 0));
  finish_process (fork, of_fork);
}

/* They exit in any order, and several are nested. */
static void
test_templates_run (Fixture       *fixture,
                    gconstpointer  data)
{
  enum { DEPTH = 5 };

  for (int round = 0; round < 10; round++)
    {
      AForkProcess *processes[DEPTH];
      GSocketConnection *connections[DEPTH];
      int order[DEPTH];

      processes[0] = afork_process_fork (fixture->template);
      for (int i = 1; i < DEPTH; i++)
        processes[i] = afork_process_fork (processes[i - 1]);
      for (int i = DEPTH - 1; i >= 0; i--)
        connections[i] = run_process_ok (processes[i], "count_signals");
      for (int i = 0; i < DEPTH; i++)
        {
          int other = g_test_rand_int_range (0, i + 1);

          order[i] = order[other];
          order[other] = i;
        }

      for (int i = 0; i < DEPTH; i++)
        {
          AForkProcess *process = processes[order[i]];

          assert_line (connections[order[i]], "ready");
          if (g_test_rand_bit ())
            {
              finish_process (process, connections[order[i]]);
            }
          else
            {
              afork_process_send_signal (process, SIGTERM);
              await_end (process);
              assert_term_signal (process, SIGTERM);
            }
          g_object_unref (connections[order[i]]);
          g_object_unref (process);
        }
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/pid-watch/pid/told", "lifecycle", test_pid);
  add_with_module ("/pid-watch/pid/before-run", "lifecycle", test_pid_before_run);
  add_with_module ("/pid-watch/state/sequence", "lifecycle", test_state);
  add_with_module ("/pid-watch/state/exited", "lifecycle", test_state_of_exited);
  add_with_module ("/pid-watch/state/never-came-to-be", "lifecycle", test_state_of_missing);
  add_with_module ("/pid-watch/end/exit", "lifecycle", test_end_exit);
  add_with_module ("/pid-watch/end/signal", "lifecycle", test_end_signal);
  add_with_module ("/pid-watch/end/no-zombies", "lifecycle", test_end_no_zombies);
  add_with_module ("/pid-watch/end/usage", "lifecycle", test_end_usage);
  add_with_module ("/pid-watch/wait/many", "lifecycle", test_wait_many);
  add_with_module ("/pid-watch/wait/given-up", "lifecycle", test_wait_given_up);
  add_with_module ("/pid-watch/wait/blocking", "lifecycle", test_wait_blocking);
  add_with_module ("/pid-watch/signal/early", "lifecycle", test_signal_early);
  add_with_module ("/pid-watch/signal/kept", "lifecycle", test_signal_kept);
  add_with_module ("/pid-watch/signal/template", "lifecycle", test_signal_template);
  add_with_module ("/pid-watch/signal/early-run", "lifecycle", test_signal_early_run);
  add_with_module ("/pid-watch/signal/early-template", "lifecycle", test_signal_early_template);
  add_with_module ("/pid-watch/signal/early-worker", "lifecycle", test_signal_early_worker);
  add_with_module ("/pid-watch/signal/early-stop", "lifecycle", test_signal_early_stop);
  add_with_module ("/pid-watch/signal/running", "lifecycle", test_signal_running);
  add_with_module ("/pid-watch/signal/invalid", "lifecycle", test_signal_invalid);
  add_with_module ("/pid-watch/kill/new", "lifecycle", test_kill_new);
  add_with_module ("/pid-watch/kill/prepared", "lifecycle", test_kill_prepared);
  add_with_module ("/pid-watch/kill/run", "lifecycle", test_kill_run);
  add_with_module ("/pid-watch/kill/meanwhile", "lifecycle", test_kill_meanwhile);
  add_with_module ("/pid-watch/kill/running", "lifecycle", test_kill_running);
  add_with_module ("/pid-watch/template/run", "lifecycle", test_template_run);
  add_with_module ("/pid-watch/template/run-each-of-many", "lifecycle", test_templates_run);

  return g_test_run ();
}
