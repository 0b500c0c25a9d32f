/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes that one caller hands to another. */

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test-util.h"

/* From include/uapi/asm-generic/socket.h, for a C library that is older than the kernel. */
#ifndef SO_PASSPIDFD
# define SO_PASSPIDFD 76
#endif

static int
detach_process (AForkProcess  *process,
                GError       **error)
{
  g_autoptr(GAsyncResult) result = NULL;

  afork_process_detach_async (process, NULL, store_result_cb, &result);
  await_result (&result);
  return afork_process_detach_finish (process, result, error);
}

static int
detach_process_ok (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;
  int fd = detach_process (process, &error);

  g_assert_no_error (error);
  g_assert_cmpint (fd, >, STDERR_FILENO);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  return fd;
}

static void
expect_detach_error (AForkProcess *process,
                     int           code)
{
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (detach_process (process, &error), ==, -1);
  g_test_message ("%s", error->message);
  g_assert_error (error, AFORK_ERROR, code);
}

/* What is known about the exit of a process that was taken over depends on the kernel. */
static void
assert_end_seen (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;

  if (wait_process (process, &error))
    assert_exit_status (process, 0);
  else
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_LOST);
}

static AForkProcess *
make_echo (const char *text)
{
  AForkProcess *process = afork_process_new ();

  afork_process_require (process, "echo");
  afork_process_send_arg (process, text);
  return process;
}

static void
assert_taken_over (AForkProcess *process,
                   AForkProcess *taken,
                   const char   *text)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;

  connection = run_process_ok (taken, "echo");
  g_assert_cmpint (afork_process_get_state (taken), ==, AFORK_PROCESS_STATE_RUNNING);
  output = read_echo (connection);
  g_assert_cmpstr (output, ==, text);
  assert_end_seen (taken);

  await_end (process);
  g_assert_cmpint (afork_process_get_pid (process), ==, afork_process_get_pid (taken));
  assert_exit_status (process, 0);
}

/* Items that were queued before and after arrive in order. */
static void
test_detach_fork (void)
{
  g_autoptr(AForkProcess) process = make_echo ("one, ");
  g_autoptr(AForkProcess) taken = NULL;

  taken = afork_process_new_from_fd (detach_process_ok (process));
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_PREPARING);
  g_assert_cmpint (afork_process_get_state (taken), ==, AFORK_PROCESS_STATE_STARTING);
  afork_process_send_arg (taken, "two");
  assert_taken_over (process, taken, "one, two");
}

static void
test_detach_fresh (void)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) taken = NULL;

  taken = afork_process_new_from_fd (detach_process_ok (process));
  afork_process_require (taken, "echo");
  assert_taken_over (process, taken, "");
}

static void
test_detach_blocking (void)
{
  g_autoptr(AForkProcess) process = make_echo ("text");
  g_autoptr(AForkProcess) taken = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  fd = afork_process_detach (process, NULL, &error);
  g_assert_no_error (error);
  taken = afork_process_new_from_fd (fd);
  assert_taken_over (process, taken, "text");
}

/* Several times, without a reply of the process in between. */
static void
test_detach_chain (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  AForkProcess *taken = g_object_ref (process);

  for (guint i = 0; i < 20; i++)
    {
      int fd = detach_process_ok (taken);

      g_object_unref (taken);
      taken = afork_process_new_from_fd (fd);
      afork_process_send_arg (taken, "x");
    }

  assert_taken_over (process, taken, "xxxxxxxxxxxxxxxxxxxx");
  g_object_unref (taken);
}

/* The pid of a process that was taken over is known without a command. */
static void
test_detach_known (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(AForkProcess) taken = NULL;

  taken = afork_process_new_from_fd (detach_process_ok (process));
  while (afork_process_get_state (taken) < AFORK_PROCESS_STATE_PREPARING)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (afork_process_get_pid (taken), ==, afork_process_get_pid (process));
  afork_process_force_exit (taken);
  await_end (process);
  /* Otherwise its socket is closed, and it exits. */
  if (can_signal_by_pidfd ())
    assert_term_signal (process, SIGKILL);
  await_end (taken);
}

/* Forks that it had belong to the caller that made them; new forks belong to the new caller. */
static void
test_detach_with_forks (void)
{
  g_autoptr(AForkProcess) process = make_echo ("text");
  g_autoptr(AForkProcess) old_fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) old_connection = run_process_ok (old_fork, "echo");
  g_autoptr(AForkProcess) taken = afork_process_new_from_fd (detach_process_ok (process));
  g_autoptr(AForkProcess) new_fork = afork_process_fork (taken);
  g_autoptr(GSocketConnection) new_connection = run_process_ok (new_fork, "echo");
  g_autofree char *old_output = NULL;
  g_autofree char *new_output = NULL;
  guint64 usage[3];

  new_output = read_echo (new_connection);
  g_assert_cmpstr (new_output, ==, "text");
  await_end (new_fork);
  assert_exit_status (new_fork, 0);
  g_assert_true (afork_process_get_usage (new_fork, &usage[0], &usage[1], &usage[2]));
  assert_taken_over (process, taken, "text");

  g_assert_cmpint (afork_process_get_state (old_fork), ==, AFORK_PROCESS_STATE_RUNNING);
  old_output = read_echo (old_connection);
  g_assert_cmpstr (old_output, ==, "text");
  await_end (old_fork);
  assert_exit_status (old_fork, 0);
}

/* A process that is detached while it is busy, and that has a fork to report on. */
static void
test_detach_busy (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(AForkProcess) fork = afork_process_fork (process);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;
  int pipe[2];

  g_unix_open_pipe (pipe, FD_CLOEXEC, &error);
  g_assert_no_error (error);
  afork_process_map_fd (process, pipe[0], 99);
  afork_process_require (process, "faults");
  afork_process_call (process, "call_await", STRV ("99"));
  close (pipe[0]);
  connection = run_process_ok (fork, "echo");

  afork_process_detach_async (process, cancellable, NULL, NULL);
  g_cancellable_cancel (cancellable);
  iterate ();
  close (pipe[1]);
  await_end (process);
  g_clear_object (&connection);
  await_end (fork);
}

/* The process is not taken over. */
static void
test_detach_closed (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");

  close (detach_process_ok (process));
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_detach_dropped (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  AForkProcess *taken;

  taken = afork_process_new_from_fd (detach_process_ok (process));
  g_object_unref (taken);
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_detach_failure (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) fresh = NULL;
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("none", STRV ("/no/such/server"));

  afork_process_require (process, "/no/such/module.so");
  expect_detach_error (process, AFORK_ERROR_MODULE);
  await_end (process);

  fresh = g_object_new (AFORK_TYPE_PROCESS, "runtime", runtime, "fresh", TRUE, NULL);
  expect_detach_error (fresh, AFORK_ERROR_NOT_SUPPORTED);
}

/* Later failures are reported to the new caller. */
static void
test_detach_failure_later (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(AForkProcess) taken = NULL;

  taken = afork_process_new_from_fd (detach_process_ok (process));
  afork_process_require (taken, "/no/such/module.so");
  expect_run_error (taken, "echo", AFORK_ERROR, AFORK_ERROR_MODULE, "/no/such/module.so");
  await_end (process);
}

static void
test_detach_once (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(AForkProcess) ran = make_echo ("");
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int fd = detach_process_ok (process);

  expect_detach_error (process, AFORK_ERROR_CLOSED);
  connection = run_process (process, "echo", &error);
  g_assert_null (connection);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  close (fd);

  connection = run_process_ok (ran, "echo");
  expect_detach_error (ran, AFORK_ERROR_CLOSED);
  finish_process (ran, connection);
}

static void
test_detach_cancelled (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_detach_async (process, cancellable, store_result_cb, &result);
  g_cancellable_cancel (cancellable);
  await_result (&result);
  g_assert_cmpint (afork_process_detach_finish (process, result, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  await_end (process);
}

/* A result that is not used closes the descriptor, so the process exits. */
static void
test_detach_ignored (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");

  afork_process_detach_async (process, NULL, NULL, NULL);
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_detach_no_process (void)
{
  g_autoptr(AForkProcess) file = NULL;
  g_autoptr(AForkProcess) gone = NULL;
  g_autoptr(AForkProcess) remote = NULL;
  g_autoptr(AForkProcess) stranger = NULL;
  int fds[2];
  int on = 1;

  file = afork_process_new_from_fd (open ("/dev/null", O_RDWR));
  expect_run_error (file, "echo", AFORK_ERROR, AFORK_ERROR_FAILED, "not a stream socket");

  /* From Linux 6.16 on, the library detects a socket that does not report its sender. */
  fds[0] = socket (AF_INET, SOCK_STREAM, 0);
  if (fds[0] >= 0 && setsockopt (fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
    {
      remote = afork_process_new_from_fd (fds[0]);
      expect_run_error (remote, "echo", AFORK_ERROR, AFORK_ERROR_FAILED, "which process sends");
    }
  else if (fds[0] >= 0)
    {
      close (fds[0]);
    }

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  close (fds[1]);
  gone = afork_process_new_from_fd (fds[0]);
  expect_run_error (gone, "echo", AFORK_ERROR, AFORK_ERROR_LOST, NULL);

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  g_assert_cmpint (write (fds[1], "HTTP/1.1 200 OK\r\n", 17), ==, 17);
  stranger = afork_process_new_from_fd (fds[0]);
  expect_run_error (stranger, "echo", AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
  close (fds[1]);
}

/* A process that is taken over in a PID namespace in which it has no pid. */

static const char *program;

static int
take_over_elsewhere (const char *fd)
{
  g_autoptr(AForkProcess) taken = afork_process_new_from_fd (atoi (fd));
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run (taken, "echo", NULL, &error);
  g_print ("%s", error != NULL ? error->message : "no error");
  return 0;
}

static void
test_detach_invisible (void)
{
  const char *unshare[] = { "unshare", "--pid", "--fork", NULL, NULL, NULL, NULL };
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(GSubprocessLauncher) launcher = NULL;
  g_autoptr(GSubprocess) subprocess = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  int status = -1;
  int fd;

  unshare[3] = "true";
  if (!g_spawn_sync (NULL, (char **) unshare, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                     &status, NULL)
      || status != 0)
    {
      g_test_skip ("No PID namespace can be made");
      return;
    }

  fd = detach_process_ok (process);
  unshare[3] = program;
  unshare[4] = "--take-over";
  unshare[5] = "99";
  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_subprocess_launcher_take_fd (launcher, fd, 99);
  subprocess = g_subprocess_launcher_spawnv (launcher, unshare, &error);
  g_assert_no_error (error);
  g_subprocess_launcher_close (launcher);
  g_subprocess_communicate_utf8 (subprocess, NULL, NULL, &text, NULL, &error);
  g_assert_no_error (error);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, "PID namespace"));
  await_end (process);
}

/* Returns whether the option of FD could be set. */
static gboolean
set_option (int fd,
            int option)
{
  const int on = 1;

  return setsockopt (fd, SOL_SOCKET, option, &on, sizeof on) == 0;
}

/* With these options, the kernel adds control messages that GLib does not know. The first contains
 * a pidfd, which would stay open. */
static void
test_detach_socket_options (void)
{
  g_autoptr(AForkProcess) process = make_echo ("");
  g_autoptr(AForkProcess) taken = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;
  int fd = detach_process_ok (process);
  gboolean has_pidfd = set_option (fd, SO_PASSPIDFD);
  gboolean has_security = set_option (fd, SO_PASSSEC);
  GSocket *socket;
  int value;

  taken = afork_process_new_from_fd (fd);
  connection = run_process_ok (taken, "echo");
  socket = g_socket_connection_get_socket (connection);
  g_assert_true (g_socket_get_blocking (socket));
  g_assert_true (g_socket_get_option (socket, SOL_SOCKET, SO_PASSCRED, &value, NULL));
  g_assert_cmpint (value, ==, 0);
  if (has_pidfd)
    {
      g_assert_true (g_socket_get_option (socket, SOL_SOCKET, SO_PASSPIDFD, &value, NULL));
      g_assert_cmpint (value, ==, 0);
    }
  if (has_security)
    {
      g_assert_true (g_socket_get_option (socket, SOL_SOCKET, SO_PASSSEC, &value, NULL));
      g_assert_cmpint (value, ==, 0);
    }

  output = read_echo (connection);
  assert_end_seen (taken);
  await_end (process);
  if (!has_pidfd)
    g_test_skip ("This kernel does not send a pidfd with each message");
}

/* The other end of the socket is open, but no process answers. */
static void
test_detach_silent (void)
{
  AForkRuntime *runtime = afork_runtime_get_default ();
  g_autoptr(AForkProcess) taken = NULL;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  afork_runtime_set_start_timeout (runtime, 100);
  taken = afork_process_new_from_fd (fds[0]);
  afork_runtime_set_start_timeout (runtime, 30000);
  expect_run_error (taken, "echo", AFORK_ERROR, AFORK_ERROR_SPAWN, "within 0.1 seconds");
  close (fds[1]);
}

/* The process is dropped before a reply has come. */
static void
test_detach_not_taken (void)
{
  g_autoptr(AForkProcess) taken = NULL;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
  taken = afork_process_new_from_fd (fds[0]);
  afork_process_force_exit (taken);
  close (fds[1]);
  await_end (taken);
}

/* A process of a runtime that cannot fork is only executed now. */
static void
test_detach_unstarted (void)
{
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  g_autoptr(AForkRuntime) runtime = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) taken = NULL;
  g_autoptr(AForkProcess) fork = NULL;

  runtime = g_object_new (AFORK_TYPE_RUNTIME,
                          "name", "unforked",
                          "argv", server,
                          "can-fork", FALSE,
                          "can-pass-fds", TRUE,
                          NULL);
  process = afork_process_new_for_runtime (runtime);
  afork_process_require (process, "echo");
  afork_process_send_arg (process, "kept");
  taken = g_object_new (AFORK_TYPE_PROCESS,
                        "runtime", runtime,
                        "fd", detach_process_ok (process),
                        NULL);
  fork = afork_process_fork (taken);
  expect_run_error (fork, "echo", AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED, "unforked");
  assert_taken_over (process, taken, "kept");
}

static gpointer
thread_main (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) taken = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  char *output;

  g_main_context_push_thread_default (context);
  taken = afork_process_new_from_fd (GPOINTER_TO_INT (data));
  connection = run_process_ok (taken, "echo");
  output = read_echo (connection);
  assert_end_seen (taken);
  g_main_context_pop_thread_default (context);
  return output;
}

static void
test_detach_to_thread (void)
{
  g_autoptr(AForkProcess) process = make_echo ("over there");
  g_autofree char *output = NULL;
  GThread *thread;

  thread = g_thread_new ("taker", thread_main, GINT_TO_POINTER (detach_process_ok (process)));
  await_end (process);
  output = g_thread_join (thread);
  g_assert_cmpstr (output, ==, "over there");
}

/* Three processes: two are given to the third, which continues with them. */
static void
test_detach_three (void)
{
  g_autoptr(AForkProcess) taker = afork_process_new ();
  AForkProcess *processes[2];
  g_autoptr(GSocketConnection) connection = NULL;
  int inputs[2];

  afork_process_require (taker, "adopter");
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;
      int pipe[2], fd;

      g_unix_open_pipe (pipe, FD_CLOEXEC, &error);
      g_assert_no_error (error);
      inputs[i] = pipe[0];
      processes[i] = afork_process_new ();
      fd = detach_process_ok (processes[i]);
      afork_process_send_fd (taker, fd);
      afork_process_send_fd (taker, pipe[1]);
      afork_process_send_arg (taker, i == 0 ? "172" : "174");
      close (fd);
      close (pipe[1]);
    }

  connection = run_process_ok (taker, "attach_and_detach");
  for (guint i = 0; i < 2; i++)
    {
      char text[10] = "";

      await_end (processes[i]);
      assert_exit_status (processes[i], 0);
      g_assert_cmpint (read (inputs[i], text, sizeof text - 1), ==, 3);
      g_assert_cmpstr (text, ==, i == 0 ? "172" : "174");
      close (inputs[i]);
      g_object_unref (processes[i]);
    }
  finish_process (taker, connection);
}

static void
test_detach_to_worker (void)
{
  g_autoptr(AForkProcess) taker = afork_process_new ();
  g_autoptr(AForkProcess) process = make_echo ("there");
  g_autoptr(GSocketConnection) connection = NULL;
  g_autofree char *output = NULL;
  g_autofree char *expected = NULL;
  g_autofree char *unknown = NULL;
  int fd = detach_process_ok (process);

  afork_process_require (taker, "adopter");
  afork_process_send_fd (taker, fd);
  afork_process_send_arg (taker, "echo");
  close (fd);
  connection = run_process_ok (taker, "attach_and_run");
  await_end (process);
  assert_exit_status (process, 0);
  output = read_to_end (connection, NULL);
  expected = g_strdup_printf ("%d there 0", (int) afork_process_get_pid (process));
  unknown = g_strdup_printf ("%d there -1", (int) afork_process_get_pid (process));
  if (strcmp (output, unknown) != 0)
    g_assert_cmpstr (output, ==, expected);
  finish_process (taker, connection);
}

int
main (int    argc,
      char **argv)
{
  program = argv[0];
  if (argc == 3 && strcmp (argv[1], "--take-over") == 0)
    return take_over_elsewhere (argv[2]);

  g_test_init (&argc, &argv, NULL);

  add_test ("/detach/fork", test_detach_fork);
  add_test ("/detach/fresh", test_detach_fresh);
  add_test ("/detach/blocking", test_detach_blocking);
  add_test ("/detach/chain", test_detach_chain);
  add_test ("/detach/known", test_detach_known);
  add_test ("/detach/with-forks", test_detach_with_forks);
  add_test ("/detach/busy", test_detach_busy);
  add_test ("/detach/closed", test_detach_closed);
  add_test ("/detach/dropped", test_detach_dropped);
  add_test ("/detach/failure", test_detach_failure);
  add_test ("/detach/failure-later", test_detach_failure_later);
  add_test ("/detach/once", test_detach_once);
  add_test ("/detach/cancelled", test_detach_cancelled);
  add_test ("/detach/ignored", test_detach_ignored);
  add_test ("/detach/no-process", test_detach_no_process);
  add_test ("/detach/invisible", test_detach_invisible);
  add_test ("/detach/silent", test_detach_silent);
  add_test ("/detach/socket-options", test_detach_socket_options);
  add_test ("/detach/not-taken", test_detach_not_taken);
  add_test ("/detach/unstarted", test_detach_unstarted);
  add_test ("/detach/to-thread", test_detach_to_thread);
  add_test ("/detach/three", test_detach_three);
  add_test ("/detach/to-worker", test_detach_to_worker);

  return g_test_run ();
}
