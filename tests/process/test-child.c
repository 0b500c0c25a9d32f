/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker has: its descriptors, signals, environment, working directory and threads. */

#include "config.h"

#include "test-inspect-util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptors. */

static void
test_descriptors_new (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_require (process, "inspect");
  assert_clean (process);
}

static void
test_descriptors_new_exec (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);

  afork_process_require (process, "inspect");
  assert_clean (process);
}

static void
test_descriptors_fork_of_fork (Fixture       *fixture,
                               gconstpointer  data)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork_of_fork = afork_process_fork (fork);
  g_autoptr(AForkProcess) last = afork_process_fork (fork_of_fork);

  assert_clean (last);
  assert_clean (fork_of_fork);
  assert_clean (fork);
}

/* A template has a descriptor for each fork, and an epoll. Neither a fork nor the worker has these,
 * even if the template itself is run. */
static void
test_descriptors_siblings (Fixture       *fixture,
                           gconstpointer  data)
{
  Inspection siblings[20];

  for (gsize i = 0; i < G_N_ELEMENTS (siblings); i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

      inspection_begin (&siblings[i], process);
      inspection_assert_descriptors (&siblings[i], 0);
    }
  assert_clean (fixture->template);
  for (gsize i = 0; i < G_N_ELEMENTS (siblings); i++)
    inspection_end (&siblings[i]);
}

/* The same when all forks have exited. */
static void
test_descriptors_former_template (Fixture       *fixture,
                                  gconstpointer  data)
{
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (fixture->template);

      assert_clean (process);
    }
  assert_clean (fixture->template);
}

/* Descriptors of the caller stay in the caller, even if they are not close-on-exec. */
static void
test_descriptors_of_caller (Fixture       *fixture,
                            gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  int fds[30];

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = memfd_create ("inheritable", 0);
      g_assert_no_errno (fds[i]);
    }

  executed = afork_process_new_exec (NULL);
  afork_process_require (executed, "inspect");
  forked = afork_process_fork (executed);
  assert_clean (forked);
  assert_clean (executed);
  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
test_descriptors_sent (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr(AForkProcess) process = NULL;
  Inspection inspection;
  int fds[3];

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = open_file ();
  afork_process_send_fd (fixture->template, fds[0]);
  process = afork_process_fork (fixture->template);
  afork_process_send_fd (process, fds[1]);
  afork_process_send_fd (process, fds[2]);
  afork_process_send_fd (process, STDERR_FILENO);

  inspection_begin (&inspection, process);
  inspection_assert_descriptors (&inspection, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    inspection_assert_item (&inspection, i, fds[i]);
  inspection_assert_item (&inspection, 3, STDERR_FILENO);
  inspection_end (&inspection);

  /* The template has only the one that it was sent. */
  inspection_begin (&inspection, fixture->template);
  inspection_assert_descriptors (&inspection, 0);
  inspection_assert_item (&inspection, 0, fds[0]);
  inspection_end (&inspection);

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
test_descriptors_standard (Fixture       *fixture,
                           gconstpointer  data)
{
  Inspection inspection;

  inspection_begin (&inspection, fixture->template);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    g_assert_cmpuint (inspection_get_file (&inspection, fd, NULL), ==, get_inode (fd));
  inspection_end (&inspection);
}

/* Sockets. */

static void
test_socket (Fixture       *fixture,
             gconstpointer  data)
{
  Inspection inspection;
  GSocket *socket;
  int fd;

  inspection_begin (&inspection, fixture->template);
  socket = g_socket_connection_get_socket (inspection.connection);
  fd = g_socket_get_fd (socket);
  g_assert_cmpint (g_socket_get_socket_type (socket), ==, G_SOCKET_TYPE_STREAM);
  g_assert_cmpint (g_socket_get_family (socket), ==, G_SOCKET_FAMILY_UNIX);
  g_assert_true (g_socket_connection_is_connected (inspection.connection));

  g_assert_true ((fcntl (fd, F_GETFL) & O_NONBLOCK) != 0);
  g_assert_true ((fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0);
  g_assert_cmpint (inspection_get_integer (&inspection, "process", "nonblocking"), ==, 0);
  inspection_end (&inspection);
}

/* Signals. */

enum { N_SIGNALS = 64 };

/* The C library uses two signals itself, and ignores them in all that it spawns. */
static void
assert_no_signals (Inspection *self,
                   const char *key)
{
  const guint64 internal = G_GUINT64_CONSTANT (3) << 31;
  g_autofree char *value = g_key_file_get_value (self->report, "status", key, NULL);
  guint64 signals;

  g_assert_true (g_ascii_string_to_unsigned (value, 16, 0, G_MAXUINT64, &signals, NULL));
  g_assert_cmphex (signals & ~internal, ==, 0);
}

static void
assert_signals (AForkProcess *process)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  assert_no_signals (&inspection, "SigBlk");
  assert_no_signals (&inspection, "SigIgn");
#ifndef __SANITIZE_ADDRESS__            /* which sets handlers of its own in the server */
  assert_no_signals (&inspection, "SigCgt");
#endif
  inspection_end (&inspection);
}

static void
handler_cb (int signal)
{
}

/* The caller blocks all signals that can be blocked, ignores one half, and has handlers for the
 * other. */
static void
test_signals (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = NULL;
  g_autoptr(AForkProcess) forked = NULL;
  struct sigaction saved[N_SIGNALS + 1];
  sigset_t all, mask;

  sigfillset (&all);
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, &all, &mask));
  for (int i = 1; i <= N_SIGNALS; i++)
    {
      struct sigaction action = { .sa_handler = i % 2 == 0 ? SIG_IGN : handler_cb };

      sigaction (i, NULL, &saved[i]);
      if (i != SIGCHLD)
        sigaction (i, &action, NULL);
    }

  executed = afork_process_new_exec (NULL);
  afork_process_require (executed, "inspect");
  forked = afork_process_fork (executed);
  assert_signals (forked);
  assert_signals (executed);

  for (int i = 1; i <= N_SIGNALS; i++)
    sigaction (i, &saved[i], NULL);
  g_assert_no_errno (pthread_sigmask (SIG_SETMASK, &mask, NULL));
}

/* Environment and working directory. */

static void
test_environment (Fixture       *fixture,
                  gconstpointer  data)
{
  static const char * const names[] = { "AFORK_A", "AFORK_B", "AFORK_C", "AFORK_D" };
  g_autoptr(AForkProcess) fork = NULL;
  Inspection inspection;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    afork_process_send_arg (fixture->template, names[i]);
  afork_process_setenv (fixture->template, "AFORK_A", "first");
  afork_process_setenv (fixture->template, "AFORK_A", "second");
  afork_process_setenv (fixture->template, "AFORK_B", "unset in time");
  afork_process_setenv (fixture->template, "AFORK_C", "");
  afork_process_setenv (fixture->template, "AFORK_B", NULL);
  afork_process_setenv (fixture->template, "AFORK_NEVER_SET", NULL);

  fork = afork_process_fork (fixture->template);
  afork_process_setenv (fork, "AFORK_A", NULL);
  afork_process_setenv (fork, "AFORK_A", "of the fork = only");
  afork_process_setenv (fork, "AFORK_C", NULL);
  afork_process_setenv (fixture->template, "AFORK_D", "too late for the fork");

  inspection_begin (&inspection, fork);
  inspection_assert_value (&inspection, "environment", "AFORK_A", "of the fork = only");
  inspection_assert_value (&inspection, "environment", "AFORK_B", NULL);
  inspection_assert_value (&inspection, "environment", "AFORK_C", NULL);
  inspection_assert_value (&inspection, "environment", "AFORK_D", NULL);
  inspection_end (&inspection);

  inspection_begin (&inspection, fixture->template);
  inspection_assert_value (&inspection, "environment", "AFORK_A", "second");
  inspection_assert_value (&inspection, "environment", "AFORK_B", NULL);
  inspection_assert_value (&inspection, "environment", "AFORK_C", "");
  inspection_assert_value (&inspection, "environment", "AFORK_D", "too late for the fork");
  inspection_end (&inspection);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    g_assert_null (g_getenv (names[i]));
}

/* A variable that was set before applies to later steps. */
static void
test_environment_in_order (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = afork_process_new ();

  afork_process_setenv (process, "AFORK_MODULE_PATH", "/nonexistent");
  afork_process_setenv (process, "AFORK_MODULE_PATH", g_getenv ("AFORK_MODULE_PATH"));
  afork_process_require (process, "inspect");
  afork_process_setenv (process, "AFORK_MODULE_PATH", "/nonexistent");
  assert_clean (process);
}

static void
assert_folder (AForkProcess *process,
               const char   *folder)
{
  Inspection inspection;

  inspection_begin (&inspection, process);
  inspection_assert_value (&inspection, "process", "folder", folder);
  inspection_end (&inspection);
}

static void
test_folder (Fixture       *fixture,
             gconstpointer  data)
{
  g_autofree char *here = g_get_current_dir ();
  g_autofree char *created = g_dir_make_tmp ("afork-XXXXXX", NULL);
  g_autofree char *folder = realpath (created, NULL);
  g_autofree char *inner = g_build_filename (folder, "inner", NULL);
  g_autoptr(AForkProcess) before = afork_process_fork (fixture->template);
  g_autoptr(AForkProcess) fork = NULL;
  g_autofree char *still_here = NULL;

  g_assert_no_errno (g_mkdir_with_parents (inner, 0700));
  afork_process_chdir (fixture->template, folder);
  fork = afork_process_fork (fixture->template);
  afork_process_chdir (fork, "inner");

  assert_folder (before, here);
  assert_folder (fork, inner);
  assert_folder (fixture->template, folder);
  still_here = g_get_current_dir ();
  g_assert_cmpstr (still_here, ==, here);
  rmdir (inner);
  rmdir (folder);
}

static void
test_folder_missing (Fixture       *fixture,
                     gconstpointer  data)
{
  afork_process_chdir (fixture->template, "/nonexistent/folder");
  expect_run_error (fixture->template, "inspect", AFORK_ERROR, AFORK_ERROR_FAILED,
                    "/nonexistent/folder");
}

/* Other things. */

static void
test_threads (Fixture       *fixture,
              gconstpointer  data)
{
  Inspection inspection;

  inspection_begin (&inspection, fixture->template);
  inspection_assert_value (&inspection, "status", "Threads", "1");
  inspection_end (&inspection);
}

/* Which process is the parent of which. */
static void
test_parents (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = NULL;
  Inspection of_executed, of_fork;

  afork_process_require (executed, "inspect");
  fork = afork_process_fork (executed);
  inspection_begin (&of_fork, fork);
  g_assert_cmpint (inspection_get_integer (&of_fork, "process", "parent"), ==,
                   afork_process_get_pid (executed));
  inspection_end (&of_fork);

  inspection_begin (&of_executed, executed);
  g_assert_cmpint (inspection_get_integer (&of_executed, "process", "parent"), ==, getpid ());
  inspection_end (&of_executed);
}

/* Output of a template, and output that was left in the buffer, is written once. */
static void
test_output_once (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  int output = open_file ();
  char text[256] = "";

  afork_process_map_fd (fixture->template, output, STDOUT_FILENO);
  afork_process_call (fixture->template, "print", (const char * const []) { "one ", "two ", NULL });
  for (int i = 0; i < 3; i++)
    {
      g_autoptr(AForkProcess) fork = afork_process_fork (fixture->template);
      g_autoptr(AForkProcess) fork_of_fork = NULL;

      afork_process_call (fork, "print", (const char * const []) { "fork ", NULL });
      fork_of_fork = afork_process_fork (fork);
      assert_clean (fork_of_fork);
      assert_clean (fork);
    }

  afork_process_send_arg (fixture->template, "at last\n");
  connection = run_process_ok (fixture->template, "print_items");
  finish_process (fixture->template, connection);
  g_assert_cmpint (pread (output, text, sizeof text - 1, 0), >, 0);
  g_assert_cmpstr (text, ==, "one two fork fork fork at last\n");
  close (output);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/child/descriptors/new", "inspect", test_descriptors_new);
  add_with_module ("/child/descriptors/new-exec", "inspect", test_descriptors_new_exec);
  add_with_module ("/child/descriptors/fork-of-fork", "inspect", test_descriptors_fork_of_fork);
  add_with_module ("/child/descriptors/siblings", "inspect", test_descriptors_siblings);
  add_with_module ("/child/descriptors/former-template",
                   "inspect", test_descriptors_former_template);
  add_with_module ("/child/descriptors/of-caller", "inspect", test_descriptors_of_caller);
  add_with_module ("/child/descriptors/sent", "inspect", test_descriptors_sent);
  add_with_module ("/child/descriptors/standard", "inspect", test_descriptors_standard);
  add_with_module ("/child/socket", "inspect", test_socket);
  add_with_module ("/child/signals", "inspect", test_signals);
  add_with_module ("/child/environment/each-its-own", "inspect", test_environment);
  add_with_module ("/child/environment/in-order", "inspect", test_environment_in_order);
  add_with_module ("/child/folder/each-its-own", "inspect", test_folder);
  add_with_module ("/child/folder/missing", "inspect", test_folder_missing);
  add_with_module ("/child/threads", "inspect", test_threads);
  add_with_module ("/child/parents", "inspect", test_parents);
  add_with_module ("/child/output-once", "inspect", test_output_once);

  return g_test_run ();
}
