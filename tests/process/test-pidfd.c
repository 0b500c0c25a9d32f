/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Templates that get no pidfds from the system. The module `refuse` simulates such a system. */

#include "config.h"

#include "test-util.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A process whose system calls the module replaces. */
static AForkProcess *
new_refusing (AForkRuntime **runtime)
{
  g_auto(GStrv) argv = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_auto(GStrv) environment = g_get_environ ();
  g_autofree char *module = g_test_build_filename (G_TEST_BUILT, "modules", "refuse.so", NULL);
  g_autofree char *asan = g_strconcat (g_getenv ("ASAN_OPTIONS") != NULL ? g_getenv ("ASAN_OPTIONS")
                                                                         : "",
                                       ":verify_asan_link_order=0", NULL);
  AForkProcess *process;

  environment = g_environ_setenv (environment, "LD_PRELOAD", module, TRUE);
  environment = g_environ_setenv (environment, "ASAN_OPTIONS", asan, TRUE);
  *runtime = g_object_new (AFORK_TYPE_RUNTIME,
                           "name", "refusing",
                           "argv", argv,
                           "environ", environment,
                           "can-fork", TRUE,
                           "can-pass-fds", TRUE,
                           NULL);
  process = afork_process_new_exec (*runtime);
  afork_process_require (process, "refuse");
  afork_process_require (process, "lifecycle");
  return process;
}

static void
assert_ends_as (AForkProcess *process,
                const char   *status)
{
  g_autoptr(GSocketConnection) connection = NULL;
  guint64 usage[3];

  afork_process_send_arg (process, status);
  connection = run_process_ok (process, "exit_with");
  await_end (process);
  assert_exit_status (process, atoi (status));
  g_assert_true (afork_process_get_usage (process, &usage[0], &usage[1], &usage[2]));
}

/* Without pidfd_open(), forks are watched nevertheless. */
static void
test_missing (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) template = new_refusing (&runtime);
  g_autoptr(AForkProcess) killed = NULL;
  g_autoptr(AForkProcess) parent = NULL;
  g_autoptr(AForkProcess) child = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_child = NULL;

  afork_process_call (template, "refuse_all", NULL);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      assert_ends_as (process, i == 0 ? "0" : "7");
    }

  killed = afork_process_fork (template);
  connection = run_process_ok (killed, "forever");
  afork_process_force_exit (killed);
  await_end (killed);
  assert_term_signal (killed, SIGKILL);

  /* A process with a fork is run: it stays, and only reports on the others. */
  parent = afork_process_fork (template);
  child = afork_process_fork (parent);
  of_child = run_process_ok (child, "until_closed");
  assert_ends_as (parent, "3");
  finish_process (child, of_child);
}

/* If no pidfd is left for the fork that becomes the worker, the fork is watched nevertheless. */
static void
test_refused (Census        *census,
              gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) process = new_refusing (&runtime);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) of_fork = run_process_ok (fork, "until_closed");

  afork_process_call (process, "refuse_children", NULL);
  assert_ends_as (process, "3");
  finish_process (fork, of_fork);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_with_census ("/pidfd/missing", test_missing);
  add_with_census ("/pidfd/refused", test_refused);
  return g_test_run ();
}
