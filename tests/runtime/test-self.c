/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The runtime that executes the calling program again. That program is this one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>
#include <glib/gstdio.h>

#include "test-util.h"

static AForkProcess *
new_process (void)
{
  return afork_process_new_for_runtime (afork_runtime_get_self ());
}

/* Worker functions. */

static const char *word = "fresh";

AFORK_WORKER_EXPORT void set_word (int argc, const char * const *argv);

void
set_word (int                argc,
          const char * const *argv)
{
  word = g_strdup (argv[0]);
}

AFORK_WORKER_EXPORT void write_word (int socket, const AForkItem *items, size_t n_items);

void
write_word (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  dprintf (socket, "%s", word);
  for (size_t i = 0; i < n_items; i++)
    dprintf (socket, " %s", items[i].data);
}

AFORK_WORKER_EXPORT void write_arguments (int socket, const AForkItem *items, size_t n_items);

void
write_arguments (int              socket,
                 const AForkItem *items,
                 size_t           n_items)
{
  g_autofree char *arguments = NULL;

  g_file_get_contents ("/proc/self/cmdline", &arguments, NULL, NULL);
  dprintf (socket, "%s", arguments);
}

/* Checks that the descriptors of these numbers have the same file as standard error, and that a
 * wake-up of the main context does not write there. */
AFORK_WORKER_EXPORT void write_mapped (int socket, const AForkItem *items, size_t n_items);

void
write_mapped (int              socket,
              const AForkItem *items,
              size_t           n_items)
{
  struct stat expected, status;

  g_main_context_wakeup (NULL);
  fstat (2, &expected);
  for (int fd = 3; fd < 20; fd++)
    if (fstat (fd, &status) == 0 && status.st_ino == expected.st_ino)
      dprintf (socket, "%d ", fd);
  dprintf (socket, "%d", (int) expected.st_size);
}

/* A worker may have workers of its own: the same program, executed once more. */
AFORK_WORKER_EXPORT void use_library (int socket, const AForkItem *items, size_t n_items);

void
use_library (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = NULL;

  afork_process_send_arg (process, "worker");
  text = run_to_end (process, "write_word");
  dprintf (socket, "%s", text);
}

/* Tests. */

static void
test_self_run (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = NULL;

  word = "the caller's own";
  afork_process_send_arg (process, "one");
  afork_process_send_arg (process, "two");
  text = run_to_end (process, "write_word");
  g_assert_cmpstr (text, ==, "fresh one two");
  g_assert_cmpstr (afork_runtime_get_name (afork_process_get_runtime (process)), ==, "self");
}

static void
test_self_template (void)
{
  AForkProcess *template = afork_runtime_get_template (afork_runtime_get_self ());
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) fresh = NULL;
  g_autofree char *from_first = NULL;
  g_autofree char *from_second = NULL;
  g_autofree char *from_fresh = NULL;

  afork_process_call (template, "set_word", STRV ("prepared"));
  first = new_process ();
  second = new_process ();
  fresh = afork_process_new_exec (afork_runtime_get_self ());
  from_first = run_to_end (first, "write_word");
  from_second = run_to_end (second, "write_word");
  from_fresh = run_to_end (fresh, "write_word");
  g_assert_cmpstr (from_first, ==, "prepared");
  g_assert_cmpstr (from_second, ==, "prepared");
  g_assert_cmpstr (from_fresh, ==, "fresh");
}

static void
test_self_modules (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = NULL;

  afork_process_require (process, "take");
  afork_process_send_arg (process, "taken");
  afork_process_call (process, "take", NULL);
  text = run_to_end (process, "give");
  g_assert_cmpstr (text, ==, "taken");
}

/* The server program has everything that modules need, too. */
static void
test_self_native_modules (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *text = NULL;

  afork_process_require (process, "take");
  afork_process_send_arg (process, "taken");
  afork_process_call (process, "take", NULL);
  text = run_to_end (process, "give");
  g_assert_cmpstr (text, ==, "taken");
}

/* Items that were taken are gone: for the function, and for a second call. */
static void
test_self_taken_items (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autoptr(AForkProcess) fork = NULL;
  g_autofree char *of_function = NULL;
  g_autofree char *of_second = NULL;

  afork_process_require (process, "take");
  afork_process_send_arg (process, "taken");
  afork_process_call (process, "take", NULL);
  fork = afork_process_fork (process);
  of_function = run_to_end (fork, "write_word");
  g_assert_cmpstr (of_function, ==, "fresh");

  afork_process_call (process, "take", NULL);
  of_second = run_to_end (process, "give");
  g_assert_cmpstr (of_second, ==, "");
}

static void
test_self_title (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = run_to_end (process, "write_arguments");

  if (skip_under_valgrind ("valgrind keeps what /proc/self/cmdline says to what it was first"))
    return;
  g_assert_cmpstr (text, ==, "afork: write_arguments");
}

/* All numbers can be targets of mapped descriptors, and the library needs some for itself. */
static void
test_self_mapped (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autoptr(AForkProcess) fork = NULL;
  g_autofree char *path = NULL;
  g_autofree char *of_fork = NULL;
  g_autofree char *text = NULL;
  int fd = g_file_open_tmp (NULL, &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  for (int target = 2; target < 20; target++)
    afork_process_map_fd (process, fd, target);
  close (fd);
  g_unlink (path);
  fork = afork_process_fork (process);
  of_fork = run_to_end (fork, "write_mapped");
  text = run_to_end (process, "write_mapped");
  g_assert_cmpstr (of_fork, ==, "3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 0");
  g_assert_cmpstr (text, ==, of_fork);
}

static void
test_self_library (void)
{
  g_autoptr(AForkProcess) process = new_process ();
  g_autofree char *text = run_to_end (process, "use_library");

  g_assert_cmpstr (text, ==, "fresh worker");
}

static void
test_self_no_function (void)
{
  g_autoptr(AForkProcess) process = new_process ();

  expect_run_error (process, "no_such_function", AFORK_ERROR, AFORK_ERROR_FUNCTION,
                    "no_such_function");
}

/* The argument belongs to AFork, and the program never sees it. After "--" it is the name of a
 * file. */
static void
test_self_arguments (void)
{
  const char *arguments[] = {
    "program", "--afork-socket=3", "-v", "--", "--afork-socket=3", NULL
  };
  char **argv = (char **) arguments;
  int argc = 5;

  afork_init (&argc, &argv);
  g_assert_cmpint (argc, ==, 4);
  g_assert_cmpstrv (argv, ((const char *[]) { "program", "-v", "--", "--afork-socket=3", NULL }));
}

/* A program that is told to serve does so or exits: it does not do its own work a second time. */
static void
test_self_no_socket (void)
{
  const char *arguments[] = { "program", "-v", "--afork-socket=3", NULL };
  char **argv = (char **) arguments;
  int argc = 3;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
      g_test_trap_assert_failed ();
      /* A sanitizer may print something before. */
      g_test_trap_assert_stderr ("*program: *--afork-socket=3*");
      g_test_trap_assert_stdout_unmatched ("*still here*");
      return;
    }

  close (3);
  afork_init (&argc, &argv);
  g_print ("still here");
}

/* Newer kernels do not allow an empty argument list, but a program may change what it passes on. */
static void
test_self_no_arguments (void)
{
  char *none[] = { NULL };
  char **argv = none;
  int argc = 0;

  afork_init (&argc, &argv);
  g_assert_cmpint (argc, ==, 0);
  g_assert_null (argv[0]);

  argv = NULL;
  afork_init (&argc, &argv);
  g_assert_cmpint (argc, ==, 0);
  g_assert_null (argv);
}

/* The program serves with arguments of its own, too, and after another program. */
static void
test_self_argv (void)
{
  AForkRuntime *runtime = afork_runtime_get_self ();
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char * const *argv[] = {
    STRV (program, "--no-such-option", "argument"),
    STRV ("env", "AFORK_TEST_WORD=set", program),
  };

  for (guint i = 0; i < G_N_ELEMENTS (argv); i++)
    {
      g_autoptr(AForkProcess) process = NULL;
      g_autofree char *text = NULL;

      afork_runtime_set_argv (runtime, argv[i]);
      process = new_process ();
      text = run_to_end (process, "write_word");
      g_assert_cmpstr (text, ==, "fresh");
    }
  afork_runtime_set_argv (runtime, NULL);
}

/* A program that has not called afork_init() is not executed. */
static void
test_self_not_called (void)
{
  if (!g_test_subprocess ())
    {
      g_setenv ("AFORK_TEST_NOT_CALLED", "1", TRUE);
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_unsetenv ("AFORK_TEST_NOT_CALLED");
      g_test_trap_assert_passed ();
      return;
    }

  {
    g_autoptr(AForkProcess) process = new_process ();
    g_autoptr(AForkProcess) fresh = NULL;

    /* Most programs set it only when they have parsed their arguments. */
    g_set_prgname (NULL);
    fresh = afork_process_new_exec (afork_runtime_get_self ());
    g_assert_cmpint (afork_process_get_pid (fresh), ==, 0);
    expect_run_error (process, "write_word", AFORK_ERROR, AFORK_ERROR_SPAWN, "afork_init()");
    expect_run_error (fresh, "write_word", AFORK_ERROR, AFORK_ERROR_SPAWN, "“test-self”");
  }
}

int
main (int    argc,
      char **argv)
{
  if (g_getenv ("AFORK_TEST_NOT_CALLED") == NULL)
    afork_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);

  add_test ("/self/run", test_self_run);
  add_test ("/self/template", test_self_template);
  add_test ("/self/modules", test_self_modules);
  add_test ("/self/native-modules", test_self_native_modules);
  add_test ("/self/taken-items", test_self_taken_items);
  add_test ("/self/title", test_self_title);
  add_test ("/self/mapped", test_self_mapped);
  add_test ("/self/library", test_self_library);
  add_test ("/self/no-function", test_self_no_function);
  add_test ("/self/arguments", test_self_arguments);
  add_test ("/self/no-socket", test_self_no_socket);
  add_test ("/self/no-arguments", test_self_no_arguments);
  add_test ("/self/argv", test_self_argv);
  add_test ("/self/not-called", test_self_not_called);

  return g_test_run ();
}
