/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A caller without /proc, or with the /proc of another PID namespace: this program, executed again
 * in namespaces of its own. */

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-refuse-util.h"
#include "test-util.h"

/* Counts descriptors without the list in /proc. */
enum { MAX_TRIED = 65536 };

static const char *program;

/* The caller. */

/* Kernels before 6.13 report the process of a pidfd only in /proc. */
static void
be_old_kernel (void)
{
  enum { PIDFD_INFO_SIZE = 64 };

  refuse_system_call_with (SYS_ioctl, 1, (guint32) _IOWR (0xFF, 11, char[PIDFD_INFO_SIZE]), ENOTTY);
}

static void
signal_and_wait (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (process, "echo");
  g_autoptr(GError) error = NULL;
  int signal = 0;

  afork_process_send_signal (process, SIGTERM);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (afork_process_get_term_signal (process, &signal));
  g_assert_cmpint (signal, ==, SIGTERM);
}

static void
run_and_finish (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "echo");
  g_autoptr(GError) error = NULL;
  int status = -1;

  g_clear_object (&connection);
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (afork_process_get_exit_status (process, &status));
  g_assert_cmpint (status, ==, 0);
}

/* The exit of a process is seen, although its template has exited before. If the process of a pidfd
 * is known, it can be killed as well; otherwise there is an error that says why not. */
static void
check_orphans (gboolean can_kill)
{
  g_autoptr(AForkProcess) template = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) closed = NULL;
  g_autoptr(AForkProcess) killed = NULL;
  g_autoptr(GSocketConnection) of_closed = NULL;
  g_autoptr(GSocketConnection) of_killed = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_require (template, "echo");
  closed = afork_process_fork (template);
  killed = afork_process_fork (template);
  of_closed = run_process_ok (closed, "echo");
  of_killed = run_process_ok (killed, "echo");
  afork_process_force_exit (template);
  await_end (template);

  g_clear_object (&of_closed);
  await_end (closed);
  afork_process_force_exit (killed);
  if (!can_kill)
    {
      g_assert_false (afork_process_wait (killed, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
      g_clear_object (&of_killed);
    }
  await_end (killed);
}

/* A program that is executed has only the descriptors that it was given. */
static void
check_exec (void)
{
  const char * const argv[] = { "sh", "-c", "(: <&20) 2>&- && echo open || echo closed", NULL };
  const char * const args[] = { "20", NULL };
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;

  afork_process_require (process, "lifecycle");
  afork_process_call (process, "open_inheritable", args);
  connection = afork_process_exec (process, argv, NULL, &error);
  g_assert_no_error (error);
  output = read_to_end (connection, NULL);
  g_assert_cmpstr (output, ==, "closed\n");
  await_end (process);
}

/* A process that had a thread can be forked, and one that has a thread cannot. */
static void
check_threads (void)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) refused = NULL;

  afork_process_require (process, "faults");
  afork_process_call (process, "call_joined_thread", NULL);
  fork = afork_process_fork (process);
  afork_process_require (fork, "echo");
  run_and_finish (fork);

  afork_process_call (process, "call_thread", NULL);
  refused = afork_process_fork (process);
  expect_run_error (refused, "echo", AFORK_ERROR, AFORK_ERROR_THREADS, NULL);
}

/* The program is executed by a link in /proc. */
static void
check_self (gboolean has_proc)
{
  g_autoptr(AForkProcess) process = afork_process_new_exec (afork_runtime_get_self ());
  g_autoptr(GError) error = NULL;

  if (has_proc)
    return;

  g_assert_null (afork_process_run (process, "echo", NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_nonnull (strstr (error->message, "/proc"));
}

/* There is no close_range() either. Programs are executed nevertheless, unless there may be more
 * descriptors than can be closed one by one. */
static void
check_without_close_range (gboolean has_proc)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GError) error = NULL;
  struct rlimit limit;

  refuse_system_call (SYS_close_range, EPERM);
  check_exec ();

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = MAX_TRIED + 1;
  limit.rlim_max = MAX (limit.rlim_max, limit.rlim_cur);
  if (has_proc || setrlimit (RLIMIT_NOFILE, &limit) < 0)
    return;

  process = afork_process_new_exec (NULL);
  g_assert_null (afork_process_run (process, "echo", NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN);
  g_assert_nonnull (strstr (error->message, "/proc"));
}

static int
call_from_inside (gboolean is_old)
{
  const gboolean has_proc = access ("/proc/self/exe", F_OK) == 0;
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(AForkProcess) fork_of_fork = NULL;
  g_autoptr(AForkProcess) fresh = afork_process_new_exec (NULL);

  afork_process_require (process, "echo");
  afork_process_require (fresh, "echo");
  fork = afork_process_fork (process);
  fork_of_fork = afork_process_fork (fork);
  signal_and_wait (fork_of_fork);
  run_and_finish (fork);
  signal_and_wait (process);
  signal_and_wait (fresh);
  check_orphans (has_proc || !is_old);
  check_exec ();
  check_threads ();
  check_self (has_proc);
  check_without_close_range (has_proc);
  return 0;
}

/* The test. */

/* In a chroot, the root directory is usually not a mount, so its propagation cannot be changed. A
 * mount that hides /proc must therefore make /proc private first. */
#define UNSHARE "unshare", "--mount", "--propagation", "unchanged", "--pid", "--fork"
#define HIDE_PROC "mount --make-private /proc && mount -t tmpfs none /proc"

/* Without root privileges, a user namespace is needed too. */
static const char *
get_user_option (void)
{
  return geteuid () == 0 ? "--mount" : "--map-root-user";
}

static gboolean
can_make_namespaces (void)
{
  const char *argv[] = { UNSHARE, get_user_option (), "true", NULL };
  int status = -1;

#ifdef __SANITIZE_ADDRESS__             /* which looks for leaks and for its options there */
  return FALSE;
#endif
  return g_spawn_sync (NULL, (char **) argv, NULL,
                       G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                       &status, NULL)
    && status == 0;
}

static void
test_inside (gconstpointer data)
{
  const char *argv[] = { UNSHARE, get_user_option (), "sh", "-c", data, program, NULL };
  g_autoptr(GError) error = NULL;
  int status = -1;

  if (!can_make_namespaces ())
    {
      g_test_skip ("No namespaces can be made, or a sanitizer needs /proc");
      return;
    }

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                &error);
  g_assert_no_error (error);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    g_test_skip ("What is mounted cannot be changed");
  else
    g_assert_cmpint (status, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  program = argv[0];
  if (argc == 2 && strcmp (argv[1], "--old") == 0)
    be_old_kernel ();
  afork_init (&argc, &argv);
  if (argc == 2 && (strcmp (argv[1], "--old") == 0 || strcmp (argv[1], "--new") == 0))
    return call_from_inside (strcmp (argv[1], "--old") == 0);

  g_test_init (&argc, &argv, NULL);

#define ADD(path, mount, option) \
  g_test_add_data_func ("/no-proc/" path, \
                        mount " || exit 77; exec \"$0\" " option, test_inside)

  ADD ("none", HIDE_PROC, "--new");
  ADD ("none-old", HIDE_PROC, "--old");
  ADD ("of-another-namespace", "true", "--new");
  ADD ("of-another-namespace-old", "true", "--old");
  return g_test_run ();
}
