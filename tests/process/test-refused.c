/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A system call does not exist, or a sandbox refuses it with any error: processes and calls work as
 * usual. Each test runs in a process of its own. The kernel refuses one system call to this process
 * and its children. */

#include "config.h"

#include "test-pid-watch-util.h"
#include "test-refuse-util.h"
#include "test-rpc-util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/system/pidfd.h"

/* System calls that every program needs are not in this list. */
static const RefusedCall refused[] = {
  { "clone3", SYS_clone3, ANY_ARGUMENT, 0, 0 },
  { "close-range", SYS_close_range, ANY_ARGUMENT, 0, 0 },
  { "execveat", SYS_execveat, ANY_ARGUMENT, 0, 0 },
  { "fallocate", SYS_fallocate, ANY_ARGUMENT, 0, 0 },
  { "faccessat2", SYS_faccessat2, ANY_ARGUMENT, 0, 0 },
  { "get-seals", SYS_fcntl, 1, F_GET_SEALS, 0 },
  { "add-seals", SYS_fcntl, 1, F_ADD_SEALS, 0 },
  { "getrandom", SYS_getrandom, ANY_ARGUMENT, 0, 0 },
  { "kcmp", SYS_kcmp, ANY_ARGUMENT, 0, 0 },
  { "memfd-create", SYS_memfd_create, ANY_ARGUMENT, 0, 0 },
  { "peer-pidfd", SYS_getsockopt, 2, SO_PEERPIDFD, 0 },
  { "pidfd-get-info", SYS_ioctl, 1, 0xc040ff0b, 0 },
  { "pidfd-open", SYS_pidfd_open, ANY_ARGUMENT, 0, 0 },
  { "pidfd-send-signal", SYS_pidfd_send_signal, ANY_ARGUMENT, 0, 0 },
  { "prctl", SYS_prctl, ANY_ARGUMENT, 0, 0 },
  { "set-robust-list", SYS_set_robust_list, ANY_ARGUMENT, 0, 0 },
  { "unshare", SYS_unshare, ANY_ARGUMENT, 0, 0 },
  { "vmsplice", SYS_vmsplice, ANY_ARGUMENT, 0, 0 },
  { "waitid-pidfd", SYS_waitid, 0, P_PIDFD, 0 },
  /* No pidfds at all. */
  { "pidfds", SYS_getsockopt, 2, SO_PEERPIDFD, SYS_pidfd_open },
};

/* Returns whether a process can give its caller a pidfd of itself. */
static gboolean
has_pidfds (void)
{
  int pidfd = (int) syscall (SYS_pidfd_open, getpid (), 0);

  if (pidfd < 0)
    return has_peer_pidfds ();

  close (pidfd);
  return TRUE;
}

/* A fork, a fork that has a fork itself, that fork, and an executed process: each is run, exits or
 * is killed, and its exit is reported. */
static void
check_processes (AForkProcess *template)
{
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(AForkProcess) parent = afork_process_fork (template);
  g_autoptr(AForkProcess) child = afork_process_fork (parent);
  g_autoptr(AForkProcess) executed = new_executed ();
  AForkProcess *processes[] = { fork, parent, child, executed };

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      g_autoptr(GSocketConnection) connection = run_process_ok (processes[i], "write_pid");

      assert_pid (processes[i], connection);
      if (i % 2 == 0)
        {
          finish_process (processes[i], connection);
        }
      else
        {
          afork_process_force_exit (processes[i]);
          await_end (processes[i]);
          assert_term_signal (processes[i], SIGKILL);
        }
    }
}

/* A process that is signalled before it is executed. */
static void
check_unstarted (void)
{
  g_auto(GStrv) server = afork_runtime_dup_argv (afork_runtime_get_native ());
  const char * const argv[] = { server[0], NULL };
  g_autoptr(AForkRuntime) runtime = afork_runtime_new_command ("relayed", argv);
  g_autoptr(AForkProcess) process = afork_process_new_for_runtime (runtime);

  afork_process_send_signal (process, SIGHUP);
  expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_SIGNALED, NULL);
  assert_term_signal (process, SIGHUP);
}

/* An executed program has no descriptor that it was not given. */
static void
check_exec (AForkProcess *template)
{
  const char * const argv[] = { "ls", "/proc/self/fd", NULL };
  const char * const args[] = { "20", NULL };
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *output = NULL;

  afork_process_call (process, "open_inheritable", args);
  afork_process_exec_async (process, argv, NULL, store_result_cb, &result);
  await_result (&result);
  connection = afork_process_exec_finish (process, result, &error);
  g_assert_no_error (error);
  output = read_to_end (connection, NULL);
  /* The last one is the descriptor by which ls reads the folder. */
  g_assert_cmpstr (output, ==, "0\n1\n2\n3\n");
  await_end (process);
  assert_exit_status (process, 0);
}

/* Forks whose template is gone. */
static void
check_orphan (const Refusal *refusal)
{
  g_autoptr(AForkProcess) template = new_executed ();
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(AForkProcess) other = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = run_process_ok (fork, "until_closed");
  g_autoptr(GSocketConnection) of_other = run_process_ok (other, "until_closed");

  afork_process_force_exit (template);
  await_end (template);
  if (refusal->call->other == SYS_pidfd_open)
    {
      g_autoptr(GError) error = NULL;

      /* The exit of these forks cannot be seen. */
      g_assert_false (wait_process (fork, &error));
      assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_LOST, "no pidfd");
      return;
    }

  g_clear_object (&connection);
  await_end (fork);
  g_clear_object (&of_other);
  await_end (other);
}

/* Processes whose main context is gone. */

typedef struct
{
  const char        *function;  /* of the fork */
  AForkProcess      *executed;
  AForkProcess      *fork;
  GSocketConnection *connection;
} Lost;

static void
lose_context (Lost *self)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(GSocketConnection) of_executed G_GNUC_UNUSED = NULL;

  g_main_context_push_thread_default (context);
  template = new_executed ();
  self->fork = afork_process_fork (template);
  self->connection = run_process_ok (self->fork, self->function);
  self->executed = new_executed ();
  of_executed = run_process_ok (self->executed, "forever");
  g_main_context_pop_thread_default (context);
}

/* Signals reach these processes, except a fork without a pidfd. */
static void
check_context_gone (void)
{
  const char *function = has_pidfds () ? "forever" : "until_closed";
  Lost lost = { .function = function };

  lose_context (&lost);
  g_assert_cmpint (afork_process_get_state (lost.executed), ==, AFORK_PROCESS_STATE_EXITED);
  g_assert_cmpint (afork_process_get_state (lost.fork), ==, AFORK_PROCESS_STATE_EXITED);
  afork_process_send_signal (lost.executed, SIGSTOP);
  afork_process_force_exit (lost.executed);
  afork_process_force_exit (lost.fork);
  g_object_unref (lost.connection);
  g_object_unref (lost.executed);
  g_object_unref (lost.fork);
}

/* Blobs of all kinds, in both directions. */
static void
check_calls (gboolean trusted)
{
  static char bytes[1024 * 1024];
  g_autoptr(AForkProcess) process = new_module_process ("calls");
  g_autoptr(AForkRpc) rpc = NULL;

  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", process,
                      "function", "calls_do",
                      "trusted", trusted,
                      NULL);
  for (guint32 i = 0; i < 3; i++)
    {
      g_autoptr(GBytes) blob = g_bytes_new_take (g_memdup2 (bytes, sizeof bytes), sizeof bytes);
      g_autoptr(AForkJob) job = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;
      GBytes **results;
      gsize n_results;

      job = afork_job_new (do_args ("reverse-blobs", 0));
      afork_job_add_blob (job, blob);
      afork_job_add_blob (job, blob);
      value = run_job (rpc, job, &error);
      g_assert_no_error (error);
      results = afork_job_get_result_blobs (job, &n_results);
      g_assert_cmpuint (n_results, ==, 2);
      g_assert_true (g_bytes_equal (results[0], blob));
      g_assert_true (g_bytes_equal (results[1], blob));
      memset (bytes, 'a' + (int) i, sizeof bytes);
    }
  close_rpc (rpc);
}

static void
check_all (gconstpointer data)
{
  const Refusal *refusal = data;
  g_autoptr(AForkProcess) template = NULL;

  refuse (refusal);
  template = new_executed ();
  check_processes (template);
  check_unstarted ();
  check_exec (template);
  check_orphan (refusal);
  check_context_gone ();
  check_calls (TRUE);
  check_calls (FALSE);
}

/* Neither a process that executes a program nor an executed server tries all possible numbers of
 * descriptors: both list the descriptors that are open. */
static void
check_listed (gconstpointer data)
{
  enum { SOME_NUMBER = 4000 };
  g_autoptr(AForkProcess) template = NULL;
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_cur <= SOME_NUMBER || setrlimit (RLIMIT_NOFILE, &limit) < 0)
    skip_apart ("A process may not have so many descriptors here");

  refuse_system_call (SYS_close_range, EPERM);
  forbid_system_call_with (SYS_fcntl, 0, SOME_NUMBER);
  forbid_system_call_with (SYS_close, 0, SOME_NUMBER);
  template = new_executed ();
  check_exec (template);
}

static void
run_listed (void)
{
  run_apart (check_listed, NULL);
}

/* Without all system calls and options that are newer than Linux 5.4. */
static void
check_old_kernel (gconstpointer data)
{
  static const RefusedCall new_calls[] = {
    { "close-range", SYS_close_range, ANY_ARGUMENT, 0, 0 },
    { "faccessat2", SYS_faccessat2, ANY_ARGUMENT, 0, 0 },
    { "openat2", SYS_openat2, ANY_ARGUMENT, 0, 0 },
    { "pidfd-getfd", SYS_pidfd_getfd, ANY_ARGUMENT, 0, 0 },
  };
  static const Refusal none = { &new_calls[0], ENOSYS };
  g_autoptr(AForkProcess) template = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (new_calls); i++)
    refuse_system_call (new_calls[i].number, ENOSYS);
  refuse_system_call_with (SYS_getsockopt, 2, SO_PEERPIDFD, ENOPROTOOPT);
  refuse_system_call_with (SYS_ioctl, 1, 0xc040ff0b, ENOTTY);
  template = new_executed ();
  check_processes (template);
  check_exec (template);
  check_orphan (&none);
  check_calls (TRUE);
  check_calls (FALSE);
}

static void
run_old_kernel (void)
{
  run_apart (check_old_kernel, NULL);
}

static void
run_case (gconstpointer data)
{
  run_apart (check_all, data);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/refused/listed", run_listed);
  g_test_add_func ("/refused/old-kernel", run_old_kernel);
  add_refusals ("/refused", refused, G_N_ELEMENTS (refused), run_case);
  return g_test_run ();
}
