/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Running a process: once, in each way. Afterwards it takes no more commands. */

#include "config.h"

#include "test-pid-watch-util.h"

#include <signal.h>
#include <unistd.h>

static void
test_run_without_callback (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

  /* The connection is closed at once, and the worker exits. */
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

/* In a callback, while other sources are ready. */
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

      connection = afork_process_run (processes[i], "write_pid", NULL, &error);
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

/* The streams of the connection use its socket. It is open while one of them exists, unless the
 * connection is closed. */
static void
test_run_connection_gone (Fixture       *fixture,
                          gconstpointer  data)
{
  for (int close = FALSE; close <= TRUE; close++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
      GSocketConnection *connection = run_process_ok (process, "until_closed");
      GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (connection));

      g_object_ref (stream);
      if (close)
        g_assert_true (g_io_stream_close (G_IO_STREAM (connection), NULL, NULL));
      g_object_unref (connection);
      if (!close)
        g_object_unref (g_steal_pointer (&stream));
      await_end (process);
      assert_exit_status (process, 0);
      g_clear_object (&stream);
    }
}

/* Commands are ignored then, and a fork of the process fails. */
static void
test_run_prepare_after (Fixture       *fixture,
                        gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GBytes) bytes = g_bytes_new_static ("bytes", 5);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

  g_assert_true (afork_process_require (process, "lifecycle") == process);
  g_assert_true (afork_process_eval (process, "code", NULL) == process);
  g_assert_true (afork_process_call (process, "note", NULL) == process);
  g_assert_true (afork_process_send_arg (process, "argument") == process);
  g_assert_true (afork_process_send_bytes (process, bytes) == process);
  g_assert_true (afork_process_send_fd (process, STDIN_FILENO) == process);
  g_assert_true (afork_process_setenv (process, "NAME", "value") == process);
  g_assert_true (afork_process_chdir (process, "/") == process);
  g_assert_true (afork_process_map_fd (process, STDIN_FILENO, 7) == process);
  fork = afork_process_fork (process);
  expect_run_error (fork, "until_closed", AFORK_ERROR, AFORK_ERROR_CLOSED, "which was run");
  afork_process_set_title (process, "title");
  afork_process_set_spare (process, 1);
  afork_process_set_die_with_parent (process, TRUE);
  g_assert_false (afork_process_get_die_with_parent (process));

  finish_process (process, connection);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/run/without-callback", "lifecycle", test_run_without_callback);
  add_with_module ("/run/twice", "lifecycle", test_run_twice);
  add_with_module ("/run/blocking", "lifecycle", test_run_blocking);
  add_with_module ("/run/blocking-cancelled", "lifecycle", test_run_blocking_cancelled);
  add_with_module ("/run/connection-gone", "lifecycle", test_run_connection_gone);
  add_with_module ("/run/prepare-after", "lifecycle", test_run_prepare_after);

  return g_test_run ();
}
