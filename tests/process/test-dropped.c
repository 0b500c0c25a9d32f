/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Objects that are dropped: what was queued is still done, and processes that run go on. */

#include "config.h"

#include "test-pid-watch-util.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <unistd.h>

static gboolean
wake_cb (int          fd,
         GIOCondition condition,
         gpointer     data)
{
  return G_SOURCE_CONTINUE;
}

/* Iterates the main context until the last writer of the pipe is gone. Closes FD. */
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

/* A process that was not run does its queued commands, although no operation waits for them. */
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

  afork_process_run_async (process, "write_pid", NULL, store_result_cb, &result);
  g_object_add_weak_pointer (G_OBJECT (process), (gpointer *) &kept);
  g_object_unref (process);
  g_assert_nonnull (kept);
  await_result (&result);
  connection = afork_process_run_finish (kept, result, &error);
  g_assert_no_error (error);
  assert_pid (kept, connection);
  g_clear_object (&result);
  g_assert_null (kept);

  /* Only the connection is left, and the worker continues. */
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
  iterate ();
  assert_line (connection, "ready");
  g_assert_no_errno (kill (pid, SIGUSR1));
  assert_line (connection, "1");
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
}

/* A template whose object is dropped stays until it has reported on its forks. */
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
  iterate ();
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

/* Code of the program frees what was sent, and may use the process meanwhile. */

typedef struct Freed Freed;

struct Freed
{
  AForkProcess *process;        /* NULL once it is dropped */
  void        (*action) (Freed *self);
  gboolean      freed;
};

static void
freed_cb (gpointer data)
{
  Freed *self = data;

  self->action (self);
  self->freed = TRUE;
}

static void
kill_and_wait (Freed *self)
{
  afork_process_force_exit (self->process);
  g_assert_true (afork_process_wait (self->process, NULL, NULL));
}

static void
dispose (Freed *self)
{
  g_object_run_dispose (G_OBJECT (self->process));
}

/* The process exits: its exit is all that it waited for. */
static void
drop_and_kill (Freed *self)
{
  GPid pid = afork_process_get_pid (self->process);

  g_clear_object (&self->process);
  g_assert_no_errno (kill (pid, SIGKILL));
  while (kill (pid, 0) == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* Frees SIZE bytes that PROCESS, which is taken, was sent, while N_BEHIND are still to be sent. */
static void
check_freed (AForkProcess *process,
             void        (*action) (Freed *self),
             gsize         size,
             gsize         n_behind)
{
  g_autofree char *data = g_strnfill (size, 'x');
  Freed freed = { process, action, FALSE };

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  {
    g_autoptr(GBytes) bytes = g_bytes_new_with_free_func (data, size, freed_cb, &freed);
    g_autoptr(GBytes) behind = g_bytes_new_take (g_strnfill (n_behind, 'y'), n_behind);

    afork_process_send_bytes (process, bytes);
    afork_process_send_bytes (process, behind);
  }
  while (!freed.freed)
    g_main_context_iteration (NULL, TRUE);
  g_clear_object (&freed.process);
}

/* A few bytes are sent when the main context prepares to wait, many as soon as there is room. */
static void
test_dropped_freed (Fixture       *fixture,
                    gconstpointer  data)
{
  const gsize sizes[] = { 100, 1024 * 1024 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      check_freed (new_executed (), kill_and_wait, sizes[i], 100);
      check_freed (new_executed (), dispose, sizes[i], 100);
      check_freed (new_executed (), drop_and_kill, sizes[i], 100);
    }
}

/* A child of the process has its socket, and reads nothing: when the process has exited, the socket
 * is still full, so it is closed while something waits for room. */
static void
test_dropped_freed_full (Fixture       *fixture,
                         gconstpointer  data)
{
  enum { SIZE = 1024 * 1024 };
  AForkProcess *process = new_executed ();
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  afork_process_map_fd (process, fds[0], 7);
  close (fds[0]);
  afork_process_call (process, "leave_child", (const char * const []) { "7", NULL });
  check_freed (process, kill_and_wait, SIZE, SIZE);
  close (fds[1]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/dropped/prepared", "lifecycle", test_dropped_prepared);
  add_with_module ("/dropped/new", "lifecycle", test_dropped_new);
  add_with_module ("/dropped/run", "lifecycle", test_dropped_run);
  add_with_module ("/dropped/running", "lifecycle", test_dropped_running);
  add_with_module ("/dropped/template", "lifecycle", test_dropped_template);
  add_with_module ("/dropped/freed/any", "lifecycle", test_dropped_freed);
  add_with_module ("/dropped/freed/full", "lifecycle", test_dropped_freed_full);

  return g_test_run ();
}
