/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes of a user who has too many descriptors in flight. The kernel counts the descriptors
 * that the processes of a user have sent and nobody has received. It sends no more if there are
 * more than the sender may have open, unless the sender has a capability. */

#define _GNU_SOURCE
#include "test-util.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "send-fds.h"
#include "test-fds.h"

/* PAUSE is in milliseconds. */
enum { N_PARKED = 80, TIGHT = 64, PAUSE = 200 };

/* Drops the capabilities by which this program, and what it executes, may exceed a limit. */
static void
drop_capabilities (void)
{
  static const int capabilities[] = { CAP_SYS_ADMIN, CAP_SYS_RESOURCE };
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2];

  g_assert_no_errno ((int) syscall (SYS_capget, &header, data));
  for (guint i = 0; i < G_N_ELEMENTS (capabilities); i++)
    {
      /* An ordinary user may not do that, and needs not. */
      prctl (PR_CAPBSET_DROP, capabilities[i]);
      data[0].effective &= ~(1U << capabilities[i]);
      data[0].permitted &= ~(1U << capabilities[i]);
      data[0].inheritable &= ~(1U << capabilities[i]);
    }
  g_assert_no_errno ((int) syscall (SYS_capset, &header, data));
}

/* Sends descriptors that nobody receives. Returns the socket that has them: they arrive when it is
 * closed. */
static int
park_descriptors (void)
{
  int sockets[2], fds[N_PARKED];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
  for (guint i = 0; i < N_PARKED; i++)
    fds[i] = STDERR_FILENO;
  g_assert_cmpint (send_with_fds (sockets[0], "", 1, fds, N_PARKED, 0), ==, 1);
  close (sockets[0]);
  return sockets[1];
}

/* Sets the soft limit of the process PID, 0 for this one. Returns the limit before. */
static struct rlimit
set_limit (GPid   pid,
           rlim_t n_fds)
{
  struct rlimit saved, limit;

  g_assert_no_errno (prlimit (pid, RLIMIT_NOFILE, NULL, &saved));
  limit = (struct rlimit) { n_fds, saved.rlim_max };
  g_assert_no_errno (prlimit (pid, RLIMIT_NOFILE, &limit, NULL));
  return saved;
}

/* Iterates the main context for a while. Checks that this takes hardly any processor time. */
static void
pass_time (void)
{
  gboolean is_over = FALSE;
  clock_t begin = clock ();
  int spent;

  g_timeout_add (PAUSE, set_cb, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  spent = (int) ((clock () - begin) * 1000 / CLOCKS_PER_SEC);
  g_test_message ("%d ms of a processor in %d ms", spent, PAUSE);
  if (!is_instrumented ())
    g_assert_cmpint (spent, <, PAUSE / 4);
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  guint *n_left = data;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  g_assert_no_error (error);
  g_assert_nonnull (connection);
  (*n_left)--;
}

/* The forks of a template cannot report themselves for a while. */
static void
test_server (void)
{
  enum { N_FORKS = 20 };
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  g_autoptr(GPtrArray) forks = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_left = N_FORKS;
  int parked;

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  set_limit (afork_process_get_pid (template), TIGHT);
  parked = park_descriptors ();
  for (guint i = 0; i < N_FORKS; i++)
    {
      g_ptr_array_add (forks, afork_process_fork (template));
      afork_process_run_async (forks->pdata[i], "done", NULL, run_cb, &n_left);
    }
  pass_time ();
  g_assert_cmpuint (n_left, ==, N_FORKS);

  close (parked);
  while (n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < N_FORKS; i++)
    {
      await_end (forks->pdata[i]);
      assert_exit_status (forks->pdata[i], 0);
    }
}

/* The program cannot send descriptors for a while. */
static void
test_caller (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  struct rlimit saved;
  guint n_left = 1;
  int parked;

  if (skip_under_valgrind ("valgrind does not set limits of descriptors"))
    return;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  parked = park_descriptors ();
  saved = set_limit (0, TIGHT);
  afork_process_send_fd (process, STDERR_FILENO);
  afork_process_run_async (process, "done", NULL, run_cb, &n_left);
  pass_time ();
  g_assert_cmpuint (n_left, ==, 1);

  close (parked);
  while (n_left > 0)
    g_main_context_iteration (NULL, TRUE);
  await_end (process);
  assert_exit_status (process, 0);
  set_limit (0, saved.rlim_cur);
}

/* Meanwhile, the process is killed or exits. */
static void
test_caller_killed (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("lifecycle");
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  struct rlimit saved;
  int parked;

  if (skip_under_valgrind ("valgrind does not set limits of descriptors"))
    return;

  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  parked = park_descriptors ();
  saved = set_limit (0, TIGHT);
  afork_process_send_fd (process, STDERR_FILENO);
  afork_process_run_async (process, "done", NULL, store_result_cb, &result);
  afork_process_force_exit (process);
  await_result (&result);
  g_assert_null (afork_process_run_finish (process, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);

  close (parked);
  set_limit (0, saved.rlim_cur);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  drop_capabilities ();

  add_test ("/in-flight/server", test_server);
  add_test ("/in-flight/caller", test_caller);
  add_test ("/in-flight/caller/killed", test_caller_killed);

  return g_test_run ();
}
