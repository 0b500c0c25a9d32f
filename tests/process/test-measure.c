/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The resident memory of a process, as its template reports it. */

#include "config.h"

#include "test-pid-watch-util.h"

#include <afork/afork-process-private.h>

#include <stdio.h>
#include <unistd.h>

enum { LARGE = 4 * 1024 * 1024 };

/* A figure that was asked for. */
typedef struct
{
  guint64  bytes;
  gboolean came;
} Figure;

static void
measured_cb (guint64  bytes,
             gpointer data)
{
  Figure *figure = data;

  g_assert_false (figure->came);
  *figure = (Figure) { bytes, TRUE };
}

static void
await_figure (Figure *figure)
{
  GSource *deadline = deadline_new ("a figure");

  while (!figure->came)
    g_main_context_iteration (NULL, TRUE);
  deadline_clear (deadline);
}

static guint64
measure (AForkProcess *process)
{
  Figure figure = { 0 };

  _afork_process_measure (process, measured_cb, &figure);
  await_figure (&figure);
  return figure.bytes;
}

/* A process that lives can be read by this program. */
static guint64
read_resident (AForkProcess *process)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", afork_process_get_pid (process));
  g_autofree char *text = NULL;
  guint64 n_pages = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%*u %" G_GUINT64_FORMAT, &n_pages), ==, 1);
  return n_pages * (guint64) sysconf (_SC_PAGESIZE);
}

/* Each processor adds the pages that it has counted to the sum only now and then, so the sum of a
 * small process means little. This one has more than LARGE bytes, and so do its forks. */
static AForkProcess *
new_large (void)
{
  AForkProcess *process = new_executed ();
  g_autofree char *text = g_strnfill (LARGE, 'x');

  return afork_process_send_arg (process, text);
}

static void
assert_figure (AForkProcess *process)
{
  const guint64 bytes = measure (process);
  const guint64 read = read_resident (process);

  g_test_message ("%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes", bytes, read);
  g_assert_cmpuint (bytes, >, read - LARGE / 4);
  g_assert_cmpuint (bytes, <, read + LARGE / 4);
}

/* A fork of a template, before and after it is run, a fork of that, and after it has exited. */
static void
test_forks (void)
{
  g_autoptr(AForkProcess) template = new_large ();
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = NULL;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  assert_figure (process);
  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  assert_figure (fork);
  afork_process_force_exit (fork);
  await_end (fork);
  g_assert_cmpuint (measure (fork), ==, 0);

  connection = run_process_ok (process, "until_closed");
  assert_figure (process);
  finish_process (process, connection);
  g_assert_cmpuint (measure (process), ==, 0);
}

/* A fork that is not known yet. */
static void
test_early (void)
{
  g_autoptr(AForkProcess) template = new_large ();
  g_autoptr(AForkProcess) process = afork_process_fork (template);

  g_assert_cmpuint (measure (process), >, 0);
}

/* A process that has forks is run: a fork of it is the worker, and the process reports it. */
static void
test_stay_behind (void)
{
  g_autoptr(AForkProcess) process = new_large ();
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = NULL;

  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  connection = run_process_ok (process, "until_closed");
  assert_figure (process);
  assert_figure (fork);
  finish_process (process, connection);
}

/* No process reports a process that was executed, or one that was taken over. */
static void
test_none (void)
{
  g_autoptr(AForkProcess) executed = new_executed ();
  g_autoptr(AForkProcess) fork = afork_process_fork (executed);
  g_autoptr(AForkProcess) attached = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  await_state (executed, AFORK_PROCESS_STATE_PREPARING);
  g_assert_cmpuint (measure (executed), ==, 0);

  afork_process_detach_async (fork, NULL, store_result_cb, &result);
  await_result (&result);
  fd = afork_process_detach_finish (fork, result, &error);
  g_assert_no_error (error);
  attached = afork_process_new_from_fd (fd);
  await_state (attached, AFORK_PROCESS_STATE_PREPARING);
  g_assert_cmpuint (measure (attached), ==, 0);
  g_assert_cmpuint (measure (fork), ==, 0);
}

/* The template is killed, or its object is dropped. Then it stays for its forks. */
static void
test_template (Census        *census,
               gconstpointer  data)
{
  const gboolean is_killed = data != NULL;
  g_autoptr(AForkProcess) template = new_large ();
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");

  if (is_killed)
    {
      afork_process_force_exit (template);
      await_end (template);
      g_assert_cmpuint (measure (process), ==, 0);
    }
  else
    {
      g_assert_finalize_object (g_steal_pointer (&template));
      assert_figure (process);
    }
  g_clear_object (&connection);
  await_end (process);
}

/* A template that does not answer, answers another question, or answers twice. */

typedef struct
{
  const char *path;
  const char *answer;
  guint64     bytes;
} Case;

#define MEASURED(number, kib) "raw=0800000048000000" number kib

static const Case cases[] = {
  { "largest", MEASURED ("01000000", "ffffffff"), G_GUINT64_CONSTANT (0xffffffff) * 1024 },
  { "twice", MEASURED ("01000000", "00100000") "0800000048000000" "0100000000100000",
    4 * 1024 * 1024 },
  { "other-fork", MEASURED ("02000000", "00100000"), 0 },
  { "signaled", "raw=0800000046000000" "0100000000000000", 0 },
  { "closed", "close", 0 },
  { "never", "stay", 0 },
};

static void
test_hostile (Census        *census,
              gconstpointer  data)
{
  const Case *self = data;
  g_autofree char *program = g_test_build_filename (G_TEST_BUILT, "hostile-server", NULL);
  const char *argv[] = {
    program, "hello", "await=fork", "fork", "pidfd", "forked", "main", "await=measure",
    self->answer, "hang", NULL
  };
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  Figure figure = { 0 };

  runtime = g_object_new (AFORK_TYPE_RUNTIME,
                          "name", "hostile", "argv", argv,
                          "can-fork", TRUE, "can-pass-fds", TRUE,
                          NULL);
  template = afork_process_new_exec (runtime);
  process = afork_process_fork (template);
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  _afork_process_measure (process, measured_cb, &figure);
  if (g_str_equal (self->path, "never"))
    afork_process_force_exit (template);
  await_figure (&figure);
  g_assert_cmpuint (figure.bytes, ==, self->bytes);

  afork_process_force_exit (template);
  await_end (template);
  await_end (process);
  iterate ();
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/measure/forks", test_forks);
  add_test ("/measure/early", test_early);
  add_test ("/measure/stay-behind", test_stay_behind);
  add_test ("/measure/none", test_none);
  add_with_data ("/measure/template/dropped", GUINT_TO_POINTER (0), test_template);
  add_with_data ("/measure/template/killed", GUINT_TO_POINTER (1), test_template);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/measure/hostile/", cases[i].path, NULL);

      add_with_data (path, &cases[i], test_hostile);
    }

  return g_test_run ();
}
