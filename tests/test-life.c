/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What becomes of processes: from nobody knows their number to everybody knows their end. */

#include "config.h"

#include "test-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  Census        census;
  AForkProcess *template;       /* it has the module */
} Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  census_begin (&fixture->census);
  fixture->template = afork_process_new ();
  afork_process_require (fixture->template, "life");
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  g_clear_object (&fixture->template);
  census_end (&fixture->census);
}

static AForkProcess *
new_executed (void)
{
  return afork_process_require (afork_process_new_exec (NULL), "life");
}

/* A line of what the worker says. */
static char *
read_line (GSocketConnection *connection)
{
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GString *line = g_string_new (NULL);
  char character = '\0';

  while (character != '\n')
    {
      g_autoptr(GError) error = NULL;

      g_assert_cmpint (g_input_stream_read (stream, &character, 1, NULL, &error), ==, 1);
      g_assert_no_error (error);
      g_string_append_c (line, character);
    }

  g_string_truncate (line, line->len - 1);
  return g_string_free (line, FALSE);
}

static void
assert_line (GSocketConnection *connection,
             const char        *expected)
{
  g_autofree char *line = read_line (connection);

  g_assert_cmpstr (line, ==, expected);
}

static GSocketConnection *
run_with_number (AForkProcess *process,
                 const char   *function,
                 int           number)
{
  g_autofree char *text = g_strdup_printf ("%d", number);

  return run_process_ok (afork_process_send_arg (process, text), function);
}

/* The number. */

/* Returns the number, which the process itself agrees with. */
static GPid
assert_pid (AForkProcess      *process,
            GSocketConnection *connection)
{
  g_autofree char *line = read_line (connection);
  int pid;

  g_object_get (process, "pid", &pid, NULL);
  g_assert_cmpint (pid, ==, afork_process_get_pid (process));
  g_assert_cmpint (pid, ==, atoi (line));
  return pid;
}

static void
test_pid (Fixture       *fixture,
          gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) executed = new_executed ();
  AForkProcess *processes[] = { fork, fork_of_fork, executed, fixture->template };

  /* Only a child of our own is known at once. */
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    g_assert_true ((afork_process_get_pid (processes[i]) != 0) == (processes[i] == executed));

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(GSocketConnection) connection = NULL;

      connection = run_process_ok (processes[i], "tell_pid");
      assert_pid (processes[i], connection);
      finish_process (processes[i], connection);
    }
}

/* A process is known before it is run, and without its being asked for anything. */
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

  connection = run_process_ok (fork, "tell_pid");
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

      /* Nothing comes after it. */
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpstr (events->str, ==, " 1 pid 2 3 exited(768)");
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

/* The end. */

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
      /* The kernel scales what it has sampled, so the two parts are not exact. */
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

  /* That ended the waits, and not the process. */
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

/* A wait that was cancelled keeps nothing. */
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

static gboolean
count_cb (gpointer data)
{
  guint *n_dispatched = data;

  *n_dispatched += 1;
  return G_SOURCE_CONTINUE;
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

      afork_process_send_signal (process, SIGTERM);
      await_end (process);
      assert_term_signal (process, SIGTERM);
      expect_run_error (process, "until_closed", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
    }
}

/* One that is run at once is known by its answer, and may have been quicker. */
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

  /* The number may be another's by now. */
  afork_process_send_signal (process, SIGKILL);
  assert_exit_status (process, 0);
}

static gboolean
is_stopped (AForkProcess *process)
{
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;

  path = g_strdup_printf ("/proc/%d/status", (int) afork_process_get_pid (process));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return strstr (text, "\nState:\tT") != NULL;
}

/* One that was stopped and told to go on before it was known goes on; the other way round it is
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
  while (!is_stopped (stopped))
    g_thread_yield ();
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
    {
      g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*signal*");
      afork_process_send_signal (fixture->template, numbers[i]);
      g_test_assert_expected_messages ();
    }
}

/* Being killed, at each stage. */

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

  afork_process_run_async (process, "until_closed", NULL, store_result_cb, &result);
  afork_process_force_exit (process);
  await_result (&result);
  connection = afork_process_run_finish (process, result, &error);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_null (connection);
  await_end (process);
  assert_term_signal (process, SIGKILL);
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

/* Running. */

static void
test_run_without_callback (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

  /* The connection goes at once, and so does the worker. */
  afork_process_run_async (process, "until_closed", NULL, NULL, NULL);
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_run_twice (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) none = NULL;
  g_autoptr(GAsyncResult) first = NULL;
  g_autoptr(GAsyncResult) second = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_run_async (process, "until_closed", NULL, store_result_cb, &first);
  afork_process_run_async (process, "until_closed", NULL, store_result_cb, &second);
  await_result (&second);
  none = afork_process_run_finish (process, second, &error);
  g_assert_null (none);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);

  await_result (&first);
  connection = afork_process_run_finish (process, first, &error);
  g_assert_no_error (error);
  none = afork_process_run (process, "done", NULL, &error);
  g_assert_null (none);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);

  g_assert_cmpstr (afork_process_get_function (process), ==, "until_closed");
  finish_process (process, connection);
}

/* Within a callback, while other sources wait for their turn. */
typedef struct
{
  AForkProcess *template;
  guint         n_dispatched;
  gboolean      done;
} Blocking;

static gboolean
run_blocking_cb (gpointer data)
{
  Blocking *self = data;
  guint n_dispatched = self->n_dispatched;
  g_autoptr(AForkProcess) fork = afork_process_fork (self->template);
  g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) executed = new_executed ();
  AForkProcess *processes[] = { fork_of_fork, executed, fork };

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      connection = afork_process_run (processes[i], "tell_pid", NULL, &error);
      g_assert_no_error (error);
      assert_pid (processes[i], connection);
      g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
      g_assert_true (afork_process_wait (processes[i], NULL, &error));
      g_assert_no_error (error);
      assert_exit_status (processes[i], 0);
    }

  g_assert_cmpuint (self->n_dispatched, ==, n_dispatched);
  self->done = TRUE;
  return G_SOURCE_REMOVE;
}

static void
test_run_blocking (Fixture       *fixture,
                   gconstpointer  data)
{
  Blocking blocking = { .template = fixture->template };
  guint id;

  id = g_idle_add_full (G_PRIORITY_HIGH, count_cb, &blocking.n_dispatched, NULL);
  g_idle_add_full (G_PRIORITY_HIGH, run_blocking_cb, &blocking, NULL);
  while (!blocking.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (blocking.n_dispatched, >, 0);
  g_source_remove (id);
}

static gpointer
cancel (gpointer data)
{
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_run_blocking_cancelled (Fixture       *fixture,
                             gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  GThread *thread;

  afork_process_call (process, "stop", NULL);
  thread = g_thread_new ("canceller", cancel, cancellable);
  connection = afork_process_run (process, "done", cancellable, &error);
  g_assert_null (connection);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_true (afork_process_wait (process, NULL, NULL));
  assert_term_signal (process, SIGKILL);
}

/* Telling it something then is the program's fault. */

static void
expect_critical (void)
{
  g_test_expect_message ("AFork", G_LOG_LEVEL_CRITICAL, "*_afork_process_can_prepare*");
}

static void
test_run_prepare_after (Fixture       *fixture,
                        gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(GBytes) bytes = g_bytes_new_static ("bytes", 5);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

  expect_critical ();
  g_assert_true (afork_process_require (process, "life") == process);
  expect_critical ();
  g_assert_true (afork_process_eval (process, "code", NULL) == process);
  expect_critical ();
  g_assert_true (afork_process_call (process, "note", NULL) == process);
  expect_critical ();
  g_assert_true (afork_process_send_arg (process, "argument") == process);
  expect_critical ();
  g_assert_true (afork_process_send_bytes (process, bytes) == process);
  expect_critical ();
  g_assert_true (afork_process_send_fd (process, STDIN_FILENO) == process);
  expect_critical ();
  g_assert_true (afork_process_setenv (process, "NAME", "value") == process);
  expect_critical ();
  g_assert_true (afork_process_chdir (process, "/") == process);
  expect_critical ();
  g_assert_true (afork_process_map_fd (process, STDIN_FILENO, 7) == process);
  expect_critical ();
  g_assert_null (afork_process_fork (process));
  expect_critical ();
  afork_process_set_title (process, "title");
  g_test_assert_expected_messages ();

  finish_process (process, connection);
}

/* Objects that are dropped. */

static gboolean
wake_cb (int          fd,
         GIOCondition condition,
         gpointer     data)
{
  return G_SOURCE_CONTINUE;
}

/* Turns the main context until the last writer of the pipe is gone. Closes FD. */
static void
assert_pipe (int         fd,
             const char *expected)
{
  guint id = g_unix_fd_add (fd, G_IO_IN | G_IO_HUP, wake_cb, NULL);
  char text[256];
  gsize length = 0;
  gssize n_bytes;

  while ((n_bytes = read (fd, text + length, sizeof text - 1 - length)) != 0)
    if (n_bytes > 0)
      length += (gsize) n_bytes;
    else
      g_main_context_iteration (NULL, TRUE);

  text[length] = '\0';
  g_assert_cmpstr (text, ==, expected);
  g_source_remove (id);
  close (fd);
}

/* A process that was not run does what was queued for it, though nobody waits for that. */
static void
test_dropped_prepared (Fixture       *fixture,
                       gconstpointer  data)
{
  for (int i = 0; i < 3; i++)
    {
      AForkProcess *process = i == 0 ? new_executed () : afork_process_fork (fixture->template);
      AForkProcess *fork;
      int fds[2];

      g_assert_no_errno (pipe2 (fds, O_CLOEXEC | O_NONBLOCK));
      afork_process_map_fd (process, fds[1], 7);
      close (fds[1]);
      if (i == 2)
        await_state (process, AFORK_PROCESS_STATE_PREPARING);
      afork_process_call (process, "note", (const char * const []) { "7", "one ", NULL });
      fork = afork_process_fork (process);
      afork_process_call (fork, "note", (const char * const []) { "7", "two ", NULL });
      g_object_unref (fork);
      g_object_unref (process);

      assert_pipe (fds[0], "one two ");
    }
}

static void
test_dropped_new (Fixture       *fixture,
                  gconstpointer  data)
{
  for (int i = 0; i < 20; i++)
    {
      g_object_unref (afork_process_new ());
      g_object_unref (afork_process_new_exec (NULL));
      g_object_unref (afork_process_fork (fixture->template));
      if (i % 3 == 0)
        g_main_context_iteration (NULL, FALSE);
    }
}

/* An operation keeps its object. */
static void
test_dropped_run (Fixture       *fixture,
                  gconstpointer  data)
{
  AForkProcess *process = afork_process_fork (fixture->template);
  AForkProcess *kept = process;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_run_async (process, "tell_pid", NULL, store_result_cb, &result);
  g_object_add_weak_pointer (G_OBJECT (process), (gpointer *) &kept);
  g_object_unref (process);
  g_assert_nonnull (kept);
  await_result (&result);
  connection = afork_process_run_finish (kept, result, &error);
  g_assert_no_error (error);
  assert_pid (kept, connection);
  g_clear_object (&result);
  g_assert_null (kept);

  /* The connection is all that is left of it, and the worker goes on. */
  g_io_stream_close (G_IO_STREAM (connection), NULL, &error);
  g_assert_no_error (error);
}

static void
test_dropped_running (Fixture       *fixture,
                      gconstpointer  data)
{
  AForkProcess *process = afork_process_fork (fixture->template);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "count_signals");
  GPid pid = afork_process_get_pid (process);

  g_object_unref (process);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  assert_line (connection, "ready");
  g_assert_no_errno (kill (pid, SIGUSR1));
  assert_line (connection, "1");
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
}

/* A template whose object is dropped stays to report on its forks, and no longer. */
static void
test_dropped_template (Fixture       *fixture,
                       gconstpointer  data)
{
  AForkProcess *forks[4];
  GSocketConnection *connections[4];
  GPid pid;

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      forks[i] = afork_process_fork (fixture->template);
      connections[i] = run_process_ok (forks[i], i % 2 == 0 ? "until_closed" : "forever");
    }
  pid = afork_process_get_pid (fixture->template);
  g_clear_object (&fixture->template);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_no_errno (kill (pid, 0));

  for (gsize i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      guint64 user_usec, system_usec, max_rss_kib;

      if (i % 2 == 0)
        {
          finish_process (forks[i], connections[i]);
        }
      else
        {
          afork_process_force_exit (forks[i]);
          await_end (forks[i]);
          assert_term_signal (forks[i], SIGKILL);
        }
      g_assert_true (afork_process_get_usage (forks[i], &user_usec, &system_usec, &max_rss_kib));
      g_object_unref (connections[i]);
      g_object_unref (forks[i]);
    }
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
  of_template = run_process_ok (fixture->template, "tell_pid");
  g_assert_cmpint (assert_pid (fixture->template, of_template), !=, pid);
  g_assert_cmpstr (events->str, ==, " pid 2");

  finish_process (fixture->template, of_template);
  g_assert_cmpstr (events->str, ==, " pid 2 3 exited(0)");
  g_assert_true (afork_process_get_usage (fixture->template,
                                          &user_usec, &system_usec, &max_rss_kib));
  g_assert_no_errno (kill (pid, 0));
  finish_process (fork, of_fork);
}

/* In any order of ends, and several of them one within another. */
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

static void
add (const char  *path,
     void       (*test) (Fixture       *fixture,
                         gconstpointer  data))
{
  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("/life/pid/told", test_pid);
  add ("/life/pid/before-run", test_pid_before_run);
  add ("/life/state/sequence", test_state);
  add ("/life/state/never-came-to-be", test_state_of_missing);
  add ("/life/end/exit", test_end_exit);
  add ("/life/end/signal", test_end_signal);
  add ("/life/end/usage", test_end_usage);
  add ("/life/wait/many", test_wait_many);
  add ("/life/wait/given-up", test_wait_given_up);
  add ("/life/wait/blocking", test_wait_blocking);
  add ("/life/signal/early", test_signal_early);
  add ("/life/signal/early-run", test_signal_early_run);
  add ("/life/signal/early-stop", test_signal_early_stop);
  add ("/life/signal/running", test_signal_running);
  add ("/life/signal/invalid", test_signal_invalid);
  add ("/life/kill/new", test_kill_new);
  add ("/life/kill/prepared", test_kill_prepared);
  add ("/life/kill/run", test_kill_run);
  add ("/life/kill/running", test_kill_running);
  add ("/life/run/without-callback", test_run_without_callback);
  add ("/life/run/twice", test_run_twice);
  add ("/life/run/blocking", test_run_blocking);
  add ("/life/run/blocking-cancelled", test_run_blocking_cancelled);
  add ("/life/run/prepare-after", test_run_prepare_after);
  add ("/life/dropped/prepared", test_dropped_prepared);
  add ("/life/dropped/new", test_dropped_new);
  add ("/life/dropped/run", test_dropped_run);
  add ("/life/dropped/running", test_dropped_running);
  add ("/life/dropped/template", test_dropped_template);
  add ("/life/template/run", test_template_run);
  add ("/life/template/run-each-of-many", test_templates_run);

  return g_test_run ();
}
