/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server by itself, and its forks: when it makes them, and how it waits for them. */

#include "config.h"

#include "server-caller.h"
#include "test-limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The time in which something must not happen. */
enum { MOMENT_MS = 100 };

/* Whether a child of this process exits in a moment. */
static gboolean
ends_in_a_moment (pid_t pid)
{
  siginfo_t info = { 0 };

  poll (NULL, 0, MOMENT_MS);
  g_assert_no_errno (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT));
  return info.si_pid != 0;
}

/* A process with threads cannot be forked, and if it has forks, it cannot be run. */
static void
test_threads (guint         *n_fds,
              gconstpointer  data)
{
  Caller caller, first, second;
  AForkFrame frame;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &first);
  caller_require (&caller, "faults");
  caller_call (&caller, "call_thread", STRV ("loom"));
  caller_fork (&caller, 2, &second);
  frame = caller_expect (&caller, AFORK_FRAME_FORK_FAILED);
  g_assert_cmpuint (frame.number[0], ==, 2);
  g_assert_cmpuint (frame.number[1], ==, AFORK_WIRE_ERROR_THREADS);
  g_assert_nonnull (strstr (frame.string[0], "loom"));
  caller_expect_end (&second);

  caller_run (&caller, "run_hang");
  caller_expect_error (&caller, AFORK_WIRE_ERROR_THREADS, "loom");
  caller_finish (&first, 0);
  caller_expect_exited (&caller, 1, 0);
  caller_expect_end (&caller);
  caller_finish (&second, 0);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_THREADS);
}

/* The name of a thread may have any characters. This one looks like the fields of a thread that is
 * exiting, where the name ends and the next line begins. */
static void
test_thread_name (guint         *n_fds,
                  gconstpointer  data)
{
  static const char name[] = ")R0 0 0 0 0 4\n";
  Caller caller, refused;
  AForkFrame frame;

  caller_start (&caller);
  caller_require (&caller, "faults");
  caller_call (&caller, "call_thread", STRV (name));
  caller_fork (&caller, 1, &refused);
  frame = caller_expect (&caller, AFORK_FRAME_FORK_FAILED);
  g_assert_cmpuint (frame.number[1], ==, AFORK_WIRE_ERROR_THREADS);
  g_assert_true (g_str_has_suffix (frame.string[0], name));

  caller_expect_end (&refused);
  caller_finish (&refused, 0);
  caller_finish (&caller, 0);
}

/* A thousand at once, with their descriptors in as few messages as possible. */
static void
test_many_forks (guint         *n_fds,
                 gconstpointer  data)
{
  enum { N_FORKS = 1000 };
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree gboolean *ended = g_new0 (gboolean, N_FORKS + 1);
  int fds[AFORK_FRAME_MAX_FDS];
  int ours, theirs;
  Caller caller;
  guint offset = 0;

  /* The server has a pidfd of each, and the sockets that it has not processed yet are open as
   * well. */
  if (!need_descriptors (4 * N_FORKS))
    return;

  /* They find their socket closed at once, and exit. */
  open_sockets (&ours, &theirs);
  close_fd (&ours);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = theirs;
  for (guint32 i = 1; i <= N_FORKS; i++)
    add_frame (bytes, FRAME (FORK, .number = { i }, .n_fds = 1));

  caller_start (&caller);
  for (guint n_sent = 0; n_sent < N_FORKS; n_sent += AFORK_FRAME_MAX_FDS)
    {
      guint n_sent_fds = MIN (N_FORKS - n_sent, (guint) AFORK_FRAME_MAX_FDS);
      /* All but the last message have one byte, and only descriptors that come with it. */
      guint n_bytes = n_sent + n_sent_fds < N_FORKS ? 1 : bytes->len - offset;

      caller_send_bytes (&caller, bytes->data + offset, n_bytes, fds, n_sent_fds);
      offset += n_bytes;
    }
  close_fd (&theirs);

  for (guint i = 0; i < N_FORKS; i++)
    {
      AForkFrame frame = caller_expect (&caller, AFORK_FRAME_EXITED);

      g_assert_cmpuint (frame.exit.wait_status, ==, 0);
      g_assert_cmpuint (frame.number[0], >=, 1);
      g_assert_cmpuint (frame.number[0], <=, N_FORKS);
      g_assert_false (ended[frame.number[0]]);
      ended[frame.number[0]] = TRUE;
    }
  caller_finish (&caller, 0);
}

/* The caller is killed. Its forks live on, and the server stays until they have exited. */
static void
test_linger (guint         *n_fds,
             gconstpointer  data)
{
  Caller caller, first, second;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  close_fd (&caller.socket);
  caller_require (&first, "echo");
  caller_send (&first, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "alone", .n_bytes = 5));
  caller_run (&first, "echo");
  caller_expect (&first, AFORK_FRAME_READY);
  caller_expect_echo (&first, "alone");
  caller_finish (&first, 0);

  g_assert_false (ends_in_a_moment (caller.pid));
  caller_finish (&second, 0);
  caller_finish (&caller, 0);
}

/* Forks that were requested are made, even if the caller is gone by then. */
static void
test_linger_pending (guint         *n_fds,
                     gconstpointer  data)
{
  Caller caller, forks[8];

  caller_start (&caller);
  g_assert_no_errno (kill (caller.pid, SIGSTOP));
  for (guint32 i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      caller_fork (&caller, i + 1, &forks[i]);
      caller_require (&forks[i], "echo");
      caller_run (&forks[i], "echo");
    }
  close_fd (&caller.socket);
  g_assert_no_errno (kill (caller.pid, SIGCONT));
  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      caller_expect (&forks[i], AFORK_FRAME_READY);
      caller_expect_echo (&forks[i], "");
      caller_finish (&forks[i], 0);
    }
  caller_finish (&caller, 0);
}

/* The server has failed, and stays for a fork. Descriptors after the failed command are closed at
 * once, whether or not they had arrived. */
static void
test_linger_failed (guint         *n_fds,
                    gconstpointer  data)
{
  static const guint8 item[1000];
  const guint n_items = GPOINTER_TO_UINT (data);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  Caller caller, first, second, third;
  int ours, theirs;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &first);

  open_sockets (&ours, &theirs);
  caller_init (&second, ours);
  add_frame (bytes, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
  for (guint i = 0; i < n_items; i++)
    add_frame (bytes, FRAME (ITEM_BYTES, .bytes = item, .n_bytes = sizeof item));
  add_frame (bytes, FRAME (FORK, .number = { 2 }, .n_fds = 1));
  caller_send_bytes (&caller, bytes->data, bytes->len, &theirs, 1);
  close_fd (&theirs);
  caller_expect_error (&caller, AFORK_WIRE_ERROR_FAILED, "no-such-folder");
  caller_expect_end (&second);

  caller_fork (&caller, 3, &third);
  caller_expect_end (&third);

  caller_require (&first, "echo");
  caller_run (&first, "echo");
  caller_expect (&first, AFORK_FRAME_READY);
  caller_expect_echo (&first, "");
  caller_expect_exited (&caller, 1, 0);
  caller_expect_end (&caller);
  caller_finish (&first, 0);
  caller_finish (&second, 0);
  caller_finish (&third, 0);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
}

/* A module has closed the descriptors of the server. It cannot watch its fork any more, and
 * exits. */
static void
test_linger_blind (guint         *n_fds,
                   gconstpointer  data)
{
  Caller caller, fork;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &fork);
  caller_require (&caller, "faults");
  caller_call (&caller, "call_close", NULL);
  caller_expect_end (&caller);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);

  caller_require (&fork, "echo");
  caller_run (&fork, "echo");
  caller_expect (&fork, AFORK_FRAME_READY);
  caller_expect_echo (&fork, "");
  caller_finish (&fork, 0);
}

/* Run while it has a fork: another fork is the worker, and the server reports on both on a socket
 * that comes with READY. */
static void
test_stay_behind (guint         *n_fds,
                  gconstpointer  data)
{
  Caller caller, fork, reports;
  AForkFrame frame;
  gboolean ended[2] = { FALSE };

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &fork);
  caller_require (&caller, "echo");
  caller_run (&caller, "echo");
  frame = caller_expect (&caller, AFORK_FRAME_READY);
  g_assert_cmpuint (frame.n_fds, ==, 2);
  g_assert_no_errno (close (caller_take_fd (&caller)));
  caller_init (&reports, caller_take_fd (&caller));
  caller_expect_echo (&caller, "");
  caller_finish (&fork, 0);

  for (guint i = 0; i < 2; i++)
    {
      frame = caller_expect (&reports, AFORK_FRAME_EXITED);
      g_assert_cmpuint (frame.number[0], <=, 1);
      g_assert_false (ended[frame.number[0]]);
      ended[frame.number[0]] = TRUE;
    }
  caller_expect_end (&reports);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* Signals. */

static void
expect_signaled (Caller  *caller,
                 guint32  number,
                 guint32  result)
{
  AForkFrame frame = caller_expect (caller, AFORK_FRAME_SIGNALED);

  g_assert_cmpuint (frame.number[0], ==, number);
  g_assert_cmpuint (frame.number[1], ==, result);
}

static void
expect_killed (Caller  *caller,
               guint32  number)
{
  AForkFrame frame = caller_expect (caller, AFORK_FRAME_EXITED);

  g_assert_cmpuint (frame.number[0], ==, number);
  g_assert_cmpuint (frame.exit.wait_status, ==, SIGKILL);
}

/* Makes CALLER kill its fork NUMBER. */
static void
kill_fork (Caller  *caller,
           guint32  number,
           Caller  *fork)
{
  caller_send (caller, FRAME (SIGNAL, .number = { number, SIGKILL }));
  expect_signaled (caller, number, 0);
  expect_killed (caller, number);
  caller_expect_end (fork);
  caller_finish (fork, 0);
}

/* It signals its forks, and no other processes: neither unknown numbers, nor forks that were
 * reaped. */
static void
test_signal (guint         *n_fds,
             gconstpointer  data)
{
  const guint32 none[] = { 0, SIGRTMAX + 1, 256 + SIGKILL, G_MAXUINT32 };
  Caller caller, first, second;

  caller_start (&caller);
  caller_send (&caller, FRAME (SIGNAL, .number = { 1, SIGKILL }));
  expect_signaled (&caller, 1, ESRCH);
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    {
      caller_send (&caller, FRAME (SIGNAL, .number = { 1, none[i] }));
      expect_signaled (&caller, 1, EINVAL);
    }
  /* Not even by its pid. */
  caller_send (&caller, FRAME (SIGNAL, .number = { (guint32) getpid (), SIGKILL }));
  expect_signaled (&caller, (guint32) getpid (), ESRCH);
  caller_send (&caller, FRAME (SIGNAL, .number = { 0, SIGKILL }));
  expect_signaled (&caller, 0, ESRCH);

  kill_fork (&caller, 1, &first);
  caller_send (&caller, FRAME (SIGNAL, .number = { 1, SIGKILL }));
  expect_signaled (&caller, 1, ESRCH);
  kill_fork (&caller, 2, &second);
  caller_finish (&caller, 0);
}

/* A fork that was given to another caller belongs to that caller. */
static void
test_signal_disowned (guint         *n_fds,
                      gconstpointer  data)
{
  Caller caller, fork;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &fork);
  caller_send (&caller, FRAME (DISOWN, .number = { 1 }));
  caller_send (&caller, FRAME (DISOWN, .number = { 2 }));
  caller_send (&caller, FRAME (SIGNAL, .number = { 1, SIGKILL }));
  expect_signaled (&caller, 1, EPERM);
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 1, 0);
  caller_finish (&caller, 0);
}

/* It stays only for its forks, because it was told to leave or has failed, and still signals them.
 * It ignores frames of other kinds, and closes their descriptors. */
static void
test_signal_staying (guint         *n_fds,
                     gconstpointer  data)
{
  const gboolean fails = data != NULL;
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  Caller caller, first, second, third;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  if (fails)
    {
      /* Also what came together with the command that failed. */
      add_frame (bytes, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
      add_frame (bytes, FRAME (REQUIRE, .string = { "echo" }));
      add_frame (bytes, FRAME (SIGNAL, .number = { 1, SIGKILL }));
      caller_send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
      caller_expect_error (&caller, AFORK_WIRE_ERROR_FAILED, "no-such-folder");
      expect_signaled (&caller, 1, 0);
      expect_killed (&caller, 1);
      caller_expect_end (&first);
      caller_finish (&first, 0);
    }
  else
    {
      caller_send (&caller, FRAME (LEAVE));
      kill_fork (&caller, 1, &first);
    }

  caller_fork (&caller, 3, &third);
  caller_expect_end (&third);
  caller_finish (&third, 0);
  caller_send (&caller, FRAME (SIGNAL, .number = { 3, SIGKILL }));
  expect_signaled (&caller, 3, ESRCH);
  kill_fork (&caller, 2, &second);
  caller_expect_end (&caller);
  caller_finish (&caller, fails ? AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED : 0);
}

/* It ignores invalid frames and what follows them, and still reports on forks. */
static void
test_signal_garbage (guint         *n_fds,
                     gconstpointer  data)
{
  static const guint8 garbage[] = "This is no frame, and longer than a header is.";
  Caller caller, fork;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &fork);
  caller_send (&caller, FRAME (LEAVE));
  caller_send_bytes (&caller, garbage, sizeof garbage, NULL, 0);
  caller_send (&caller, FRAME (SIGNAL, .number = { 1, SIGKILL }));
  caller_finish (&fork, 0);
  caller_expect_exited (&caller, 1, 0);
  caller_expect_end (&caller);
  caller_finish (&caller, 0);
}

/* Without forks it does not stay. */
static void
test_leave (guint         *n_fds,
            gconstpointer  data)
{
  Caller caller;

  caller_start (&caller);
  caller_send (&caller, FRAME (LEAVE));
  caller_expect_end (&caller);
  caller_finish (&caller, 0);
}

/* The process that stays signals the worker, and the fork that it had before. */
static void
test_signal_stay_behind (guint         *n_fds,
                         gconstpointer  data)
{
  Caller caller, fork, reports;

  caller_start (&caller);
  caller_expect_fork (&caller, 1, &fork);
  caller_require (&caller, "lifecycle");
  caller_run (&caller, "forever");
  caller_expect (&caller, AFORK_FRAME_READY);
  g_assert_no_errno (close (caller_take_fd (&caller)));
  caller_init (&reports, caller_take_fd (&caller));

  kill_fork (&reports, 1, &fork);
  caller_send (&reports, FRAME (SIGNAL, .number = { AFORK_WORKER_NUMBER, SIGKILL }));
  expect_signaled (&reports, AFORK_WORKER_NUMBER, 0);
  expect_killed (&reports, AFORK_WORKER_NUMBER);
  caller_expect_end (&reports);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* Memory. */

static guint32
measure (Caller  *caller,
         guint32  number)
{
  AForkFrame frame;

  caller_send (caller, FRAME (MEASURE, .number = { number }));
  frame = caller_expect (caller, AFORK_FRAME_MEASURED);
  g_assert_cmpuint (frame.number[0], ==, number);
  return frame.number[1];
}

/* It measures its forks, and no other process: neither itself, nor forks that were reaped, nor a
 * fork that was given to another caller. A process that stays only for its forks does the same. */
static void
test_measure (guint         *n_fds,
              gconstpointer  data)
{
  Caller caller, first, second;

  caller_start (&caller);
  g_assert_cmpuint (measure (&caller, 1), ==, 0);
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  g_assert_cmpuint (measure (&caller, 1), >, 0);
  g_assert_cmpuint (measure (&caller, 1), <, 1024 * 1024);
  g_assert_cmpuint (measure (&caller, 0), ==, 0);
  g_assert_cmpuint (measure (&caller, (guint32) getpid ()), ==, 0);

  kill_fork (&caller, 1, &first);
  g_assert_cmpuint (measure (&caller, 1), ==, 0);

  caller_send (&caller, FRAME (LEAVE));
  g_assert_cmpuint (measure (&caller, 2), >, 0);
  caller_send (&caller, FRAME (DISOWN, .number = { 2 }));
  g_assert_cmpuint (measure (&caller, 2), ==, 0);
  caller_finish (&second, 0);
  caller_expect_exited (&caller, 2, 0);
  caller_expect_end (&caller);
  caller_finish (&caller, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_server_test ("/server-forks/threads", NULL, test_threads);
  add_server_test ("/server-forks/threads/name", NULL, test_thread_name);
  add_server_test ("/server-forks/many", NULL, test_many_forks);
  add_server_test ("/server-forks/linger/alone", NULL, test_linger);
  add_server_test ("/server-forks/linger/pending", NULL, test_linger_pending);
  add_server_test ("/server-forks/linger/failed", GUINT_TO_POINTER (0), test_linger_failed);
  add_server_test ("/server-forks/linger/failed/full", GUINT_TO_POINTER (100), test_linger_failed);
  add_server_test ("/server-forks/linger/blind", NULL, test_linger_blind);
  add_server_test ("/server-forks/stay-behind", NULL, test_stay_behind);
  add_server_test ("/server-forks/signal", NULL, test_signal);
  add_server_test ("/server-forks/signal/disowned", NULL, test_signal_disowned);
  add_server_test ("/server-forks/signal/garbage", NULL, test_signal_garbage);
  add_server_test ("/server-forks/signal/stay-behind", NULL, test_signal_stay_behind);
  add_server_test ("/server-forks/signal/leaving", NULL, test_signal_staying);
  add_server_test ("/server-forks/signal/failed", GUINT_TO_POINTER (1), test_signal_staying);
  add_server_test ("/server-forks/leave", NULL, test_leave);
  add_server_test ("/server-forks/measure", NULL, test_measure);

  return g_test_run ();
}
