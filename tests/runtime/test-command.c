/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Runtimes that execute a command, which in turn starts a server. */

#include "config.h"

#include "test-inspect-util.h"
#include "test-rpc-util.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE_SIZE = 300 * 1000 };

static AForkRuntime *
new_server_command (void)
{
  const char *argv[] = { g_getenv ("AFORK_SERVER"), NULL };

  return afork_runtime_new_command ("relayed", argv);
}

static void
test_command_relayed (Census        *census,
                      gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) fork_of_fork = NULL;
  g_autofree char *of_process = NULL;
  g_autofree char *of_fork = NULL;
  g_autofree char *of_fork_of_fork = NULL;
  g_autofree char *large = g_strnfill (LARGE_SIZE, 'x');
  Census begun;

  afork_process_require (process, "describe");
  afork_process_send_arg (process, "of all");
  afork_process_send_arg (process, large);
  fork = afork_process_fork (process);
  afork_process_send_arg (fork, "of the forks");
  fork_of_fork = afork_process_fork (fork);
  afork_process_send_arg (fork_of_fork, "of one");
  afork_process_send_arg (process, "");
  g_assert_cmpstr (afork_process_get_title (fork), ==, "template relayed");

  /* Nothing is executed before the process is run. */
  iterate ();
  census_begin (&begun);
  g_assert_cmpuint (begun.n_fds, ==, census->n_fds);
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_STARTING);
  g_assert_cmpint (afork_process_get_pid (process), ==, 0);

  of_process = run_to_end (process, "describe");
  of_fork = run_to_end (fork, "describe");
  of_fork_of_fork = run_to_end (fork_of_fork, "describe");
  g_assert_true (g_str_has_prefix (of_fork_of_fork, of_fork));
  g_assert_false (g_str_has_prefix (of_fork, of_process));
  g_assert_cmpuint (strlen (of_fork_of_fork), >, strlen (of_fork));
  g_assert_cmpint (afork_process_get_pid (fork), !=, afork_process_get_pid (process));
}

static void
test_command_child (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(AForkProcess) other = afork_process_new_for_runtime (runtime);
  g_autofree char *own_pid = g_strdup_printf ("%d", getpid ());
  g_autofree char *output = NULL;
  g_autofree char *error_output = NULL;

  /* It is not a fork, and its standard output is not the command socket. */
  assert_report (process, "process", "parent", own_pid);
  output = get_report (fork, "descriptors", "1");
  error_output = get_report (other, "descriptors", "2");
  g_assert_cmpstr (output, ==, error_output);
}

static void
test_command_refuses_fds (Census        *census,
                          gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  g_autoptr(AForkProcess) sent = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) mapped = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;

  afork_process_send_fd (sent, STDIN_FILENO);
  fork = afork_process_fork (sent);
  afork_process_map_fd (mapped, STDIN_FILENO, STDIN_FILENO);
  expect_run_error (sent, "done", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "relayed");
  expect_run_error (mapped, "done", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "relayed");
  expect_run_error (fork, "done", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "relayed");
}

/* A process that was not started can still be killed, dropped and waited for. */
static void
test_command_unstarted (Census        *census,
                        gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  g_autoptr(AForkProcess) killed = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) signalled = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) cancelled = afork_process_new_for_runtime (runtime);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  g_object_unref (afork_process_send_arg (afork_process_new_for_runtime (runtime), "dropped"));

  afork_process_wait_async (killed, NULL, store_result_cb, &result);
  afork_process_force_exit (killed);
  await_result (&result);
  g_assert_false (afork_process_wait_finish (killed, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  expect_run_error (killed, "done", AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);

  afork_process_send_signal (signalled, SIGHUP);
  expect_run_error (signalled, "done", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  assert_term_signal (signalled, SIGHUP);

  g_cancellable_cancel (cancellable);
  connection = afork_process_run (cancelled, "done", cancellable, &error);
  g_assert_null (connection);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  await_end (cancelled);
}

/* All its processes get the commands of its template, although none is forked. */
static void
test_command_template (Census        *census,
                       gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  AForkProcess *template = afork_runtime_get_template (runtime);

  afork_process_require (template, "describe");
  afork_process_call (template, "remember", (const char * const []) { "one", NULL });
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

      assert_answer (process, "recall", "1 3");
    }
  g_assert_true (afork_runtime_get_template (runtime) == template);

  /* Properties that change apply to all processes that are executed after that. */
  afork_runtime_set_working_directory (runtime, "/");
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
      g_autoptr(AForkProcess) in_folder = afork_process_fork (process);

      assert_answer (process, "recall", "1 3");
      assert_report (in_folder, "process", "folder", "/");
    }
}

static void
test_command_with_fds (Census        *census,
                       gconstpointer  data)
{
  const char *argv[] = { "env", "AFORK_A=by env", g_getenv ("AFORK_SERVER"), NULL };
  g_autoptr(AForkRuntime) runtime = g_object_new (AFORK_TYPE_RUNTIME, "name", "env",
                                                  "argv", argv, "can-fork", TRUE,
                                                  "can-pass-fds", TRUE, NULL);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) other = afork_process_new_for_runtime (runtime);
  g_autofree char *description G_GNUC_UNUSED = NULL;
  g_autofree char *expected = NULL;
  struct stat status;
  int fd = memfd_create ("item", MFD_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_no_errno (fstat (fd, &status));
  expected = g_strdup_printf ("fd %" G_GUINT64_FORMAT " 0\n", (guint64) status.st_ino);
  afork_process_require (process, "describe");
  afork_process_send_fd (process, fd);
  close (fd);
  fork = afork_process_fork (process);
  assert_answer (fork, "describe", expected);
  assert_answer (process, "describe", expected);
  assert_report (other, "environment", "AFORK_A", "by env");
}

/* A command that never answers as a server: one that is executed when it is run, one that is
 * executed as a template, and another program in place of the native runtime's. It has a child that
 * keeps the socket until the pipe is closed. */
static void
test_command_silent (Census        *census,
                     gconstpointer  data)
{
  const char *argv[] = { "sleep", "1000", NULL };
  AForkRuntime *native = afork_runtime_get_native ();
  g_autoptr(AForkRuntime) relayed = afork_runtime_new_command ("relayed", argv);
  g_autoptr(AForkRuntime) forking = g_object_new (AFORK_TYPE_RUNTIME, "name", "forking",
                                                  "argv", argv, "can-fork", TRUE,
                                                  "can-pass-fds", TRUE, NULL);
  AForkRuntime *runtimes[] = { relayed, forking, native };
  g_autofree char *folder = g_dir_make_tmp ("afork-command-XXXXXX", NULL);
  g_autofree char *pipe_path = g_build_filename (folder, "pipe", NULL);
  g_autofree char *script = g_strdup_printf ("cat %s > /dev/null 2>&1; exit 1", pipe_path);
  int pipe_fd;

  g_assert_no_errno (mkfifo (pipe_path, 0600));
  pipe_fd = open (pipe_path, O_RDWR | O_CLOEXEC);
  g_assert_no_errno (pipe_fd);
  afork_runtime_set_argv (native, (const char * const []) { "sh", "-c", script, NULL });
  for (guint i = 0; i < G_N_ELEMENTS (runtimes); i++)
    {
      const char *name = runtimes[i] == native ? "“sh”" : "“sleep”";
      g_autoptr(AForkProcess) process = NULL;
      g_autoptr(AForkProcess) fresh = NULL;

      g_assert_cmpuint (afork_runtime_get_start_timeout (runtimes[i]), ==, 30000);
      g_object_set (runtimes[i], "start-timeout", 200, NULL);
      process = afork_process_new_for_runtime (runtimes[i]);
      fresh = afork_process_new_exec (runtimes[i]);
      expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_SPAWN, name);
      expect_run_error (fresh, "done", AFORK_ERROR, AFORK_ERROR_SPAWN, "within 0.2 seconds");
      assert_term_signal (fresh, SIGKILL);
      afork_runtime_set_template (runtimes[i], NULL);
      afork_runtime_set_start_timeout (runtimes[i], 30000);
    }
  afork_runtime_set_argv (native, NULL);
  unlink (pipe_path);
  close (pipe_fd);
  rmdir (folder);
}

/* An asynchronous run, and one whose process is dropped meanwhile. */
static void
test_command_silent_async (Census        *census,
                           gconstpointer  data)
{
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("silent", (const char * const [])
                                                               { "sleep", "1000", NULL });
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  AForkProcess *process;

  afork_runtime_set_start_timeout (runtime, 100);
  process = afork_process_new_for_runtime (runtime);
  afork_process_run_async (process, "done", NULL, store_result_cb, &result);
  g_object_unref (process);
  await_result (&result);
  g_assert_null (afork_process_run_finish (process, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_nonnull (strstr (error->message, "“sleep”"));
}

/* Calls with the default properties of the object. */

static AForkRpc *
new_command_rpc (const char *module,
                 const char *function,
                 gboolean    trusted)
{
  g_autoptr(AForkRuntime) runtime = new_server_command ();
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_require (process, module);
  if (trusted)
    return afork_rpc_new (process, function);

  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", function, "trusted", FALSE, NULL);
}

static void
test_command_calls (Census        *census,
                    gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_command_rpc ("calls", "calls_echo", TRUE);
  g_autoptr(GAsyncResult) result = NULL;

  g_assert_false (afork_process_get_die_with_parent (afork_rpc_get_process (rpc)));
  afork_rpc_call_async (rpc, g_variant_new_uint32 (7), NULL, store_result_cb, &result);
  expect_uint32 (rpc, &result, 7);
  close_rpc (rpc);
}

/* Blobs of all sizes, which are sent in different ways elsewhere. Here they are sent inline, and no
 * memory is shared. */
static void
check_blobs (gboolean trusted)
{
  static const gsize sizes[] = { 1, 32 * 1024 - 1, 32 * 1024, 1024 * 1024, 33 * 1024 * 1024 };
  g_autoptr(AForkRpc) rpc = new_command_rpc ("blobs", "blobs_make", trusted);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *bytes = g_strnfill (sizes[i], 'c');
      g_autoptr(GBytes) blob = g_bytes_new (bytes, sizes[i]);
      g_autoptr(AForkJob) job = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;
      GBytes **blobs;
      gsize n_blobs;

      job = afork_job_new (g_variant_new ("(uuu)", (guint32) sizes[i], 1u, (guint32) 'c'));
      afork_job_add_blob (job, blob);
      value = run_job (rpc, job, &error);
      g_assert_no_error (error);
      /* The number of segments that are mapped there. */
      assert_uint32 (value, 0);
      blobs = afork_job_get_result_blobs (job, &n_blobs);
      g_assert_cmpuint (n_blobs, ==, 2);
      g_assert_true (g_bytes_equal (blobs[0], blob));
      g_assert_true (g_bytes_equal (blobs[1], blob));
    }
  close_rpc (rpc);
}

static void
test_command_blobs (Census        *census,
                    gconstpointer  data)
{
  check_blobs (TRUE);
}

static void
test_command_blobs_untrusted (Census        *census,
                              gconstpointer  data)
{
  check_blobs (FALSE);
}

/* A call with descriptors fails, and so does an answer with descriptors. */
static void
test_command_fds (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkRpc) rpc = new_command_rpc ("bounds", "bounds_do", TRUE);
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  assert_serves (rpc);
  job = new_fd_job ("reverse", 0, dup (STDERR_FILENO));
  g_assert_null (run_job (rpc, job, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "Descriptors");
  assert_serves (rpc);
  begin_call (rpc, "fds", 3, NULL, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "Descriptors");
  assert_serves (rpc);
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_census ("/command/relayed", test_command_relayed);
  add_with_census ("/command/child", test_command_child);
  add_with_census ("/command/refuses-fds", test_command_refuses_fds);
  add_with_census ("/command/unstarted", test_command_unstarted);
  add_with_census ("/command/template", test_command_template);
  add_with_census ("/command/with-fds", test_command_with_fds);
  add_with_census ("/command/silent", test_command_silent);
  add_with_census ("/command/silent-async", test_command_silent_async);
  add_with_census ("/command/calls/value", test_command_calls);
  add_with_census ("/command/calls/blobs", test_command_blobs);
  add_with_census ("/command/calls/blobs-untrusted", test_command_blobs_untrusted);
  add_with_census ("/command/calls/fds", test_command_fds);

  return g_test_run ();
}
