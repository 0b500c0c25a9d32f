/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Signals that this program may not send, because a sandbox refuses them or because it has given up
 * its rights. Each test runs in a process of its own. */

#include "config.h"

#include "test-pid-watch-util.h"
#include "test-refuse-util.h"
#include "test-rpc-util.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The time that the library promises, in microseconds, and what a busy machine adds. */
enum
{
  LIMIT = 5 * G_USEC_PER_SEC,
  SOON = 3 * G_USEC_PER_SEC
};

/* From now on this process cannot kill another process, but can send it other signals. */
static void
refuse_kill (int error)
{
  refuse_system_call_with (SYS_pidfd_send_signal, 1, SIGKILL, error);
  refuse_system_call_with (SYS_kill, 1, SIGKILL, EPERM);
}

static AForkProcess *
new_template (void)
{
  AForkProcess *template = new_executed ();

  await_state (template, AFORK_PROCESS_STATE_PREPARING);
  return template;
}

static AForkProcess *
fork_known (AForkProcess *template)
{
  AForkProcess *fork = afork_process_fork (template);

  await_state (fork, AFORK_PROCESS_STATE_PREPARING);
  return fork;
}

/* Checks that the process cannot be killed, and that ERROR says which process and why. Clears
 * ERROR. */
static void
assert_denied (GError       **error,
               AForkProcess  *process,
               int            cause)
{
  g_autofree char *pid = g_strdup_printf ("%d", (int) afork_process_get_pid (process));

  g_assert_error (*error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr ((*error)->message, pid));
  g_assert_nonnull (strstr ((*error)->message, g_strerror (cause)));
  g_clear_error (error);
}

/* Waiting for it fails now. It is ended in another way. */
static void
end_denied (AForkProcess *process,
            int           cause)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (wait_process (process, &error));
  assert_denied (&error, process, cause);
  g_assert_false (afork_process_wait (process, NULL, &error));
  assert_denied (&error, process, cause);
  g_assert_cmpint (afork_process_get_state (process), <, AFORK_PROCESS_STATE_EXITED);

  afork_process_send_signal (process, SIGUSR1);
  afork_process_send_signal (process, SIGCONT);
  await_end (process);
  g_assert_true (wait_process (process, &error));
  g_assert_no_error (error);
  assert_term_signal (process, SIGUSR1);
}

/* Forks, which their template kills, whatever error this program gets. */
static void
test_fork (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fresh = fork_known (template);
  g_autoptr(AForkProcess) running = afork_process_fork (template);
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(AForkProcess) fork_of_fork = fork_known (fork);
  g_autoptr(AForkProcess) late = NULL;
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (running, "forever");
  AForkProcess *processes[] = { fresh, running, fork_of_fork, fork };
  g_autoptr(GError) error = NULL;

  refuse_kill (GPOINTER_TO_INT (data));
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      afork_process_force_exit (processes[i]);
      g_assert_true (i % 2 == 0 ? wait_process (processes[i], &error)
                                : afork_process_wait (processes[i], NULL, &error));
      g_assert_no_error (error);
      assert_term_signal (processes[i], SIGKILL);
    }

  /* A fork that becomes known later. */
  late = afork_process_fork (template);
  afork_process_force_exit (late);
  await_end (late);
  assert_term_signal (late, SIGKILL);
}

/* The object of the template was dropped. The template stays for its forks, and still kills
 * them. */
static void
test_dropped_template (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) running = afork_process_fork (template);
  g_autoptr(AForkProcess) other = fork_known (template);
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (running, "forever");
  g_autoptr(GSocketConnection) of_other = NULL;

  refuse_kill (EPERM);
  g_assert_finalize_object (g_steal_pointer (&template));
  of_other = run_process_ok (other, "until_closed");
  afork_process_force_exit (running);
  await_end (running);
  assert_term_signal (running, SIGKILL);
  finish_process (other, of_other);
}

/* The template has failed, or was run, so another process reports. */
static void
test_template_at_end (gconstpointer data)
{
  const gboolean fails = data != NULL;
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GSocketConnection) of_fork G_GNUC_UNUSED = run_process_ok (fork, "forever");

  refuse_kill (EPERM);
  if (fails)
    {
      g_autoptr(GError) error = NULL;

      afork_process_chdir (template, "/afork/no-such-folder");
      connection = run_process (template, "done", &error);
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
    }
  else
    {
      connection = run_process_ok (template, "forever");
    }

  afork_process_force_exit (fork);
  await_end (fork);
  assert_term_signal (fork, SIGKILL);
  if (!fails)
    afork_process_force_exit (template);
  await_end (template);
  if (!fails)
    assert_term_signal (template, SIGKILL);
}

static void
assert_between (gint64 begin,
                gint64 least,
                gint64 most)
{
  const gint64 time = g_get_monotonic_time () - begin;

  g_assert_cmpint (time, >=, least);
  if (!is_instrumented ())
    g_assert_cmpint (time, <=, most);
}

/* A process that has a fork is killed while another fork becomes the worker. Only the process can
 * kill that one, so it must not be killed before. */
static void
test_successor (gconstpointer data)
{
  const gboolean is_known = data != NULL;
  g_autoptr(AForkProcess) template = new_template ();

  refuse_kill (EPERM);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);
      g_autoptr(AForkProcess) fork = afork_process_fork (process);
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;

      if (is_known)
        await_state (fork, AFORK_PROCESS_STATE_PREPARING);
      afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
      for (guint j = 0; j < i % 4; j++)
        g_main_context_iteration (NULL, FALSE);
      afork_process_force_exit (process);
      await_result (&result);
      g_assert_true (wait_process (process, &error));
      g_assert_no_error (error);
      assert_term_signal (process, SIGKILL);
    }
}

/* If it hangs, it is killed nevertheless, once the time is over in which another process could have
 * taken its place. */
static void
test_successor_hangs (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) process = fork_known (template);
  G_GNUC_UNUSED g_autoptr(AForkProcess) fork = fork_known (process);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  const gint64 begin = g_get_monotonic_time ();

  refuse_kill (EPERM);
  afork_process_call (process, "stop", NULL);
  afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
  afork_process_force_exit (process);
  await_result (&result);
  g_assert_true (wait_process (process, &error));
  g_assert_no_error (error);
  assert_term_signal (process, SIGKILL);
  assert_between (begin, LIMIT, LIMIT + SOON);
}

/* To be called before there is a process that would outlive the test. */
static void
need_pidfds (void)
{
  const int fd = (int) syscall (SYS_pidfd_open, getpid (), 0);

  if (fd < 0)
    skip_apart ("There are no pidfds");
  g_assert_no_errno (close (fd));
}

/* The main context is freed before it is known whether there is another fork: the process is killed
 * at once. */
static void
test_successor_context_gone (gconstpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  struct pollfd end = { .events = POLLIN };

  need_pidfds ();
  g_main_context_push_thread_default (context);
  template = new_template ();
  process = fork_known (template);
  fork = fork_known (process);
  end.fd = (int) syscall (SYS_pidfd_open, afork_process_get_pid (process), 0);
  g_assert_no_errno (end.fd);
  refuse_kill (EPERM);
  afork_process_call (process, "stop", NULL);
  afork_process_run_async (process, "forever", NULL, store_result_cb, &result);
  afork_process_force_exit (process);
  await_result (&result);
  g_assert_cmpint (poll (&end, 1, 0), ==, 0);

  g_clear_object (&result);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);
  g_assert_cmpint (poll (&end, 1, 30 * 1000), ==, 1);
  close (end.fd);
}

/* A handler that is called when the context is freed kills another process of the context, which
 * only its template can kill. */

static gboolean
never_cb (gpointer data)
{
  g_assert_not_reached ();
}

static void
kill_last (gpointer data)
{
  afork_process_force_exit (data);
}

static void
test_context_going (gconstpointer data)
{
  const int priority = GPOINTER_TO_INT (data);
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  GSource *source = g_idle_source_new ();
  struct pollfd end = { .events = POLLIN };

  need_pidfds ();
  g_main_context_push_thread_default (context);
  template = new_template ();
  process = afork_process_fork (template);
  connection = run_process_ok (process, "forever");
  end.fd = (int) syscall (SYS_pidfd_open, afork_process_get_pid (process), 0);
  g_assert_no_errno (end.fd);
  g_source_set_priority (source, priority);
  g_source_set_callback (source, never_cb, process, kill_last);
  g_source_attach (source, context);
  g_source_unref (source);

  refuse_kill (EPERM);
  g_main_context_pop_thread_default (context);
  g_clear_pointer (&context, g_main_context_unref);
  g_assert_false (afork_process_wait (process, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  /* When all sources of the library are destroyed, it is too late to tell the template, but other
   * signals reach the process. */
  if (priority < 0)
    afork_process_send_signal (process, SIGTERM);
  g_assert_cmpint (poll (&end, 1, 30 * 1000), ==, 1);
  close (end.fd);
}

/* All signals are sent in this way, in order. */
static void
test_other_signals (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = run_process_ok (fork, "count_signals");

  assert_line (connection, "ready");
  refuse_system_call (SYS_pidfd_send_signal, EPERM);
  refuse_system_call (SYS_kill, EPERM);
  for (guint i = 1; i <= 5; i++)
    {
      const char expected[] = { (char) ('0' + i), '\0' };

      afork_process_send_signal (fork, SIGUSR1);
      assert_line (connection, expected);
    }
  finish_process (fork, connection);
}

static void
cancel_run (AForkProcess  *process,
            const char    *function,
            GAsyncResult **result)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  afork_process_run_async (process, function, cancellable, store_result_cb, result);
  g_cancellable_cancel (cancellable);
}

/* Cancelling returns when the process was killed. */
static void
test_cancelled (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  refuse_kill (EPERM);
  afork_process_call (fork, "stop", NULL);
  cancel_run (fork, "done", &result);
  await_result (&result);
  g_assert_null (afork_process_run_finish (fork, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  await_end (fork);
  assert_term_signal (fork, SIGKILL);
}

/* The template replies too late, or never: no operation waits for it longer than five seconds. */
static void
test_template_silent (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(AForkProcess) cancelled = fork_known (template);
  g_autoptr(GAsyncResult) wait = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (fork, "forever");
  g_autoptr(GError) error = NULL;
  gint64 begin;

  refuse_kill (EPERM);
  afork_process_send_signal (template, SIGSTOP);
  begin = g_get_monotonic_time ();
  afork_process_wait_async (fork, NULL, store_result_cb, &wait);
  afork_process_force_exit (fork);
  afork_process_call (cancelled, "stop", NULL);
  cancel_run (cancelled, "done", &result);

  await_result (&wait);
  assert_between (begin, LIMIT, LIMIT + SOON);
  g_assert_false (afork_process_wait_finish (fork, wait, &error));
  assert_denied (&error, fork, EPERM);
  g_assert_false (wait_process (fork, &error));
  assert_denied (&error, fork, EPERM);
  await_result (&result);
  g_assert_null (afork_process_run_finish (cancelled, result, &error));
  assert_denied (&error, cancelled, EPERM);

  /* The template was only slow, and kills them after all. */
  afork_process_send_signal (template, SIGCONT);
  await_end (fork);
  assert_term_signal (fork, SIGKILL);
  await_end (cancelled);
  assert_term_signal (cancelled, SIGKILL);
  g_assert_true (wait_process (fork, &error));
  g_assert_no_error (error);
}

/* The template is gone, and the fork cannot be killed by its pidfd. */
static void
test_template_gone (gconstpointer data)
{
  const gboolean asked = data != NULL;
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (fork, "forever");
  g_autoptr(GError) error = NULL;

  refuse_kill (EPERM);
  if (asked)
    {
      afork_process_send_signal (template, SIGSTOP);
      afork_process_force_exit (fork);
    }
  afork_process_send_signal (template, SIGUSR1);
  afork_process_send_signal (template, SIGCONT);
  await_end (template);
  if (afork_process_get_state (fork) == AFORK_PROCESS_STATE_EXITED)
    return;

  afork_process_force_exit (fork);
  g_assert_true (wait_process (fork, &error));
  g_assert_no_error (error);
  assert_term_signal (fork, SIGKILL);
}

/* A process that was executed has no template. */
static void
test_executed (gconstpointer data)
{
  const int cause = GPOINTER_TO_INT (data);
  g_autoptr(AForkProcess) process = new_executed ();
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (process, "forever");
  g_autoptr(GAsyncResult) wait = NULL;
  g_autoptr(GError) error = NULL;
  const gint64 begin = g_get_monotonic_time ();

  refuse_kill (cause);
  afork_process_wait_async (process, NULL, store_result_cb, &wait);
  afork_process_force_exit (process);
  await_result (&wait);
  g_assert_false (afork_process_wait_finish (process, wait, &error));
  assert_denied (&error, process, EPERM);
  assert_between (begin, 0, SOON);
  end_denied (process, EPERM);
}

/* The pid of a child that was not reaped cannot be reused, so this needs no pidfd. */
static void
test_executed_by_pid (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_executed ();
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (process, "forever");

  refuse_system_call (SYS_pidfd_send_signal, GPOINTER_TO_INT (data));
  afork_process_force_exit (process);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

/* A process that was not run cannot be killed, but exits when its socket is closed. */
static void
test_executed_fresh (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_template ();
  g_autoptr(GAsyncResult) wait G_GNUC_UNUSED = NULL;
  g_autoptr(GError) error = NULL;

  refuse_kill (EPERM);
  afork_process_force_exit (process);
  g_assert_null (run_process (process, "done", &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  await_end (process);
  assert_exit_status (process, 0);
}

/* A process that has forks exits after them. */
static void
test_executed_with_forks (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (process);
  g_autoptr(GSocketConnection) connection G_GNUC_UNUSED = run_process_ok (fork, "forever");
  g_autoptr(GError) error = NULL;

  refuse_kill (EPERM);
  afork_process_force_exit (process);
  g_assert_false (wait_process (process, &error));
  assert_denied (&error, process, EPERM);
  afork_process_force_exit (fork);
  await_end (fork);
  assert_term_signal (fork, SIGKILL);
  await_end (process);
  assert_exit_status (process, 0);
}

/* The process is being cancelled, is stopped, and cannot be killed. */
static void
test_executed_cancelled (gconstpointer data)
{
  g_autoptr(AForkProcess) process = new_template ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  refuse_kill (EPERM);
  afork_process_call (process, "stop", NULL);
  cancel_run (process, "done", &result);
  await_result (&result);
  g_assert_null (afork_process_run_finish (process, result, &error));
  assert_denied (&error, process, EPERM);
  end_denied (process, EPERM);
}

/* A template does not signal a process that was given to another caller, but this program may. */
static void
test_detached (gconstpointer data)
{
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = fork_known (template);
  g_autoptr(GError) error = NULL;
  int fd;

  fd = afork_process_detach (fork, NULL, &error);
  g_assert_no_error (error);
  refuse_kill (EPERM);
  afork_process_force_exit (fork);
  g_assert_true (wait_process (fork, &error));
  g_assert_no_error (error);
  assert_term_signal (fork, SIGKILL);
  g_assert_no_errno (close (fd));
}

/* A program that has made its templates and then given up its rights. */
static void
check_other_user (void)
{
  const uid_t nobody = 65534;
  g_autoptr(AForkProcess) template = new_template ();
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(AForkProcess) executed = new_executed ();
  g_autoptr(AForkProcess) detached = fork_known (template);
  g_autoptr(GSocketConnection) of_fork G_GNUC_UNUSED = run_process_ok (fork, "forever");
  g_autoptr(GSocketConnection) of_executed = run_process_ok (executed, "until_closed");
  g_autoptr(GError) error = NULL;
  int fd = afork_process_detach (detached, NULL, &error);

  g_assert_no_error (error);
  g_assert_no_errno (setresuid (nobody, nobody, nobody));

  afork_process_force_exit (fork);
  g_assert_true (wait_process (fork, &error));
  g_assert_no_error (error);
  assert_term_signal (fork, SIGKILL);

  afork_process_force_exit (executed);
  g_assert_false (wait_process (executed, &error));
  assert_denied (&error, executed, EPERM);
  finish_process (executed, of_executed);

  afork_process_force_exit (detached);
  g_assert_false (wait_process (detached, &error));
  assert_denied (&error, detached, EPERM);
  g_assert_no_errno (close (fd));
  await_end (detached);
  assert_exit_status (detached, 0);

  /* It exits when it is dropped, as usual. */
  g_assert_finalize_object (g_steal_pointer (&template));
}

static void
test_other_user (gconstpointer data)
{
  const gid_t nobody = 65534;

  if (geteuid () != 0 || setgroups (0, NULL) < 0 || setresgid (nobody, nobody, nobody) < 0)
    skip_apart ("Only root can give up its rights");

  check_other_user ();
}

/* Calls. */

static void
append_step (AForkProcess *process,
             const char   *text)
{
  g_autoptr(GBytes) bytes = g_bytes_new (text, strlen (text));

  afork_process_send_bytes (process, bytes);
}

/* A worker of calls has closed its socket, or breaks the protocol, and cannot be killed. */
static void
test_rpc (gconstpointer data)
{
  const char *step = data;
  g_autoptr(AForkProcess) process = afork_process_new_exec (NULL);
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GAsyncResult) closed = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_require (process, "hostile-calls");
  append_step (process, "w");
  append_step (process, step);
  append_step (process, "s");
  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", process, "function", "any", "forward-stderr", FALSE, NULL);
  await_state (process, AFORK_PROCESS_STATE_RUNNING);
  refuse_kill (EPERM);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  afork_rpc_close_async (rpc, NULL, store_result_cb, &closed);
  await_result (&result);
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  assert_denied (&error, process, EPERM);
  await_result (&closed);
  g_assert_false (afork_rpc_close_finish (rpc, closed, &error));
  assert_denied (&error, process, EPERM);

  g_clear_object (&result);
  g_clear_object (&closed);
  g_assert_finalize_object (g_steal_pointer (&rpc));
  afork_process_send_signal (process, SIGUSR1);
  await_end (process);
}

typedef struct
{
  GTestDataFunc test;
  gconstpointer data;
} Apart;

static void
run_case (gconstpointer data)
{
  const Apart *apart = data;

  run_apart (apart->test, apart->data);
}

static void
add (const char    *path,
     GTestDataFunc  test,
     gconstpointer  data)
{
  /* GLib does not free the data of tests that are not run. */
  static Apart cases[64];
  static guint n_cases;
  Apart *apart = &cases[n_cases++];

  g_assert_cmpuint (n_cases, <=, G_N_ELEMENTS (cases));
  *apart = (Apart) { test, data };
  g_test_add_data_func (path, apart, run_case);
}

int
main (int    argc,
      char **argv)
{
  static const struct { const char *name; int number; } errors[] = {
    { "eperm", EPERM },
    { "enosys", ENOSYS },
    { "eacces", EACCES },
    { "einval", EINVAL },
    { "euclean", EUCLEAN },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      gconstpointer number = GINT_TO_POINTER (errors[i].number);
      g_autofree char *fork = g_strconcat ("/signals/fork/", errors[i].name, NULL);
      g_autofree char *by_pid = g_strconcat ("/signals/executed/by-pid/", errors[i].name, NULL);
      g_autofree char *executed = g_strconcat ("/signals/executed/", errors[i].name, NULL);

      add (fork, test_fork, number);
      add (executed, test_executed, number);
      add (by_pid, test_executed_by_pid, number);
    }
  add ("/signals/dropped-template", test_dropped_template, NULL);
  add ("/signals/template/run", test_template_at_end, NULL);
  add ("/signals/template/failed", test_template_at_end, GINT_TO_POINTER (1));
  add ("/signals/template/silent", test_template_silent, NULL);
  add ("/signals/template/gone", test_template_gone, NULL);
  add ("/signals/template/gone-asked", test_template_gone, GINT_TO_POINTER (1));
  add ("/signals/successor/known", test_successor, GINT_TO_POINTER (1));
  add ("/signals/successor/unknown", test_successor, NULL);
  add ("/signals/successor/hangs", test_successor_hangs, NULL);
  add ("/signals/successor/context-gone", test_successor_context_gone, NULL);
  add ("/signals/context-going/early", test_context_going,
       GINT_TO_POINTER (G_PRIORITY_DEFAULT_IDLE));
  add ("/signals/context-going/late", test_context_going, GINT_TO_POINTER (G_PRIORITY_HIGH));
  add ("/signals/other", test_other_signals, NULL);
  add ("/signals/cancelled", test_cancelled, NULL);
  add ("/signals/executed/fresh", test_executed_fresh, NULL);
  add ("/signals/executed/with-forks", test_executed_with_forks, NULL);
  add ("/signals/executed/cancelled", test_executed_cancelled, NULL);
  add ("/signals/detached", test_detached, NULL);
  add ("/signals/other-user", test_other_user, NULL);
  add ("/signals/rpc/closed", test_rpc, "c");
  add ("/signals/rpc/protocol", test_rpc, "bThis is no frame.");
  return g_test_run ();
}
