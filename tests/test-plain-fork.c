/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program that calls fork() itself, and both processes go on: the parent notices nothing, and in
 * the child what was there before is lost. */

#include "config.h"

#include "test-util.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined (__has_include)
# if __has_include (<valgrind/valgrind.h>)
#  include <valgrind/valgrind.h>
# endif
#endif

static AForkProcess *
new_with_module (const char *module)
{
  return afork_process_require (afork_process_new (), module);
}

static AForkRpc *
new_echo_rpc (void)
{
  g_autoptr(AForkProcess) process = new_with_module ("calls");

  return afork_rpc_new (process, "calls_echo");
}

static void
check_call (AForkRpc *rpc)
{
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  answer = afork_rpc_call (rpc, g_variant_new ("(s)", "hello"), NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (answer), ==, "(s)");
}

/* What the parent had is lost in the child: valgrind is to look for leaks in the parent alone. */
static void
accept_leaks (void)
{
#ifdef VALGRIND_CLO_CHANGE
  VALGRIND_CLO_CHANGE ("--leak-check=no");
#endif
}

/* Runs FUNC in a child, which must come to its end. */
static void
run_in_child (void   (*func) (gpointer data),
              gpointer data)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    {
      accept_leaks ();
      /* What hangs is ended. */
      alarm (120);
      func (data);
      _exit (0);
    }

  g_assert_cmpint (child, >, 0);
  while (waitpid (child, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_cmpint (status, ==, 0);
}

/* What the parent has when it forks: processes in all states, and calls. */
typedef struct
{
  AForkProcess      *prepared;
  AForkProcess      *running;
  AForkProcess      *executed;
  GSocketConnection *connection;
  AForkRpc          *rpc;
} Parent;

static void
parent_begin (Parent *self)
{
  self->prepared = new_with_module ("life");
  self->running = new_with_module ("life");
  self->connection = run_process_ok (self->running, "until_closed");
  self->executed = afork_process_require (afork_process_new_exec (NULL), "life");
  afork_process_set_spare (self->executed, 1);
  self->rpc = new_echo_rpc ();
  check_call (self->rpc);
}

/* Nothing has happened to any of them. */
static void
parent_end (Parent *self)
{
  g_autoptr(GSocketConnection) of_prepared = run_process_ok (self->prepared, "until_closed");
  g_autoptr(GSocketConnection) of_executed = run_process_ok (self->executed, "until_closed");
  g_autoptr(GError) error = NULL;

  check_call (self->rpc);
  g_assert_true (afork_rpc_close (self->rpc, NULL, &error));
  g_assert_no_error (error);
  finish_process (self->prepared, of_prepared);
  finish_process (self->executed, of_executed);
  g_assert_cmpint (afork_process_get_state (self->running), ==, AFORK_PROCESS_STATE_RUNNING);
  finish_process (self->running, self->connection);
  g_clear_object (&self->connection);
  g_clear_object (&self->prepared);
  g_clear_object (&self->running);
  g_clear_object (&self->executed);
  g_clear_object (&self->rpc);
}

/* The next use of what was there before tells. */

static void
expect_lost (GError **error)
{
  g_assert_error (*error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_assert_true (g_pattern_match_simple ("*forked from*", (*error)->message));
  g_clear_error (error);
}

static void
expect_lost_process (AForkProcess *process)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (afork_process_run (process, "until_closed", NULL, &error));
  expect_lost (&error);
  g_assert_false (afork_process_wait (process, NULL, &error));
  expect_lost (&error);
  g_assert_cmpint (afork_process_detach (process, NULL, &error), ==, -1);
  expect_lost (&error);
}

static void
use_lost (gpointer data)
{
  Parent *parent = data;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GError) error = NULL;

  expect_lost_process (parent->prepared);
  expect_lost_process (parent->running);
  expect_lost_process (parent->executed);
  fork = afork_process_fork (parent->executed);
  g_assert_null (afork_process_run (fork, "until_closed", NULL, &error));
  expect_lost (&error);
  answer = afork_rpc_call (parent->rpc, NULL, NULL, &error);
  g_assert_null (answer);
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
test_lost (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (use_lost, &parent);
  parent_end (&parent);
}

/* The child kills and drops its copies, and iterates the main context. */

static void
drop_lost (gpointer data)
{
  Parent *parent = data;

  afork_process_send_arg (parent->prepared, "for nobody");
  afork_process_send_signal (parent->running, SIGKILL);
  afork_process_force_exit (parent->prepared);
  afork_process_force_exit (parent->running);
  afork_process_force_exit (parent->executed);
  for (int i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_object_unref (parent->prepared);
  g_object_unref (parent->running);
  g_object_unref (parent->executed);
  g_object_unref (parent->rpc);
  for (int i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
}

static void
test_dropped (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (drop_lost, &parent);
  parent_end (&parent);
}

/* The child begins afresh, with templates of its own. */

static void
begin_afresh (gpointer data)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  AForkProcess *template = afork_runtime_get_template (runtime);
  Parent parent;

  g_assert_true (template != data);
  for (int i = 0; i < 3; i++)
    {
      parent_begin (&parent);
      parent_end (&parent);
    }
  afork_runtime_set_template (runtime, NULL);
}

static void
test_afresh (void)
{
  AForkRuntime *runtime = afork_runtime_get_native ();
  Parent parent;

  parent_begin (&parent);
  run_in_child (begin_afresh, afork_runtime_get_template (runtime));
  parent_end (&parent);
}

/* A grandchild is as good as a child. */
static void
fork_again (gpointer data)
{
  Parent parent;

  use_lost (data);
  parent_begin (&parent);
  run_in_child (use_lost, &parent);
  run_in_child (begin_afresh, NULL);
  parent_end (&parent);
  afork_runtime_set_template (afork_runtime_get_native (), NULL);
}

static void
test_again (void)
{
  Parent parent;

  parent_begin (&parent);
  run_in_child (fork_again, &parent);
  parent_end (&parent);
}

/* What was begun before ends in both: in the parent as ever, and in the child with an error. */

typedef struct
{
  AForkProcess *process;
  GAsyncResult *run;
  GAsyncResult *wait;
} Pending;

static void
await_lost (gpointer data)
{
  Pending *pending = data;
  g_autoptr(GError) error = NULL;

  await_result (&pending->run);
  g_assert_null (afork_process_run_finish (pending->process, pending->run, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  g_clear_error (&error);
  await_result (&pending->wait);
  g_assert_false (afork_process_wait_finish (pending->process, pending->wait, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
test_pending (void)
{
  Pending pending = { .process = new_with_module ("life") };
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_run_async (pending.process, "done", NULL, store_result_cb, &pending.run);
  afork_process_wait_async (pending.process, NULL, store_result_cb, &pending.wait);
  run_in_child (await_lost, &pending);

  await_result (&pending.run);
  connection = afork_process_run_finish (pending.process, pending.run, &error);
  g_assert_no_error (error);
  await_result (&pending.wait);
  g_assert_true (afork_process_wait_finish (pending.process, pending.wait, &error));
  assert_exit_status (pending.process, 0);
  g_object_unref (pending.process);
  g_object_unref (pending.run);
  g_object_unref (pending.wait);
}

/* The program's own descriptors are left alone, also where one has got the number of a connection
 * that the program has closed. */

static void
write_own (gpointer data)
{
  g_assert_cmpint (write (GPOINTER_TO_INT (data), "x", 1), ==, 1);
}

static void
test_own_descriptors (void)
{
  Parent parent;
  g_autoptr(AForkProcess) process = new_with_module ("life");
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "until_closed");
  GSocket *socket = g_socket_connection_get_socket (connection);
  int fds[2];
  char byte;
  int ours;
  int fd;

  parent_begin (&parent);
  fd = g_socket_get_fd (socket);
  g_assert_true (g_socket_close (socket, NULL));
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  ours = fds[0] == fd ? 0 : 1;
  if (fds[ours] != fd)
    {
      g_assert_cmpint (dup2 (fds[ours], fd), ==, fd);
      close (fds[ours]);
      fds[ours] = fd;
    }
  run_in_child (write_own, GINT_TO_POINTER (fd));
  g_assert_cmpint (read (fds[1 - ours], &byte, 1), ==, 1);
  parent_end (&parent);
  close (fds[0]);
  close (fds[1]);
  await_end (process);
}

/* Other threads use the library at that moment. */

typedef struct
{
  int end;                      /* atomic */
} Users;

static gpointer
use_library (gpointer data)
{
  Users *self = data;

  while (!g_atomic_int_get (&self->end))
    {
      g_autoptr(GMainContext) context = g_main_context_new ();
      g_autoptr(AForkProcess) process = NULL;
      g_autoptr(GSocketConnection) connection = NULL;
      g_autoptr(GError) error = NULL;

      g_main_context_push_thread_default (context);
      process = new_with_module ("life");
      connection = afork_process_run (process, "done", NULL, &error);
      g_assert_no_error (error);
      g_assert_true (afork_process_wait (process, NULL, &error));
      g_main_context_pop_thread_default (context);
    }

  return NULL;
}

static void
begin_in_own_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  process = new_with_module ("life");
  connection = afork_process_run (process, "done", NULL, &error);
  g_assert_no_error (error);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_main_context_pop_thread_default (context);
}

static void
test_threads (void)
{
  Users users = { 0 };
  GThread *threads[2];

  if (g_getenv ("AFORK_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("Under valgrind, vfork() copies the locks that other threads hold");
      return;
    }

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("user", use_library, &users);
  for (int i = is_instrumented () ? 3 : 20; i > 0; i--)
    run_in_child (begin_in_own_context, NULL);
  g_atomic_int_set (&users.end, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* A child only sleeps, and the parent ends: so do its workers. The parent is this program, executed
 * once more, which tells the pids: of the child and of workers. */

#define CALLER_ARGUMENT "--plain-fork-caller"

G_GNUC_NORETURN static void
be_caller (void)
{
  Parent parent;
  pid_t child;

  parent_begin (&parent);
  child = fork ();
  if (child == 0)
    {
      close (STDOUT_FILENO);
      for (;;)
        pause ();
    }

  await_state (parent.prepared, AFORK_PROCESS_STATE_PREPARING);
  await_state (parent.executed, AFORK_PROCESS_STATE_PREPARING);
  g_print ("%d %d %d %d %d\n", (int) child,
           (int) afork_process_get_pid (parent.prepared),
           (int) afork_process_get_pid (parent.running),
           (int) afork_process_get_pid (parent.executed),
           (int) afork_process_get_pid (afork_rpc_get_process (parent.rpc)));
  _exit (0);
}

static void
await_pid_end (int pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  struct pollfd end = { .fd = pidfd, .events = POLLIN };

  if (pidfd < 0)
    {
      g_assert_cmpint (errno, ==, ESRCH);
      return;
    }

  g_assert_cmpint (poll (&end, 1, -1), ==, 1);
  close (pidfd);
}

static void
test_sleeping (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char * const argv[] = { program, CALLER_ARGUMENT, NULL };
  g_autoptr(GSubprocess) caller = NULL;
  g_autofree char *output = NULL;
  g_autoptr(GError) error = NULL;
  int child, pids[4];

  if (g_getenv ("AFORK_TEST_VALGRIND") != NULL)
    {
      g_test_skip ("There is no pidfd_open() under valgrind");
      return;
    }

  caller = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (caller, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (sscanf (output, "%d %d %d %d %d", &child, &pids[0], &pids[1], &pids[2],
                           &pids[3]), ==, 5);

  for (gsize i = 0; i < G_N_ELEMENTS (pids); i++)
    {
      g_assert_cmpint (pids[i], >, 0);
      await_pid_end (pids[i]);
    }
  g_assert_no_errno (kill (child, SIGKILL));
}

static void
add (const char *path,
     GTestFunc   test)
{
  g_test_add_data_func (path, (gconstpointer) test, run_with_census);
}

int
main (int    argc,
      char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], CALLER_ARGUMENT))
    be_caller ();

  g_test_init (&argc, &argv, NULL);

  add ("/plain-fork/lost", test_lost);
  add ("/plain-fork/dropped", test_dropped);
  add ("/plain-fork/afresh", test_afresh);
  add ("/plain-fork/again", test_again);
  add ("/plain-fork/pending", test_pending);
  add ("/plain-fork/own-descriptors", test_own_descriptors);
  add ("/plain-fork/threads", test_threads);
  add ("/plain-fork/sleeping", test_sleeping);

  return g_test_run ();
}
