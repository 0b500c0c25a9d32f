/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that execute programs. */

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-util.h"

static GSocketConnection *
exec_process (AForkProcess        *process,
              const char * const  *argv,
              GError             **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_exec_async (process, argv, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_process_exec_finish (process, result, error);
}

/* Returns what PROCESS writes when it executes ARGV, and its exit status. */
static char *
exec_to_end (AForkProcess       *process,
             const char * const *argv,
             int                 exit_status)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;

  connection = exec_process (process, argv, &error);
  g_assert_no_error (error);
  g_assert_nonnull (connection);
  output = read_to_end (connection, NULL);
  await_end (process);
  assert_exit_status (process, exit_status);
  return g_steal_pointer (&output);
}

static void
test_exec_fork (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *output = exec_to_end (process, STRV ("echo", "two", "words"), 0);

  g_assert_cmpstr (output, ==, "two words\n");
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_EXITED);
}

static void
test_exec_fresh (void)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autofree char *output = exec_to_end (process, STRV ("sh", "-c", "echo $$; exit 7"), 7);

  g_assert_cmpint (atoi (output), ==, afork_process_get_pid (process));
}

static void
test_exec_blocking (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;

  connection = afork_process_exec (process, STRV ("echo", "here"), NULL, &error);
  g_assert_no_error (error);
  output = read_to_end (connection, NULL);
  g_assert_cmpstr (output, ==, "here\n");
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
}

/* Both directions of the socket: cat reads what is written, and writes it back. */
static void
test_exec_conversation (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;
  GOutputStream *input;

  connection = exec_process (process, STRV ("cat"), &error);
  g_assert_no_error (error);
  input = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_assert_true (g_output_stream_write_all (input, "ping", 4, NULL, NULL, &error));
  output = read_echo (connection);
  g_assert_cmpstr (output, ==, "ping");
  await_end (process);
}

static void
test_exec_prepared (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *output = NULL;

  afork_process_chdir (process, "/proc");
  afork_process_setenv (process, "AFORK_TEST_WORD", "set");
  afork_process_setenv (process, "HOME", NULL);
  output = exec_to_end (process, STRV ("sh", "-c", "pwd; echo $AFORK_TEST_WORD ${HOME-unset}"), 0);
  g_assert_cmpstr (output, ==, "/proc\nset unset\n");
}

/* PATH is that of the process. */
static void
test_exec_path (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_setenv (process, "PATH", "/nowhere");
  connection = exec_process (process, STRV ("echo"), &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  await_end (process);
}

static void
test_exec_mapped (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *path = NULL;
  g_autofree char *output = NULL;
  g_autofree char *text = NULL;
  int fd = g_file_open_tmp (NULL, &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  afork_process_map_fd (process, fd, 1);
  afork_process_map_fd (process, fd, 9);
  output = exec_to_end (process, STRV ("sh", "-c", "echo one; echo nine >&9; echo socket >&0"), 0);
  g_assert_cmpstr (output, ==, "socket\n");
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "one\nnine\n");
  g_unlink (path);
  close (fd);
}

/* Standard input from a file, and standard error to it; standard output is the socket as usual. */
static void
test_exec_mapped_input (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *path = NULL;
  g_autofree char *output = NULL;
  g_autofree char *text = NULL;
  int fd = g_file_open_tmp (NULL, &path, NULL);
  int input, errors;

  g_assert_cmpint (fd, >=, 0);
  close (fd);
  g_assert_true (g_file_set_contents (path, "one line\n", -1, NULL));
  input = g_open (path, O_RDONLY | O_CLOEXEC, 0);
  errors = g_open (path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  afork_process_map_fd (process, input, 0);
  afork_process_map_fd (process, errors, 2);
  close (input);
  close (errors);
  output = exec_to_end (process, STRV ("sh", "-c", "read line; echo $line; echo error >&2"), 0);
  g_assert_cmpstr (output, ==, "one line\n");
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "one line\nerror\n");
  g_unlink (path);
}

/* A program has only what it was given, and no items. */
static void
test_exec_descriptors (void)
{
  g_autoptr(AForkProcess) template = afork_process_new ();
  g_autoptr(AForkProcess) sibling = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;
  int fd = open ("/dev/null", O_RDONLY);

  afork_process_require (template, "echo");
  sibling = afork_process_fork (template);
  connection = run_process_ok (sibling, "echo");
  afork_process_send_fd (template, fd);
  close (fd);
  process = afork_process_fork (template);
  output = exec_to_end (process, STRV ("sh", "-c", "cd /proc/$$/fd; echo *"), 0);
  /* 3 is the directory that the shell reads. */
  g_assert_cmpstr (output, ==, "0 1 2 3\n");
}

/* A program whose first line does not name an interpreter. */
static void
test_exec_script (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autofree char *path = NULL;
  g_autofree char *output = NULL;
  int fd = g_file_open_tmp (NULL, &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  close (fd);
  g_assert_true (g_file_set_contents (path, "echo $1", -1, NULL));
  g_assert_no_errno (g_chmod (path, 0700));
  output = exec_to_end (process, STRV (path, "argument"), 0);
  g_assert_cmpstr (output, ==, "argument\n");
  g_unlink (path);
}

static void
expect_exec_error (const char *program,
                   const char *text)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  /* A directory in the path that may not be searched would be another reason. */
  afork_process_setenv (process, "PATH", "/usr/bin:/bin");
  connection = exec_process (process, STRV (program), &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, program));
  g_assert_nonnull (strstr (error->message, text));
  await_end (process);
  g_assert_false (afork_process_get_term_signal (process, NULL));
}

static void
test_exec_failure (void)
{
  expect_exec_error ("/no/such/program", g_strerror (ENOENT));
  expect_exec_error ("no-such-program-in-path", g_strerror (ENOENT));
  expect_exec_error ("/etc/passwd", g_strerror (EACCES));
  expect_exec_error ("/proc", g_strerror (EACCES));
}

/* The error is that of the earlier failure, and not that nothing was executed. */
static void
test_exec_failed_before (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_require (process, "/no/such/module.so");
  connection = exec_process (process, STRV ("echo"), &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_MODULE);
  await_end (process);
}

/* A process that has forks stays as their parent, and a fork of it executes the program. */
static void
test_exec_with_forks (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;
  g_autofree char *echoed = NULL;

  afork_process_require (process, "echo");
  fork = afork_process_fork (process);
  connection = run_process_ok (fork, "echo");
  output = exec_to_end (process, STRV ("sh", "-c", "echo $$; exit 5"), 5);
  g_assert_cmpint (atoi (output), ==, afork_process_get_pid (process));

  g_assert_cmpint (afork_process_get_state (fork), ==, AFORK_PROCESS_STATE_RUNNING);
  echoed = read_echo (connection);
  await_end (fork);
  assert_exit_status (fork, 0);
}

static void
test_exec_once (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) second = NULL;
  g_autoptr(GError) error = NULL;

  connection = exec_process (process, STRV ("cat"), &error);
  g_assert_no_error (error);
  second = run_process (process, "echo", &error);
  g_assert_null (second);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_object (&connection);
  await_end (process);
}

static void
test_exec_cancelled (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_exec_async (process, STRV ("cat"), cancellable, store_result_cb, &result);
  g_cancellable_cancel (cancellable);
  await_result (&result);
  connection = afork_process_exec_finish (process, result, &error);
  g_assert_null (connection);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  await_end (process);
}

static void
test_exec_many (void)
{
  g_autoptr(GPtrArray) processes = g_ptr_array_new_with_free_func (g_object_unref);
  GAsyncResult *results[64] = { NULL };

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      AForkProcess *process = afork_process_new ();

      g_ptr_array_add (processes, process);
      afork_process_exec_async (process, STRV ("true"), NULL, store_result_cb, &results[i]);
    }

  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      connection = afork_process_exec_finish (g_ptr_array_index (processes, i), results[i], &error);
      g_assert_no_error (error);
      await_end (g_ptr_array_index (processes, i));
      assert_exit_status (g_ptr_array_index (processes, i), 0);
      g_object_unref (results[i]);
    }
}

static void
test_exec_relayed (void)
{
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("relayed", STRV (server[0]));
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = exec_process (process, STRV ("true"), &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED);
}

/* Runs a test, and counts what it leaves behind. */
/* A program does not ignore the signals that a template ignores. */
static void
test_exec_signals (void)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = i == 0 ? afork_process_new ()
                                               : afork_process_new_exec (NULL);
      g_autofree char *output = NULL;

      output = exec_to_end (process, STRV ("grep", "SigIgn", "/proc/self/status"), 0);
      g_assert_true (g_str_has_prefix (output, "SigIgn:"));
      /* The C library uses two of them itself. */
      g_assert_cmphex (g_ascii_strtoull (output + strlen ("SigIgn:\t"), NULL, 16)
                       & ~(G_GUINT64_CONSTANT (3) << 31), ==, 0);
    }
}

static void
test_exec_signals_kept (void)
{
  const int numbers[] = { SIGINT, SIGTERM };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new ();
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      afork_process_send_signal (process, numbers[i]);
      connection = exec_process (process, STRV ("cat"), &error);
      g_assert_no_error (error);
      await_end (process);
      assert_term_signal (process, numbers[i]);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/exec/fork", test_exec_fork);
  add_test ("/exec/fresh", test_exec_fresh);
  add_test ("/exec/blocking", test_exec_blocking);
  add_test ("/exec/conversation", test_exec_conversation);
  add_test ("/exec/prepared", test_exec_prepared);
  add_test ("/exec/path", test_exec_path);
  add_test ("/exec/mapped", test_exec_mapped);
  add_test ("/exec/mapped-input", test_exec_mapped_input);
  add_test ("/exec/script", test_exec_script);
  add_test ("/exec/failure", test_exec_failure);
  add_test ("/exec/failed-before", test_exec_failed_before);
  add_test ("/exec/with-forks", test_exec_with_forks);
  add_test ("/exec/once", test_exec_once);
  add_test ("/exec/cancelled", test_exec_cancelled);
  add_test ("/exec/many", test_exec_many);
  add_test ("/exec/relayed", test_exec_relayed);
  add_test ("/exec/descriptors", test_exec_descriptors);
  add_test ("/exec/signals", test_exec_signals);
  add_test ("/exec/signals/kept", test_exec_signals_kept);

  return g_test_run ();
}
