/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that crash. What they answered, reported and emitted before arrives in order, and the
 * errors of all other calls say whether the call had begun. */

#define _GNU_SOURCE
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test-rpc-util.h"

enum { N_CALLS = 100, N_GOOD = 50 };

static const char begun_text[] = "This call had begun. ";
static const char not_begun_text[] = "This call had not begun. ";

/* The outcomes of calls, in the order in which they ended. */
typedef struct
{
  AForkRpc *rpc;
  guint     n_results;
  guint     n_begun;            /* of the calls that failed */
  guint     n_failed;
  int       kill_at;            /* the worker is killed after so many results; -1: never */
} Calls;

static AForkRpc *
new_crash_rpc (gboolean concurrent)
{
  return new_rpc_of ("crash", concurrent ? "crash_later" : "crash_do", concurrent);
}

static GVariant *
crash_args (guint       number,
            guint       microseconds,
            const char *what,
            guint       size)
{
  return g_variant_new ("(uusu)", number, microseconds, what, size);
}

static guint32
get_number (GVariant *value)
{
  guint32 number;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32))
    return g_variant_get_uint32 (value);

  g_variant_get (value, "(u@ay)", &number, NULL);
  return number;
}

static void
count_end (Calls        *calls,
           GVariant     *value,
           const GError *error)
{
  if (value != NULL)
    {
      g_assert_cmpuint (calls->n_failed, ==, 0);
      g_assert_cmpuint (get_number (value), ==, calls->n_results);
      if ((int) ++calls->n_results == calls->kill_at)
        afork_process_send_signal (afork_rpc_get_process (calls->rpc), SIGKILL);
      return;
    }

  g_assert_true (error->domain == AFORK_ERROR);
  if (calls->n_failed++ == 0)
    g_test_message ("%s", error->message);
  if (g_str_has_prefix (error->message, begun_text))
    calls->n_begun++;
  else if (!g_str_has_prefix (error->message, not_begun_text))
    g_error ("“%s” does not say whether the call had begun", error->message);
}

static void
called_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);

  count_end (data, value, error);
}

static void
job_run_cb (GObject      *object,
            GAsyncResult *result,
            gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_run_job_finish (AFORK_RPC (object), result, &error);

  count_end (data, value, error);
}

static void
begin_one (Calls      *calls,
           guint       number,
           guint       microseconds,
           const char *what,
           guint       size)
{
  afork_rpc_call_async (calls->rpc, crash_args (number, microseconds, what, size), NULL, called_cb,
                        calls);
}

/* N_CALLS calls. The one after N_GOOD ends the worker. */
static void
begin_all (Calls      *calls,
           guint       microseconds,
           const char *how)
{
  afork_rpc_set_max_in_flight (calls->rpc, N_CALLS);
  for (guint i = 0; i < N_CALLS; i++)
    begin_one (calls, i, microseconds, i == N_GOOD ? how : "", 0);
}

static void
await_all (Calls *calls,
           guint  n_calls)
{
  while (calls->n_results + calls->n_failed < n_calls)
    g_main_context_iteration (NULL, TRUE);
}

static void
check_all (Calls *calls)
{
  await_all (calls, N_CALLS);
  g_assert_cmpuint (calls->n_results, ==, N_GOOD);
  g_assert_cmpuint (calls->n_begun, ==, 1);
}

/* Calls that take any time, and workers that end in any way. */
static void
test_answers (gboolean concurrent)
{
  static const char * const ends[] = { "segv", "kill", "abort", "exit", "exec" };
  static const guint times[] = { 0, 1, 20, 50, 90, 150 };
  const guint n_rounds = is_instrumented () ? 1 : 3;

  for (guint i = 0; i < G_N_ELEMENTS (ends) * G_N_ELEMENTS (times) * n_rounds; i++)
    {
      g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
      Calls calls = { .rpc = rpc, .kill_at = -1 };

      begin_all (&calls, times[i % G_N_ELEMENTS (times)],
                 ends[i / G_N_ELEMENTS (times) % G_N_ELEMENTS (ends)]);
      check_all (&calls);
    }
}

static void
test_untrusted (gboolean concurrent)
{
  g_autoptr(AForkProcess) process = new_module_process ("crash");
  g_autoptr(AForkRpc) rpc = NULL;
  Calls calls = { .kill_at = -1 };

  rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "concurrent", concurrent,
                      "function", concurrent ? "crash_later" : "crash_do",
                      "forward-stderr", FALSE, "trusted", FALSE, NULL);
  calls.rpc = rpc;
  begin_all (&calls, 0, "kill");
  check_all (&calls);
}

/* The only call, and the first of several. */
static void
test_first (gboolean concurrent)
{
  for (guint n_calls = 1; n_calls < 4; n_calls++)
    {
      g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
      Calls calls = { .rpc = rpc, .kill_at = -1 };

      for (guint i = 0; i + 1 < n_calls; i++)
        {
          begin_one (&calls, i, 0, "", 0);
          await_all (&calls, i + 1);
        }
      begin_one (&calls, n_calls, 0, "kill", 0);
      await_all (&calls, n_calls);
      g_assert_cmpuint (calls.n_results, ==, n_calls - 1);
      g_assert_cmpuint (calls.n_begun, ==, 1);
    }
}

/* The worker is killed at any moment. It counts the functions that are entered: the results of all
 * but the last one have arrived. */
static void
test_killed (gboolean concurrent)
{
  const int n_rounds = is_instrumented () ? 5 : 60;

  for (int i = 0; i < n_rounds; i++)
    {
      g_autoptr(AForkProcess) process = new_module_process ("crash");
      int fd = memfd_create ("entered", MFD_CLOEXEC);
      Calls calls = { .kill_at = 1 + i };
      g_autoptr(AForkRpc) rpc = NULL;
      guint32 n_entered;

      g_assert_no_errno (fd);
      g_assert_no_errno (ftruncate (fd, sizeof n_entered));
      afork_process_send_fd (process, fd);
      rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "concurrent", concurrent,
                          "function", concurrent ? "crash_later" : "crash_do",
                          "init-function", "crash_init", NULL);
      calls.rpc = rpc;
      afork_rpc_set_max_in_flight (rpc, 1000);
      for (guint j = 0; j < 1000; j++)
        begin_one (&calls, j, i % 5, "", 0);
      await_all (&calls, 1000);
      g_assert_cmpint (pread (fd, &n_entered, sizeof n_entered, 0), ==, sizeof n_entered);
      close (fd);

      g_test_message ("%u entered, %u results, %u begun and lost", n_entered, calls.n_results,
                      calls.n_begun);
      /* The last function may have returned, too. */
      g_assert_cmpuint (calls.n_results + 1, >=, n_entered);
      g_assert_cmpuint (calls.n_results, <=, n_entered);
      g_assert_cmpuint (calls.n_begun, <=, 1);
      if (calls.n_failed > 0 && calls.n_results < n_entered)
        g_assert_cmpuint (calls.n_begun, ==, 1);
    }
}

/* Progress and events, and the states of jobs. */
static void
test_order (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
  AForkJob *jobs[N_CALLS];

  afork_rpc_set_max_in_flight (rpc, N_CALLS);
  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), log);
  for (guint i = 0; i < N_CALLS; i++)
    {
      jobs[i] = afork_job_new (crash_args (i, 0, i == N_GOOD ? "kill" : "tell", 0));
      g_signal_connect (jobs[i], "progress", G_CALLBACK (append_text_cb), log);
      afork_rpc_run_job_async (rpc, jobs[i], NULL, append_result_cb, log);
      if (i < N_GOOD)
        g_string_append_printf (expected, "e%u p%u r%u ", i, i, i);
      else
        g_string_append (expected, "xsignaled ");
    }
  await_log (log, expected->str);
  for (guint i = 0; i < N_CALLS; i++)
    {
      g_assert_cmpint (afork_job_get_begun (jobs[i]), ==, i <= N_GOOD);
      g_object_unref (jobs[i]);
    }
}

/* Answers that are larger than the outbox, and blobs. */
static void
test_large (gboolean concurrent)
{
  static const guint sizes[] = { 0, 100, 17 * 1000, 40 * 1000, 100, 1200 * 1000, 0 };
  g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
  Calls calls = { .rpc = rpc, .kill_at = -1 };
  guint n_calls = 0;

  afork_rpc_set_max_in_flight (rpc, N_CALLS);
  for (guint i = 0; i < 3 * G_N_ELEMENTS (sizes); i++)
    {
      guint size = sizes[i % G_N_ELEMENTS (sizes)];
      g_autoptr(AForkJob) job = NULL;

      begin_one (&calls, n_calls++, 0, "", size);
      job = afork_job_new (crash_args (n_calls++, 0, "blob", size));
      afork_rpc_run_job_async (rpc, job, NULL, job_run_cb, &calls);
    }
  begin_one (&calls, n_calls, 0, "kill", 0);
  await_all (&calls, n_calls + 1);
  g_assert_cmpuint (calls.n_results, ==, n_calls);
}

/* The socket is full when a worker exits that does not wait for room. */
static void
test_full (void)
{
  enum { SIZE = 10 * 1000 };
  g_autoptr(AForkRpc) rpc = new_crash_rpc (TRUE);
  Calls calls = { .rpc = rpc, .kill_at = -1 };
  struct pollfd entry = { .events = POLLIN };
  GPid pid;

  begin_one (&calls, 0, 0, "", 0);
  await_all (&calls, 1);
  pid = afork_process_get_pid (afork_rpc_get_process (rpc));
  entry.fd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (entry.fd < 0)
    {
      g_test_skip ("there is no pidfd_open()");
      return;
    }

  afork_rpc_set_max_in_flight (rpc, N_CALLS);
  for (guint i = 1; i < N_CALLS; i++)
    begin_one (&calls, i, 0, i == N_CALLS - 1 ? "kill" : "", SIZE);
  /* The worker sends them, and reads perhaps a few answers. */
  g_main_context_iteration (NULL, FALSE);
  g_assert_cmpint (poll (&entry, 1, -1), ==, 1);
  close (entry.fd);
  await_all (&calls, N_CALLS);
  g_assert_cmpuint (calls.n_results, ==, N_CALLS - 1);
  g_assert_cmpuint (calls.n_begun, ==, 1);
}

/* A child of the worker keeps the socket open after the crash. */
static void
test_child (gboolean concurrent)
{
  g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
  g_autoptr(GUnixFDList) list = NULL;
  g_autoptr(AForkJob) job = afork_job_new (crash_args (0, 0, "child", 0));
  g_autoptr(GError) error = NULL;
  Calls calls = { .rpc = rpc, .kill_at = -1 };
  int gate[2];

  g_unix_open_pipe (gate, FD_CLOEXEC, &error);
  g_assert_no_error (error);
  list = g_unix_fd_list_new_from_array (gate, 1);
  afork_job_set_fds (job, list);
  afork_rpc_set_max_in_flight (rpc, N_CALLS);
  afork_rpc_run_job_async (rpc, job, NULL, job_run_cb, &calls);
  for (guint i = 1; i < N_CALLS; i++)
    begin_one (&calls, i, 0, i == N_GOOD ? "kill" : "", 0);
  check_all (&calls);
  close (gate[1]);
}

/* The callback of the first answer waits for the end of the last call. */

static void
await_others_cb (GObject      *object,
                 GAsyncResult *result,
                 gpointer      data)
{
  Calls *calls = data;

  called_cb (object, result, calls);
  await_all (calls, N_CALLS);
}

static void
test_nested (gboolean concurrent)
{
  enum { N_ROUNDS = 10 };

  for (int i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
      Calls calls = { .rpc = rpc, .kill_at = -1 };

      afork_rpc_set_max_in_flight (rpc, N_CALLS);
      afork_rpc_call_async (rpc, crash_args (0, 0, "", 0), NULL, await_others_cb, &calls);
      for (guint j = 1; j < N_CALLS; j++)
        begin_one (&calls, j, 0, j == N_GOOD ? "kill" : "", 0);
      check_all (&calls);
    }
}

/* Whether the program has the descriptor of an outbox. */
static gboolean
has_outbox (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  gboolean found = FALSE;
  const char *name;

  while (!found && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      found = target != NULL && strstr (target, "afork-outbox") != NULL;
    }

  return found;
}

/* A program whose limit of file size leaves no room for an outbox. The worker has none, and sends
 * its output before it enters each function. */
static void
test_without_outbox (gboolean concurrent)
{
  const struct rlimit limit = { 0, RLIM_INFINITY };
  const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
  g_autoptr(AForkRpc) rpc = NULL;
  Calls calls = { .kill_at = -1 };

  if (setrlimit (RLIMIT_FSIZE, &no_limit) < 0)
    {
      g_test_skip ("the size of files is limited");
      return;
    }

  /* The output of the suite may go to a file. */
  signal (SIGXFSZ, SIG_IGN);
  rpc = new_crash_rpc (concurrent);
  calls.rpc = rpc;
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &limit));
  begin_one (&calls, 0, 0, "", 0);
  begin_one (&calls, 1, 0, "", 0);
  await_all (&calls, 2);
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &no_limit));
  signal (SIGXFSZ, SIG_DFL);
  g_assert_false (has_outbox ());

  afork_rpc_set_max_in_flight (rpc, N_CALLS);
  for (guint i = 2; i < N_CALLS; i++)
    begin_one (&calls, i, 0, i == N_GOOD ? "kill" : "", 0);
  check_all (&calls);
}

/* A worker that gets one call has no outbox. The next call brings it. */
static void
test_descriptor (gboolean concurrent)
{
  g_autoptr(AForkRpc) rpc = new_crash_rpc (concurrent);
  Calls calls = { .rpc = rpc, .kill_at = -1 };

  begin_one (&calls, 0, 0, "", 0);
  await_all (&calls, 1);
  g_assert_false (has_outbox ());
  begin_one (&calls, 1, 0, "", 0);
  await_all (&calls, 2);
  g_assert_true (has_outbox ());
  close_rpc (rpc);
  g_assert_false (has_outbox ());
}

/* A worker is killed, and its template is stopped for so long that the worker would be killed if it
 * had only closed its socket. The error says how the worker has exited. */
static void
test_late_report (void)
{
  g_autoptr(AForkProcess) template = new_module_process ("calls");
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  g_autoptr(AForkRpc) rpc = g_object_new (AFORK_TYPE_RPC, "process", process,
                                          "function", "calls_do", "forward-stderr", FALSE, NULL);
  GAsyncResult *result = NULL;
  gboolean is_over = FALSE;

  if (!can_signal_by_pidfd ())
    {
      g_test_skip ("Valgrind 3.19 has no pidfd_send_signal()");
      return;
    }

  begin_call (rpc, "report", 1, NULL, &result);
  expect_uint32 (rpc, &result, 1);
  afork_process_send_signal (template, SIGSTOP);
  begin_call (rpc, "stuck", 0, NULL, &result);
  afork_process_send_signal (process, SIGKILL);
  iterate ();
  g_timeout_add (5500, set_cb, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (result);
  afork_process_send_signal (template, SIGCONT);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_SIGNALED, "signal 9");
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-crash/answers", test_answers);
  add_for_both ("/rpc-crash/untrusted", test_untrusted);
  add_for_both ("/rpc-crash/first", test_first);
  add_for_both ("/rpc-crash/killed", test_killed);
  add_for_both ("/rpc-crash/order", test_order);
  add_for_both ("/rpc-crash/large", test_large);
  add_test ("/rpc-crash/full", test_full);
  add_for_both ("/rpc-crash/child", test_child);
  add_for_both ("/rpc-crash/nested", test_nested);
  add_for_both ("/rpc-crash/without-outbox", test_without_outbox);
  add_for_both ("/rpc-crash/descriptor", test_descriptor);
  add_test ("/rpc-crash/late-report", test_late_report);

  return g_test_run ();
}
