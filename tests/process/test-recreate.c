/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that are created again from their commands, after they were killed or before, and
 * processes of which this is impossible. */

#include "test-util.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-inspect-util.h"

static AForkProcess *
recreate (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;
  AForkProcess *again = afork_process_recreate (process, &error);

  g_assert_no_error (error);
  return again;
}

static void
assert_impossible (AForkProcess *process,
                   int           code,
                   const char   *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_process_recreate (process, &error));
  g_assert_error (error, AFORK_ERROR, code);
  if (strstr (error->message, text) == NULL)
    g_error ("“%s” is not in “%s”", text, error->message);
}

static void
kill_process (AForkProcess *process)
{
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (process, SIGKILL);
  await_end (process);
}

static void
assert_echo (AForkProcess *process,
             const char   *expected)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "echo");
  g_autofree char *text = read_echo (connection);

  g_assert_cmpstr (text, ==, expected);
  await_end (process);
  assert_exit_status (process, 0);
}

/* All commands are repeated: those of the process, of its template and of the default template, in
 * this order; also those that the process was given after its exit. */
static void
test_commands (void)
{
  g_autofree char *large = g_strnfill (100 * 1000, 'x');
  g_autofree char *expected = g_strdup_printf ("default one%stwo", large);
  g_autoptr(GBytes) bytes = g_bytes_new (large, strlen (large));
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) again = NULL;
  g_autoptr(AForkProcess) third = NULL;
  g_autoptr(AForkProcess) of_again = NULL;

  afork_process_send_arg (afork_runtime_get_template (afork_runtime_get_native ()), "default ");
  template = new_module_process ("echo");
  afork_process_send_arg (template, "one");
  fork = afork_process_fork (template);
  afork_process_send_arg (template, "not in the fork");
  afork_process_set_title (fork, "title");
  afork_process_send_bytes (fork, bytes);
  kill_process (fork);
  afork_process_send_arg (fork, "two");

  again = recreate (fork);
  g_assert_cmpstr (afork_process_get_title (again), ==, "title");
  third = recreate (again);
  afork_process_send_arg (third, "!");
  of_again = afork_process_fork (again);
  assert_echo (again, expected);
  assert_echo (of_again, expected);
  g_free (g_steal_pointer (&expected));
  expected = g_strdup_printf ("default one%stwo!", large);
  assert_echo (third, expected);
}

static void
test_properties (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("inspect");
  g_autoptr(AForkProcess) again = NULL;
  Inspection inspection;

  afork_process_setenv (process, "WORD", "here");
  afork_process_chdir (process, "/");
  afork_process_set_die_with_parent (process, TRUE);
  afork_process_set_spare (process, 2);
  kill_process (process);

  again = recreate (process);
  g_assert_true (afork_process_get_die_with_parent (again));
  g_assert_cmpuint (afork_process_get_spare (again), ==, 2);
  g_assert_true (afork_process_get_runtime (again) == afork_process_get_runtime (process));
  afork_process_send_arg (again, "WORD");
  inspection_begin (&inspection, again);
  inspection_assert_value (&inspection, "environment", "WORD", "here");
  inspection_assert_value (&inspection, "process", "folder", "/");
  inspection_end (&inspection);
}

/* A command that fails does so again. */
static void
test_failure (void)
{
  g_autoptr(AForkProcess) missing = new_module_process ("no-such-module");
  g_autoptr(AForkProcess) wrong = afork_process_new ();
  g_autoptr(AForkProcess) again = NULL;

  expect_run_error (missing, "echo", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
  assert_impossible (missing, AFORK_ERROR_CLOSED, "was run");
  g_clear_object (&missing);

  missing = new_module_process ("no-such-module");
  await_end (missing);
  again = recreate (missing);
  expect_run_error (again, "echo", AFORK_ERROR, AFORK_ERROR_MODULE, "no-such-module");
  g_clear_object (&again);

  afork_process_setenv (wrong, "", "value");
  await_end (wrong);
  again = recreate (wrong);
  expect_run_error (again, "echo", AFORK_ERROR, AFORK_ERROR_FAILED, "environment variable");
}

/* Descriptors are not kept, but those of the template of a runtime are. */
static void
test_descriptors (void)
{
  AForkProcess *of_runtime = afork_runtime_get_template (afork_runtime_get_native ());
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) mapped = new_module_process ("echo");
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) again = NULL;
  Inspection inspection;
  int fd = open_file ();

  afork_process_send_fd (of_runtime, fd);
  process = new_module_process ("inspect");
  again = recreate (process);
  inspection_begin (&inspection, again);
  inspection_assert_item (&inspection, 0, fd);
  inspection_end (&inspection);

  afork_process_send_fd (process, fd);
  fork = afork_process_fork (process);
  afork_process_send_arg (fork, "more");
  afork_process_map_fd (mapped, fd, 50);
  close (fd);
  kill_process (process);
  assert_impossible (process, AFORK_ERROR_NOT_SUPPORTED, "descriptor was sent");
  assert_impossible (fork, AFORK_ERROR_NOT_SUPPORTED, "descriptor was sent");
  assert_impossible (mapped, AFORK_ERROR_NOT_SUPPORTED, "descriptor was sent");
}

static void
note_freed_cb (gpointer data)
{
  *(gboolean *) data = TRUE;
}

/* Items are kept until they are too large together, or the process is run. */
static void
test_size (void)
{
  const gsize size = 600 * 1024;
  g_autofree char *data = g_strnfill (size, 'x');
  g_autoptr(AForkProcess) process = new_module_process ("echo");
  g_autoptr(AForkProcess) again = NULL;
  gboolean freed[2] = { FALSE, FALSE };

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GBytes) bytes = NULL;

      if (i == 1)
        {
          await_state (process, AFORK_PROCESS_STATE_PREPARING);
          g_assert_false (freed[0]);
          again = recreate (process);
        }
      bytes = g_bytes_new_with_free_func (data, size, note_freed_cb, &freed[i]);
      afork_process_send_bytes (process, bytes);
    }

  assert_impossible (process, AFORK_ERROR_NOT_SUPPORTED, "too large");
  while (!freed[1])
    g_main_context_iteration (NULL, TRUE);
  g_assert_false (freed[0]);
  {
    g_autoptr(GSocketConnection) connection = run_process_ok (again, "echo");
    g_autofree char *text = read_echo (connection);

    g_assert_cmpuint (strlen (text), ==, size);
    g_assert_true (freed[0]);
  }
  await_end (again);
}

static void
test_runtimes (void)
{
  const char *server = g_getenv ("AFORK_SERVER");
  g_autoptr(AForkRuntime) command = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) again = NULL;
  g_autoptr(AForkProcess) taken = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  /* A runtime that cannot fork. */
  command = afork_runtime_new_command ("test", (const char * const []) { server, NULL });
  process = afork_process_new_for_runtime (command);
  afork_process_require (process, "echo");
  afork_process_send_arg (process, "text");
  again = recreate (process);
  assert_echo (again, "text");
  assert_echo (process, "text");
  assert_impossible (process, AFORK_ERROR_CLOSED, "was run");
  g_clear_object (&again);
  g_clear_object (&process);

  /* A process that was detached and taken over. */
  process = new_module_process ("echo");
  afork_process_detach_async (process, NULL, store_result_cb, &result);
  await_result (&result);
  fd = afork_process_detach_finish (process, result, &error);
  g_assert_no_error (error);
  assert_impossible (process, AFORK_ERROR_CLOSED, "detached");
  taken = afork_process_new_from_fd (fd);
  again = afork_process_fork (taken);
  assert_impossible (taken, AFORK_ERROR_NOT_SUPPORTED, "taken over");
  assert_impossible (again, AFORK_ERROR_NOT_SUPPORTED, "taken over");
}

/* A template of the program cannot be made again, and neither can forks of it. */
static void
test_program (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) template = afork_process_new_template (&error);
  g_autoptr(AForkProcess) fork = NULL;

  g_assert_no_error (error);
  fork = afork_process_fork (template);
  assert_impossible (template, AFORK_ERROR_NOT_SUPPORTED, "of the program itself");
  assert_impossible (fork, AFORK_ERROR_NOT_SUPPORTED, "of the program itself");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/recreate/commands", test_commands);
  add_test ("/recreate/properties", test_properties);
  add_test ("/recreate/failure", test_failure);
  add_test ("/recreate/descriptors", test_descriptors);
  add_test ("/recreate/size", test_size);
  add_test ("/recreate/runtimes", test_runtimes);
  add_in_program ("/recreate/program", test_program);
  return g_test_run ();
}
