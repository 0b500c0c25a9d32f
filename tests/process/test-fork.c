/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Forks of processes whose libraries have fork handlers, and of processes that are busy. */

#include "test-util.h"

#include <signal.h>

static void
assert_forks (AForkProcess *process,
              const char   *expected)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "write_forks");
  g_autofree char *notified = read_to_end (connection, NULL);

  g_assert_cmpstr (notified, ==, expected);
  await_end (process);
  assert_exit_status (process, 0);
}

/* The handlers of the module run, in the template and in each of its forks. */
static void
test_fork_handlers (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) of_fork = NULL;

  template = afork_process_new_exec (NULL);
  afork_process_require (template, "atfork");
  first = afork_process_fork (template);
  second = afork_process_fork (template);
  of_fork = afork_process_fork (second);
  assert_forks (first, "1 1");
  assert_forks (of_fork, "3 2");
  assert_forks (second, "3 1");
  g_clear_object (&template);
}

/* A module that is loaded into a fork sees the forks of that fork. */
static void
test_fork_handlers_later (void)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(AForkProcess) of_fork = NULL;

  afork_process_require (fork, "atfork");
  of_fork = afork_process_fork (fork);
  assert_forks (of_fork, "1 1");
}

/* A process gets the commands to fork and to run in one message, and has not replied before. The
 * exits of the process and of its fork are known nevertheless. */
static void
test_fork_and_run (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_fork = NULL;
  guint64 usage[3];

  template = afork_process_new_exec (NULL);
  afork_process_require (template, "lifecycle");
  process = afork_process_fork (template);
  fork = afork_process_fork (process);
  connection = run_process_ok (process, "until_closed");
  of_fork = run_process_ok (fork, "until_closed");
  finish_process (process, connection);
  g_assert_true (afork_process_get_usage (process, &usage[0], &usage[1], &usage[2]));
  finish_process (fork, of_fork);
  g_assert_true (afork_process_get_usage (fork, &usage[0], &usage[1], &usage[2]));
  g_clear_object (&template);
}

/* The same, but the fork that was to become the worker is killed before it has sent anything. The
 * process itself stays as the parent of its fork, and is not waited for until that exits. */
static void
test_fork_and_run_killed (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) of_fork = NULL;
  g_autoptr(GError) error = NULL;

  template = afork_process_new_exec (NULL);
  afork_process_require (template, "atfork");
  afork_process_require (template, "lifecycle");
  afork_process_call (template, "kill_fork", (const char * const []) { "3", NULL });
  process = afork_process_fork (template);
  fork = afork_process_fork (process);
  expect_run_error (process, "until_closed", AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
  assert_term_signal (process, SIGKILL);

  /* No process reports on the fork. Its exit status is known only if the kernel reports it. */
  of_fork = run_process_ok (fork, "until_closed");
  g_clear_object (&of_fork);
  if (wait_process (fork, &error))
    assert_exit_status (fork, 0);
  else
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
  g_clear_object (&template);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_test ("/fork/handlers", test_fork_handlers);
  g_test_add_func ("/fork/handlers/later", test_fork_handlers_later);
  add_test ("/fork/and-run", test_fork_and_run);
  add_test ("/fork/and-run/killed", test_fork_and_run_killed);
  return g_test_run ();
}
