/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Forks of processes whose libraries want to be told of them. */

#include "test-util.h"

static void
assert_forks (AForkProcess *process,
              const char   *expected)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "tell_forks");
  g_autofree char *told = read_to_end (connection, NULL);

  g_assert_cmpstr (told, ==, expected);
  await_end (process);
  assert_exit_status (process, 0);
}

/* The module's handlers run, in the template and in each of its forks. */
static void
test_fork_handlers (void)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) first = NULL;
  g_autoptr(AForkProcess) second = NULL;
  g_autoptr(AForkProcess) of_fork = NULL;
  Census census;

  census_begin (&census);
  template = afork_process_new_exec (NULL);
  afork_process_require (template, "atfork");
  first = afork_process_fork (template);
  second = afork_process_fork (template);
  of_fork = afork_process_fork (second);
  assert_forks (first, "1 1");
  assert_forks (of_fork, "3 2");
  assert_forks (second, "3 1");
  g_clear_object (&template);
  census_end (&census);
}

/* A module that is loaded into a fork is told of the forks of that. */
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

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fork/handlers", test_fork_handlers);
  g_test_add_func ("/fork/handlers/later", test_fork_handlers_later);
  return g_test_run ();
}
