/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that are traced, as by a debugger. The tracer sees an exit first, and can keep the
 * process from being reaped. A program that waits for the process must not be kept busy
 * meanwhile. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test-util.h"

enum
{
  HELD_MS = 300,
  /* How often the main context may iterate in that time: there is a timer of some 10 ms. */
  MAX_TURNS = 100,
};

typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  GDataInputStream  *lines;
} Tracer;

static char *
read_line (Tracer *self)
{
  g_autoptr(GError) error = NULL;
  char *line = g_data_input_stream_read_line (self->lines, NULL, NULL, &error);

  g_assert_no_error (error);
  return line;
}

/* Returns false, and skips the test, if tracing is not permitted. */
static gboolean
tracer_begin (Tracer       *self,
              AForkProcess *traced)
{
  g_autofree char *pid = NULL;
  g_autofree char *line = NULL;

  await_state (traced, AFORK_PROCESS_STATE_PREPARING);
  pid = g_strdup_printf ("%d", (int) afork_process_get_pid (traced));
  self->process = afork_process_new ();
  afork_process_require (self->process, "trace");
  afork_process_send_arg (self->process, pid);
  self->connection = run_process_ok (self->process, "trace");
  self->lines =
    g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (self->connection)));

  line = read_line (self);
  if (g_strcmp0 (line, "traced") == 0)
    return TRUE;

  g_assert_cmpint (atoi (line), ==, EPERM);
  g_test_skip ("Nobody may trace a process here");
  return FALSE;
}

static void
tracer_await_end_of_traced (Tracer *self)
{
  g_autofree char *line = read_line (self);

  g_assert_cmpstr (line, ==, "ended");
}

/* The tracer has seen the exit, and the parent can reap the process. */
static void
tracer_let_go (Tracer *self)
{
  g_autoptr(GError) error = NULL;

  g_socket_shutdown (g_socket_connection_get_socket (self->connection), FALSE, TRUE, &error);
  g_assert_no_error (error);
}

static void
tracer_end (Tracer *self)
{
  g_clear_object (&self->lines);
  finish_process (self->process, self->connection);
  g_clear_object (&self->connection);
  g_clear_object (&self->process);
}

static gboolean
set_true_cb (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

/* How often the main context is iterated while nothing happens. */
static guint
count_turns (void)
{
  gboolean over = FALSE;
  guint n_turns = 0;

  g_timeout_add (HELD_MS, set_true_cb, &over);
  while (!over)
    {
      g_main_context_iteration (NULL, TRUE);
      n_turns++;
    }

  return n_turns;
}

/* The CPU time of a process, in clock ticks. */
static gint64
get_ticks (AForkProcess *process)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) afork_process_get_pid (process));
  g_autofree char *text = NULL;
  g_auto(GStrv) fields = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  /* Fields 14 and 15, which are 12 and 13 after the name. The name may contain any character. */
  fields = g_strsplit (strrchr (text, ')') + 2, " ", -1);
  return g_ascii_strtoll (fields[11], NULL, 10) + g_ascii_strtoll (fields[12], NULL, 10);
}

static AForkProcess *
new_traceable (AForkProcess *template)
{
  AForkProcess *process = template != NULL ? afork_process_fork (template)
                                           : afork_process_new_exec (NULL);

  afork_process_require (process, "trace");
  afork_process_call (process, "allow_trace", NULL);
  return process;
}

/* A child of this program. */
static void
test_held_child (Census        *census,
                 gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_traceable (NULL);
  Tracer tracer;

  if (tracer_begin (&tracer, process))
    {
      afork_process_force_exit (process);
      tracer_await_end_of_traced (&tracer);
      g_assert_cmpuint (count_turns (), <, MAX_TURNS);
      g_assert_cmpint (afork_process_get_state (process), <, AFORK_PROCESS_STATE_EXITED);

      tracer_let_go (&tracer);
      await_end (process);
      assert_term_signal (process, SIGKILL);
    }

  tracer_end (&tracer);
}

/* A child of its template. */
static void
test_held_fork (Census        *census,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) process = new_traceable (template);
  g_autoptr(AForkProcess) other = afork_process_fork (template);
  Tracer tracer;
  gint64 ticks;

  if (tracer_begin (&tracer, process))
    {
      afork_process_force_exit (process);
      tracer_await_end_of_traced (&tracer);
      ticks = get_ticks (template);
      g_assert_cmpuint (count_turns (), <, MAX_TURNS);
      g_assert_cmpint (get_ticks (template) - ticks, <=, 2);
      g_assert_cmpint (afork_process_get_state (process), <, AFORK_PROCESS_STATE_EXITED);

      /* Others are watched meanwhile. */
      afork_process_force_exit (other);
      await_end (other);
      assert_term_signal (other, SIGKILL);

      tracer_let_go (&tracer);
      await_end (process);
      assert_term_signal (process, SIGKILL);
    }

  tracer_end (&tracer);
}

/* A tracer that exits releases all processes. */
static void
test_tracer_dies (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) template = data != NULL ? afork_process_new_exec (NULL) : NULL;
  g_autoptr(AForkProcess) process = new_traceable (template);
  Tracer tracer;

  if (tracer_begin (&tracer, process))
    {
      afork_process_force_exit (process);
      tracer_await_end_of_traced (&tracer);
      afork_process_force_exit (tracer.process);
      await_end (process);
      assert_term_signal (process, SIGKILL);
    }

  g_clear_object (&tracer.lines);
  g_clear_object (&tracer.connection);
  await_end (tracer.process);
  g_clear_object (&tracer.process);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_census ("/tracer/held/child", test_held_child);
  add_with_census ("/tracer/held/fork", test_held_fork);
  add_with_census ("/tracer/dies/child", test_tracer_dies);
  add_with_data ("/tracer/dies/fork", GINT_TO_POINTER (TRUE), test_tracer_dies);

  return g_test_run ();
}
