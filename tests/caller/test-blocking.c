/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Blocking calls, and handlers that iterate the main context: each gets the events that it waits
 * for, and does not dispatch those of the rest of the program. */

#include "test-util.h"

#include <sys/wait.h>

/* A process that runs until its connection is closed. */
static AForkProcess *
start_echo (AForkProcess       *template,
            GSocketConnection **connection)
{
  AForkProcess *process = afork_process_fork (template);

  *connection = run_process_ok (process, "echo");
  return process;
}

static AForkProcess *
make_template (void)
{
  AForkProcess *template = afork_process_new_exec (NULL);

  return afork_process_require (g_steal_pointer (&template), "echo");
}

static void
count_exited_cb (AForkProcess *process,
                 int           wait_status,
                 gpointer      data)
{
  guint *n_exited = data;

  *n_exited += 1;
}

/* The exit of another process, which the same template reports, is not notified until its own
 * context is iterated. */
static void
test_blocking_others (void)
{
  g_autoptr(AForkProcess) template = make_template ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(AForkProcess) other = start_echo (template, &connection);
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(GSocketConnection) own = NULL;
  g_autoptr(GError) error = NULL;
  guint n_exited = 0;

  g_signal_connect (other, "exited", G_CALLBACK (count_exited_cb), &n_exited);
  g_clear_object (&connection);

  own = afork_process_run (process, "echo", NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&own);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n_exited, ==, 0);

  await_end (other);
  g_assert_cmpuint (n_exited, ==, 1);
  assert_exit_status (other, 0);
}

/* Without a main loop: the first wait also receives the exit of the second process, and keeps
 * it. */
static void
test_blocking_in_turn (void)
{
  g_autoptr(AForkProcess) template = make_template ();
  AForkProcess *processes[4];
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(GSocketConnection) connection = NULL;

      processes[i] = afork_process_fork (template);
      connection = afork_process_run (processes[i], "echo", NULL, &error);
      g_assert_no_error (error);
    }

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_assert_true (afork_process_wait (processes[i], NULL, &error));
      g_assert_no_error (error);
      assert_exit_status (processes[i], 0);
      g_object_unref (processes[i]);
    }
}

/* A process that is run while it has a fork continues as the parent of the worker and the fork. It
 * must not stay in the context of the call in which it was run, because that context is freed. */
static void
run_with_fork (AForkProcess *process)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  while (afork_process_get_pid (fork) == 0)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  connection = afork_process_run (process, "echo", NULL, &error);
  g_assert_no_error (error);

  g_clear_object (&fork);
  finish_process (process, connection);
}

static void
test_blocking_with_fork (void)
{
  g_autoptr(AForkProcess) template = make_template ();
  g_autoptr(AForkProcess) process = afork_process_fork (template);

  run_with_fork (process);
  afork_process_force_exit (template);
  await_end (template);
}

/* The parent is a child of this program, and is reaped in the context to which it belongs. */
static void
test_blocking_with_fork_executed (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  Census census;

  g_main_context_push_thread_default (context);
  census_count (&census);
  process = make_template ();
  run_with_fork (process);
  census_await (&census);
  g_main_context_pop_thread_default (context);
}

typedef struct
{
  AForkProcess *template;
  AForkProcess *process;
  guint         n_calls;
} Nested;

static void
run_another_cb (AForkProcess *process,
                GParamSpec   *pspec,
                gpointer      data)
{
  Nested *nested = data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  if (afork_process_get_state (process) != AFORK_PROCESS_STATE_RUNNING)
    return;

  nested->n_calls++;
  connection = afork_process_run (nested->process, "echo", NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&connection);
  g_assert_true (afork_process_wait (nested->process, NULL, &error));
  g_assert_no_error (error);
}

/* A blocking call in a handler of another blocking call: both return. */
static void
test_blocking_nested (void)
{
  g_autoptr(AForkProcess) template = make_template ();
  g_autoptr(AForkProcess) outer = afork_process_fork (template);
  g_autoptr(AForkProcess) inner = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Nested nested = { template, inner, 0 };

  g_signal_connect (outer, "notify::state", G_CALLBACK (run_another_cb), &nested);
  connection = afork_process_run (outer, "echo", NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (nested.n_calls, ==, 1);
  assert_exit_status (inner, 0);

  g_clear_object (&connection);
  g_assert_true (afork_process_wait (outer, NULL, &error));
  g_assert_no_error (error);
  assert_exit_status (outer, 0);
}

static void
wait_for_other_cb (AForkProcess *process,
                   int           wait_status,
                   gpointer      data)
{
  Nested *nested = data;

  nested->n_calls++;
  await_end (nested->process);
}

static void
block_for_other_cb (AForkProcess *process,
                    int           wait_status,
                    gpointer      data)
{
  Nested *nested = data;
  g_autoptr(GError) error = NULL;

  nested->n_calls++;
  g_assert_true (afork_process_wait (nested->process, NULL, &error));
  g_assert_no_error (error);
}

/* A handler that is called for one report of a template waits for the next one. */
static void
test_handler_waits (gconstpointer handler)
{
  g_autoptr(AForkProcess) template = make_template ();
  g_autoptr(GSocketConnection) first_connection = NULL;
  g_autoptr(GSocketConnection) second_connection = NULL;
  g_autoptr(AForkProcess) first = start_echo (template, &first_connection);
  g_autoptr(AForkProcess) second = start_echo (template, &second_connection);
  Nested nested = { template, second, 0 };

  g_signal_connect (first, "exited", G_CALLBACK (handler), &nested);
  g_clear_object (&first_connection);
  g_clear_object (&second_connection);
  await_end (first);
  g_assert_cmpuint (nested.n_calls, ==, 1);
  await_end (second);
  assert_exit_status (second, 0);
}

static void
test_nested_context (void)
{
  test_handler_waits (wait_for_other_cb);
}

static void
test_nested_blocking_wait (void)
{
  test_handler_waits (block_for_other_cb);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/blocking/others", test_blocking_others);
  add_test ("/blocking/in-turn", test_blocking_in_turn);
  add_test ("/blocking/nested", test_blocking_nested);
  add_test ("/blocking/with-fork", test_blocking_with_fork);
  add_test ("/blocking/with-fork/executed", test_blocking_with_fork_executed);
  add_test ("/handler/nested-context", test_nested_context);
  add_test ("/handler/blocking-wait", test_nested_blocking_wait);

  return g_test_run ();
}
