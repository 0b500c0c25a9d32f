/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Forks that are kept ready. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test-util.h"

static AForkProcess *
make_template (guint spare)
{
  AForkProcess *template = afork_process_new ();

  afork_process_require (template, "echo");
  g_object_set (template, "spare", spare, NULL);
  return template;
}

/* Opens a file that lists the pids of the template's children at the time of each read. Returns -1
 * if the template is gone, or not known yet. */
static int
open_children (AForkProcess *template)
{
  int pid = (int) afork_process_get_pid (template);
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", pid, pid);

  return open (path, O_RDONLY | O_CLOEXEC);
}

/* The pids that FILE lists now. */
static GStrv
read_children (int file)
{
  char text[4096];
  gssize size = pread (file, text, sizeof text - 1, 0);

  text[MAX (size, 0)] = '\0';
  return *g_strstrip (text) != '\0' ? g_strsplit (text, " ", -1) : g_new0 (char *, 1);
}

static GStrv
list_children (AForkProcess *template)
{
  int file = open_children (template);
  GStrv children = read_children (file);

  if (file >= 0)
    close (file);
  return children;
}

static guint
count_children (AForkProcess *template)
{
  g_auto(GStrv) children = list_children (template);

  return g_strv_length (children);
}

/* A program is not notified of spare forks, so the test checks the children of the template from
 * time to time. */
static void
await_spares (AForkProcess *template,
              guint         n_spares)
{
  guint tick = g_timeout_add (5, tick_cb, NULL);

  while (count_children (template) != n_spares)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

static char *
run_echo (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "echo");
  char *output;

  output = read_echo (connection);
  await_end (process);
  assert_exit_status (process, 0);
  return output;
}

/* Waits until the children are others than OLD, which may need a moment to exit. */
static void
await_other_spare (AForkProcess *template,
                   GStrv         old)
{
  guint tick = g_timeout_add (5, tick_cb, NULL);
  g_auto(GStrv) children = list_children (template);

  while (g_strv_length (children) != 1
         || g_strv_contains ((const char * const *) old, children[0]))
    {
      g_main_context_iteration (NULL, TRUE);
      g_strfreev (children);
      children = list_children (template);
    }
  g_source_remove (tick);
}

/* Forks TEMPLATE, and finds out whether the fork was already among CHILDREN. */
static AForkProcess *
fork_with (AForkProcess *template,
           GStrv         children,
           gboolean      is_spare)
{
  AForkProcess *process = afork_process_fork (template);
  g_autofree char *pid = NULL;

  while (afork_process_get_pid (process) == 0)
    g_main_context_iteration (NULL, TRUE);
  pid = g_strdup_printf ("%d", (int) afork_process_get_pid (process));
  g_assert_cmpint (g_strv_contains ((const char * const *) children, pid), ==, is_spare);
  return process;
}

static AForkProcess *
fork_spare (AForkProcess *template,
            gboolean      is_spare)
{
  g_auto(GStrv) children = list_children (template);

  return fork_with (template, children, is_spare);
}

static void
test_spare_taken (void)
{
  g_autoptr(AForkProcess) template = make_template (2);
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) third = NULL;
  g_autofree char *output = NULL;
  g_auto(GStrv) children = NULL;

  g_assert_cmpuint (afork_process_get_spare (template), ==, 2);
  await_spares (template, 2);
  children = list_children (template);
  first = fork_with (template, children, TRUE);
  second = fork_with (template, children, TRUE);
  third = fork_with (template, children, FALSE);
  g_assert_cmpuint (afork_process_get_spare (first), ==, 0);

  afork_process_send_arg (first, "as good as any");
  output = run_echo (first);
  g_assert_cmpstr (output, ==, "as good as any");
  g_clear_object (&second);
  g_clear_object (&third);
  await_spares (template, 2);
}

/* A template that is busy makes no spare forks. */
static void
test_spare_quiet (void)
{
  g_autoptr(AForkProcess) template = make_template (1);
  gint64 start = 0;

  await_spares (template, 1);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = NULL;
      g_autofree char *output = NULL;

      start = g_get_monotonic_time ();
      process = afork_process_fork (template);
      output = run_echo (process);
    }
  await_spares (template, 1);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 100 * 1000);
}

/* A spare fork has not got the commands that its template got after it was made. */
static void
test_spare_stale (void)
{
  g_autoptr(AForkProcess) template = make_template (1);
  g_autoptr(AForkProcess) stale = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_auto(GStrv) children = NULL;

  await_spares (template, 1);
  children = list_children (template);
  afork_process_send_arg (template, "news");
  stale = fork_spare (template, FALSE);
  first = run_echo (stale);
  g_assert_cmpstr (first, ==, "news");

  await_other_spare (template, children);
  process = fork_spare (template, TRUE);
  second = run_echo (process);
  g_assert_cmpstr (second, ==, "news");
}

static void
test_spare_fewer (void)
{
  g_autoptr(AForkProcess) template = make_template (3);

  await_spares (template, 3);
  afork_process_set_spare (template, 1);
  await_spares (template, 1);
  afork_process_set_spare (template, 0);
  await_spares (template, 0);
}

/* They are dropped with the template. */
static void
test_spare_dropped (void)
{
  AForkProcess *template = make_template (2);

  await_spares (template, 2);
  g_object_unref (template);

  /* Also if they were not made yet. */
  g_object_unref (make_template (2));
}

/* A fork of a template that has exited fails, whether or not there are spare forks. */
static void
test_spare_template_dies (void)
{
  g_autoptr(AForkProcess) template = make_template (1);
  g_autoptr(AForkProcess) process = NULL;

  await_spares (template, 1);
  afork_process_force_exit (template);
  await_end (template);
  process = afork_process_fork (template);
  expect_run_error (process, "echo", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
}

/* A spare fork that has exited is skipped. */
static void
test_spare_dies (void)
{
  g_autoptr(AForkProcess) template = make_template (1);
  g_autoptr(AForkProcess) process = NULL;
  g_auto(GStrv) children = NULL;
  g_autofree char *output = NULL;

  await_spares (template, 1);
  children = list_children (template);
  kill (atoi (children[0]), SIGKILL);
  await_spares (template, 0);
  /* Its socket has been closed by now. */
  iterate ();
  process = afork_process_fork (template);
  output = run_echo (process);
  g_assert_cmpstr (output, ==, "");
}

/* A spare fork that exits while it is not needed is replaced. */
static void
test_spare_dies_unused (void)
{
  g_autoptr(AForkProcess) template = make_template (2);
  g_autoptr(AForkProcess) process = NULL;
  g_auto(GStrv) children = NULL;

  await_spares (template, 2);
  children = list_children (template);
  kill (atoi (children[0]), SIGKILL);
  await_spares (template, 1);
  await_spares (template, 2);
  g_assert_true (kill (atoi (children[1]), 0) == 0);
  process = fork_with (template, children, TRUE);
}

/* Takes all free descriptors of this process, except some. */
static GArray *
fill_descriptors (guint n_left)
{
  GArray *descriptors = g_array_new (FALSE, FALSE, sizeof (int));
  int descriptor;

  while ((descriptor = dup (STDERR_FILENO)) >= 0)
    g_array_append_val (descriptors, descriptor);
  g_assert_cmpint (errno, ==, EMFILE);
  g_assert_cmpuint (descriptors->len, >, n_left);

  for (; n_left > 0; n_left--)
    {
      close (g_array_index (descriptors, int, descriptors->len - 1));
      g_array_set_size (descriptors, descriptors->len - 1);
    }
  return descriptors;
}

static void
free_descriptors (GArray *descriptors)
{
  for (guint i = 0; i < descriptors->len; i++)
    close (g_array_index (descriptors, int, i));
  g_array_unref (descriptors);
}

static void
count_loss_cb (const char     *domain,
               GLogLevelFlags  level,
               const char     *message,
               gpointer        n_losses)
{
  if (strstr (message, "spare") != NULL)
    ++*(guint *) n_losses;
}

static void
await_children (int   file,
                guint n_children)
{
  g_auto(GStrv) children = read_children (file);

  while (g_strv_length (children) < n_children)
    {
      g_main_context_iteration (NULL, TRUE);
      g_strfreev (children);
      children = read_children (file);
    }
}

/* More spare forks than there are descriptors for: the program continues, and when there is room,
 * all forks are made. The template is stopped until all descriptors are taken; from then on, not
 * even the list of its children can be opened.
 *
 * A low limit of descriptors would be simpler. But it also limits how many descriptors of a user
 * other than root may be in flight in sockets, and other tests have hundreds. */
static void
test_spare_too_many (void)
{
  g_autoptr(AForkProcess) template = make_template (0);
  guint tick = g_timeout_add (5, tick_cb, NULL);
  struct rlimit before, limit;
  GArray *descriptors;
  guint n_losses = 0;
  guint handler;
  int file;

  while (afork_process_get_pid (template) == 0)
    g_main_context_iteration (NULL, TRUE);
  file = open_children (template);
  g_assert_cmpint (file, >=, 0);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  limit = before;
  limit.rlim_cur = MIN (before.rlim_cur, 1024);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  descriptors = fill_descriptors (30);

  handler = g_log_set_handler ("AFork", G_LOG_LEVEL_DEBUG, count_loss_cb, &n_losses);
  afork_process_send_signal (template, SIGSTOP);
  afork_process_set_spare (template, G_MAXUINT);
  while (n_losses == 0)
    g_main_context_iteration (NULL, TRUE);
  afork_process_send_signal (template, SIGCONT);
  await_children (file, 5);
  close (file);

  g_log_remove_handler ("AFork", handler);
  free_descriptors (descriptors);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
  afork_process_set_spare (template, 40);
  await_spares (template, 40);
  g_source_remove (tick);
}

/* A template that is run does not become a worker together with its spare forks. */
static void
test_spare_template_run (void)
{
  g_autoptr(AForkProcess) template = make_template (2);
  g_autofree char *output = NULL;

  await_spares (template, 2);
  afork_process_send_arg (template, "itself");
  output = run_echo (template);
  g_assert_cmpstr (output, ==, "itself");
}

/* The template of a runtime, and the one that replaces it. */
static void
test_spare_default (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) other = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_auto(GStrv) children = NULL;
  g_autofree char *pid = NULL;

  afork_process_require (template, "echo");
  afork_process_set_spare (template, 1);
  await_spares (template, 1);
  children = list_children (template);
  process = afork_process_new ();
  connection = run_process_ok (process, "echo");
  pid = g_strdup_printf ("%d", (int) afork_process_get_pid (process));
  g_assert_true (g_strv_contains ((const char * const *) children, pid));
  finish_process (process, connection);

  afork_process_force_exit (template);
  await_end (template);
  other = afork_process_new ();
  template = afork_runtime_get_template (runtime);
  g_assert_cmpuint (afork_process_get_spare (template), ==, 1);
}

static void
test_spare_blocking (void)
{
  g_autoptr(AForkProcess) template = make_template (1);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  await_spares (template, 1);
  process = afork_process_fork (template);
  connection = afork_process_run (process, "echo", NULL, &error);
  g_assert_no_error (error);
  finish_process (process, connection);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/spare/taken", test_spare_taken);
  add_test ("/spare/quiet", test_spare_quiet);
  add_test ("/spare/stale", test_spare_stale);
  add_test ("/spare/fewer", test_spare_fewer);
  add_test ("/spare/dropped", test_spare_dropped);
  add_test ("/spare/template-dies", test_spare_template_dies);
  add_test ("/spare/dies", test_spare_dies);
  add_test ("/spare/dies-unused", test_spare_dies_unused);
  add_test ("/spare/too-many", test_spare_too_many);
  add_test ("/spare/template-run", test_spare_template_run);
  add_test ("/spare/default", test_spare_default);
  add_test ("/spare/blocking", test_spare_blocking);

  return g_test_run ();
}
