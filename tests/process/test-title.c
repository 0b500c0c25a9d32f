/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What `ps` shows of a process. */

#include "config.h"

#include "test-inspect-util.h"

#include <string.h>
#include <unistd.h>

/* How many characters of a name the kernel keeps. */
enum { MAX_NAME = 15 };

/* Reads a file of process PID in /proc, up to the first NUL. */
static char *
read_proc (GPid        pid,
           const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int) pid, name);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

static void
assert_title (GPid        pid,
              const char *title)
{
  g_autofree char *expected = g_strconcat ("afork: ", title, NULL);
  g_autofree char *expected_name = g_strndup (expected, MAX_NAME);
  g_autofree char *line = read_proc (pid, "cmdline");
  g_autofree char *name = g_strchomp (read_proc (pid, "comm"));

  g_assert_cmpstr (line, ==, expected);
  g_assert_cmpstr (name, ==, expected_name);
}

static void
test_title_usual (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);
  Inspection inspection;

  g_assert_cmpstr (afork_process_get_title (process), ==, "template native");
  inspection_begin (&inspection, process);
  g_assert_cmpstr (afork_process_get_title (process), ==, "inspect");
  assert_title (afork_process_get_pid (process), "inspect");

  /* The second is a fork of the first. The reply of the fork comes by another socket than that of
   * its template, and may be read later. */
  await_state (fixture->template, AFORK_PROCESS_STATE_PREPARING);
  assert_title (afork_process_get_pid (fixture->template), "template native");
  assert_title (afork_process_get_pid (afork_runtime_get_template (afork_runtime_get_native ())),
                "template native");
  inspection_end (&inspection);
}

static void
test_title_set (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) other = NULL;
  Inspection inspection;

  afork_process_set_title (fixture->template, "thumbnails of Gr\303\274\303\237en");
  fork = afork_process_fork (fixture->template);
  other = afork_process_fork (fixture->template);
  g_object_set (other, "title", "of its own", NULL);
  g_assert_cmpstr (afork_process_get_title (fork), ==, "thumbnails of Gr\303\274\303\237en");

  inspection_begin (&inspection, fork);
  assert_title (afork_process_get_pid (fork), "thumbnails of Gr\303\274\303\237en");
  inspection_end (&inspection);

  inspection_begin (&inspection, other);
  assert_title (afork_process_get_pid (other), "of its own");
  assert_title (afork_process_get_pid (fixture->template), "thumbnails of Gr\303\274\303\237en");
  inspection_end (&inspection);
}

/* A template of a runtime has this title, too, and so has one that replaces it. */
static void
test_title_of_runtime (Fixture       *fixture,
                       gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) template = NULL;

  afork_process_set_title (afork_runtime_get_template (runtime), "of all");
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      Inspection inspection;

      g_assert_cmpstr (afork_process_get_title (process), ==, "of all");
      afork_process_require (process, "inspect");
      inspection_begin (&inspection, process);
      assert_title (afork_process_get_pid (process), "of all");
      inspection_end (&inspection);

      g_set_object (&template, afork_runtime_get_template (runtime));
      g_assert_cmpstr (afork_process_get_title (template), ==, "of all");
      afork_process_force_exit (template);
      await_end (template);
    }
}

static void
notify_cb (GObject    *object,
           GParamSpec *pspec,
           gpointer    data)
{
  guint *n_notified = data;

  *n_notified += 1;
}

static void
test_title_notify (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  guint n_of_template = 0, n_of_fork = 0;

  g_signal_connect (fixture->template, "notify::title", G_CALLBACK (notify_cb), &n_of_template);
  g_signal_connect (fork, "notify::title", G_CALLBACK (notify_cb), &n_of_fork);
  afork_process_set_title (fixture->template, "once");
  afork_process_set_title (fixture->template, "once");
  g_assert_cmpuint (n_of_template, ==, 1);
  g_assert_cmpuint (n_of_fork, ==, 0);
  assert_clean (fork);
  assert_clean (fixture->template);
  g_assert_cmpuint (n_of_template, ==, 1);
  g_assert_cmpuint (n_of_fork, ==, 1);
}

/* A title that is too long is cut where the arguments and the environment end in /proc. */
static void
test_title_long (Fixture       *fixture,
                 gconstpointer  data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  g_autoptr(AForkProcess) process = NULL;
  g_auto(GStrv) argv = afork_runtime_dup_argv (runtime);
  g_autofree char *title = g_strnfill (100000, 'x');
  g_autofree char *expected = NULL;
  g_autofree char *line = NULL;
  Inspection inspection;
  gsize room;

  afork_runtime_set_environ (runtime, (const char * const []) { "A=b", "LONGER=value", NULL });
  process = afork_process_new_exec (runtime);
  afork_runtime_set_environ (runtime, NULL);
  room = strlen (argv[0]) + 1 + strlen ("--socket=3") + 1 + strlen ("A=b") + 1
    + strlen ("LONGER=value") + 1;

  afork_process_setenv (process, "AFORK_MODULE_PATH", g_getenv ("AFORK_MODULE_PATH"));
  afork_process_require (process, "inspect");
  afork_process_set_title (process, title);
  afork_process_send_arg (process, "A");
  afork_process_send_arg (process, "LONGER");
  inspection_begin (&inspection, process);
  expected = g_strconcat ("afork: ", title, NULL);
  expected[room - 1] = '\0';
  line = read_proc (afork_process_get_pid (process), "cmdline");
  g_assert_cmpstr (line, ==, expected);

  /* The title uses the memory of the environment, which must still work. */
  inspection_assert_value (&inspection, "environment", "A", "b");
  inspection_assert_value (&inspection, "environment", "LONGER", "value");
  inspection_end (&inspection);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/title/usual", "inspect", test_title_usual);
  add_with_module ("/title/set", "inspect", test_title_set);
  add_with_module ("/title/of-runtime", "inspect", test_title_of_runtime);
  add_with_module ("/title/notify", "inspect", test_title_notify);
  add_with_module ("/title/long", "inspect", test_title_long);

  return g_test_run ();
}
