/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A caller that has no /proc, or that of another PID namespace: this program, executed again in
 * namespaces of its own. */

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-refuse-util.h"
#include "test-util.h"

static const char *program;

/* The caller. */

/* Kernels before 6.13 do not tell of which process a pidfd is, but in /proc. */
static void
be_old_kernel (void)
{
  enum { PIDFD_INFO_SIZE = 64 };

  refuse_system_call_with (SYS_ioctl, 1, (guint32) _IOWR (0xFF, 11, char[PIDFD_INFO_SIZE]), ENOTTY);
}

static void
signal_and_wait (AForkProcess *process)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "echo");
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

static int
call_from_inside (void)
{
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
  return 0;
}

/* The test. */

static void
test_inside (gconstpointer data)
{
  const char *argv[] = { "unshare", "--mount", "--pid", "--fork", "sh", "-c", NULL, program, NULL };
  g_autoptr(GError) error = NULL;
  int status = -1;

  argv[6] = data;
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                &error);
  if (error == NULL && status != 0 && geteuid () != 0)
    {
      g_test_skip ("Namespaces can only be made by root");
      return;
    }
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
  if (argc == 2 && (strcmp (argv[1], "--old") == 0 || strcmp (argv[1], "--new") == 0))
    return call_from_inside ();

  g_test_init (&argc, &argv, NULL);

#define ADD(path, mount, option) \
  g_test_add_data_func ("/no-proc/" path, \
                        mount " || exit 77; exec \"$0\" " option, test_inside)

  ADD ("none", "umount -l /proc", "--new");
  ADD ("none-old", "umount -l /proc", "--old");
  ADD ("of-another-namespace", "true", "--new");
  ADD ("of-another-namespace-old", "true", "--old");
  return g_test_run ();
}
