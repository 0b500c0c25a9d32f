/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server by itself, which RESTRICT moves into a PID namespace: three processes stand for it,
 * and exit, crash and are killed as one would. */

#include "config.h"

#include "server-caller.h"
#include "test-confined.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/server/namespaces.h"
#include "afork/wire/afork-confinement.h"

enum
{
  ALL = AFORK_NAMESPACE_USER | AFORK_NAMESPACE_MOUNT | AFORK_NAMESPACE_PID | AFORK_NAMESPACE_IPC
    | AFORK_NAMESPACE_NETWORK | AFORK_NAMESPACE_UTS,
};

/* Sends RESTRICT with NAMESPACES, and without paths if there are none to be visible. */
static void
restrict_to (Caller   *caller,
             guint32   namespaces,
             gboolean  no_paths)
{
  AForkConfinement confinement = {
    .flags = AFORK_CONFINEMENT_BEST_EFFORT,
    .namespaces = namespaces,
    .has_paths = { no_paths, no_paths },
  };
  const gsize size = afork_confinement_size (&confinement);
  g_autofree guint8 *bytes = g_malloc (size);

  afork_confinement_write (&confinement, bytes);
  caller_send (caller, FRAME (RESTRICT, .bytes = bytes, .n_bytes = size));
}

/* Waits until the server has done all commands. */
static void
await_done (Caller *caller)
{
  Caller fork;

  caller_expect_fork (caller, 99, &fork);
  caller_finish (&fork, 0);
  caller_expect_exited (caller, 99, 0);
}

/* Whether processes can be moved into a PID namespace here; if not, skips the test. */
static gboolean
need_namespaces (void)
{
  const AForkNamespacesRules rules = { .wanted = CLONE_NEWUSER | CLONE_NEWPID };
  AForkNamespacesResult result;
  pid_t pid;
  int status;

  if (skip_under_valgrind ("valgrind 3.19 does not know pidfd_open()"))
    return FALSE;

  pid = fork ();
  if (pid == 0)
    _exit (afork_namespaces_enter (&rules, &result) ? 0 : 1);
  g_assert_no_errno (waitpid (pid, &status, 0));
  if (status != 0)
    g_test_skip ("There are no user namespaces");
  return status == 0;
}

static void
add_item (Caller     *caller,
          const char *text)
{
  const guint8 *bytes = (const guint8 *) text;

  caller_send (caller, FRAME (ITEM_BYTES, .bytes = bytes, .n_bytes = strlen (text)));
}

/* Processes. */

/* Returns the children of PID as /proc has them. */
static GArray *
list_children (pid_t pid)
{
  GArray *children = g_array_new (FALSE, FALSE, sizeof (pid_t));
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/children", (int) pid, (int) pid);
  g_autofree char *text = NULL;
  g_auto(GStrv) words = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL))
    words = g_strsplit (g_strchomp (text), " ", -1);
  for (guint i = 0; words != NULL && words[i] != NULL && words[i][0] != '\0'; i++)
    {
      pid_t child = (pid_t) g_ascii_strtoll (words[i], NULL, 10);

      g_array_append_val (children, child);
    }
  return children;
}

static pid_t
get_only_child (pid_t pid)
{
  g_autoptr(GArray) children = list_children (pid);

  g_assert_cmpuint (children->len, ==, 1);
  return g_array_index (children, pid_t, 0);
}

/* Returns a descriptor that is readable when PID has exited. */
static int
open_process (pid_t pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);

  g_assert_no_errno (pidfd);
  return pidfd;
}

static void
await_process (int *pidfd)
{
  struct pollfd entry = { .fd = *pidfd, .events = POLLIN };

  g_assert_cmpint (poll (&entry, 1, 30000), ==, 1);
  close_fd (pidfd);
}

/* The pid that the descriptor PIDFD is of. */
static pid_t
get_pid_of (int pidfd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "Pid:");
  g_assert_nonnull (line);
  return (pid_t) g_ascii_strtoll (line + 4, NULL, 10);
}

static void
expect_wait_status (pid_t pid,
                    int   status)
{
  int wait_status;

  g_assert_cmpint (waitpid (pid, &wait_status, 0), ==, pid);
  g_assert_cmpint (wait_status & 0xff7f, ==, status);
}

/* Waits for READY, which another process sends. Makes REPORTS a caller for the reports on it.
 * Returns the pid of that process. */
static pid_t
expect_ready (Caller *caller,
              Caller *reports)
{
  AForkFrame frame;
  pid_t pid;
  int fd;

  caller_expect (caller, AFORK_FRAME_CONFINED);
  frame = caller_expect (caller, AFORK_FRAME_READY);
  g_assert_cmpuint (frame.n_fds, ==, 2);
  fd = caller_take_fd (caller);
  pid = get_pid_of (fd);
  close_fd (&fd);
  caller_init (reports, caller_take_fd (caller));
  return pid;
}

static void
expect_exited (Caller  *caller,
               guint32  number,
               int      status)
{
  AForkFrame frame = caller_expect (caller, AFORK_FRAME_EXITED);

  g_assert_cmpuint (frame.number[0], ==, number);
  g_assert_cmpint ((int) frame.exit.wait_status & 0xff7f, ==, status);
}

/* Running. */

/* The process itself is run, and returns. */
static void
test_run (guint         *n_fds,
          gconstpointer  data)
{
  Caller caller, reports;
  pid_t pid;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  add_item (&caller, "before ");
  restrict_to (&caller, ALL, TRUE);
  /* Modules can still be loaded. */
  caller_require (&caller, "echo");
  add_item (&caller, "after");
  caller_run (&caller, "echo");
  pid = expect_ready (&caller, &reports);
  g_assert_cmpint (pid, !=, caller.pid);
  g_assert_cmpint (get_only_child (get_only_child (caller.pid)), ==, pid);
  caller_expect_echo (&caller, "before after");
  caller_expect_exited (&reports, AFORK_WORKER_NUMBER, 0);
  caller_expect_end (&reports);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* However the function ends, both the report and the outer process say so. */
typedef struct
{
  const char *name;
  const char *function;
  const char *item;
  int         status;
} End;

static const End ends[] = {
  { "return", "run_return", "", 0 },
  { "exit", "run_exit", "42", 42 << 8 },
  { "abort", "run_signal", "6", SIGABRT },
  { "crash", "run_signal", "11", SIGSEGV },
  { "terminate", "run_signal", "15", SIGTERM },
  { "limit", "run_signal", "24", SIGXCPU },
};

static void
test_end (guint         *n_fds,
          gconstpointer  data)
{
  const End *end = data;
  Caller caller, reports;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  restrict_to (&caller, ALL, TRUE);
  caller_require (&caller, "faults");
  add_item (&caller, end->item);
  caller_run (&caller, end->function);
  expect_ready (&caller, &reports);
  expect_exited (&reports, AFORK_WORKER_NUMBER, end->status);
  expect_wait_status (caller.pid, end->status);
  caller.pid = 0;
  caller_expect_end (&reports);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* The worker is killed, and asks for it by the socket for reports. */
static void
test_signal (guint         *n_fds,
             gconstpointer  data)
{
  Caller caller, reports;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  restrict_to (&caller, ALL, TRUE);
  caller_require (&caller, "faults");
  caller_run (&caller, "run_hang");
  expect_ready (&caller, &reports);
  caller_send (&reports, FRAME (SIGNAL, .number = { AFORK_WORKER_NUMBER, SIGKILL }));
  g_assert_cmpuint (caller_expect (&reports, AFORK_FRAME_SIGNALED).number[1], ==, 0);
  expect_exited (&reports, AFORK_WORKER_NUMBER, SIGKILL);
  expect_wait_status (caller.pid, SIGKILL);
  caller.pid = 0;
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* A program is executed. */
static void
test_exec (guint         *n_fds,
           gconstpointer  data)
{
  Caller caller, reports;
  AForkFrame frame = FRAME (EXEC, .n_fds = 1);
  g_autofree guint8 *bytes = NULL;
  int ours, theirs;
  char byte;

  if (!need_namespaces ())
    return;

  frame.strings.n_bytes = afork_strings_size (STRV ("cat"), &frame.strings.n_strings);
  bytes = g_malloc (frame.strings.n_bytes);
  afork_strings_write (STRV ("cat"), bytes);
  frame.strings.bytes = bytes;
  caller_start (&caller);
  restrict_to (&caller, ALL, FALSE);
  open_sockets (&ours, &theirs);
  caller_send_with_fd (&caller, frame, theirs);
  close_fd (&theirs);
  expect_ready (&caller, &reports);
  g_assert_cmpint (read (ours, &byte, 1), ==, 0);
  close_fd (&ours);
  g_assert_cmpint (send (caller.socket, "sent back", 9, MSG_NOSIGNAL), ==, 9);
  caller_expect_echo (&caller, "sent back");
  caller_expect_exited (&reports, AFORK_WORKER_NUMBER, 0);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* Templates. */

enum { N_WORKERS = 10, N_FORKS = 1000 };

static void
start_worker (Caller     *template,
              guint32     number,
              Caller     *worker,
              const char *function,
              const char *item)
{
  caller_expect_fork (template, number, worker);
  if (item != NULL)
    add_item (worker, item);
  caller_run (worker, function);
  caller_expect (worker, AFORK_FRAME_CONFINED);
  caller_expect (worker, AFORK_FRAME_READY);
}

static void
start_template (Caller *template)
{
  caller_start (template);
  caller_require (template, "echo");
  caller_require (template, "faults");
  restrict_to (template, ALL, TRUE);
  await_done (template);
}

/* The first worker ends, while ten others run. They are not affected, nor are a thousand later
 * ones. */
static void
test_first_worker (guint         *n_fds,
                   gconstpointer  data)
{
  const End *end = data;
  Caller template, first, workers[N_WORKERS];

  if (!need_namespaces ())
    return;

  start_template (&template);
  caller_expect_fork (&template, 1, &first);
  for (guint32 i = 0; i < N_WORKERS; i++)
    start_worker (&template, 2 + i, &workers[i], "echo", "still here");

  add_item (&first, end->item);
  caller_run (&first, end->function);
  caller_expect (&first, AFORK_FRAME_CONFINED);
  caller_expect (&first, AFORK_FRAME_READY);
  expect_exited (&template, 1, end->status);
  caller_finish (&first, 0);

  for (guint32 i = 0; i < N_WORKERS; i++)
    {
      caller_expect_echo (&workers[i], "still here");
      caller_finish (&workers[i], 0);
      caller_expect_exited (&template, 2 + i, 0);
    }
  caller_finish (&template, 0);
}

static void
test_many_forks (guint         *n_fds,
                 gconstpointer  data)
{
  Caller template, worker;
  g_autoptr(GArray) children = NULL;
  pid_t server;

  if (!need_namespaces ())
    return;

  start_template (&template);
  start_worker (&template, 1, &worker, "run_signal", "11");
  expect_exited (&template, 1, SIGSEGV);
  caller_finish (&worker, 0);
  for (guint32 i = 0; i < N_FORKS; i++)
    {
      start_worker (&template, 2 + i, &worker, "run_return", NULL);
      expect_exited (&template, 2 + i, 0);
      caller_finish (&worker, 0);
    }

  /* All were reaped. */
  server = get_only_child (get_only_child (template.pid));
  children = list_children (server);
  g_assert_cmpuint (children->len, ==, 0);
  caller_finish (&template, 0);
}

/* The template crashes, exits or is killed. Its forks live on. */
static void
test_template_ends (guint         *n_fds,
                    gconstpointer  data)
{
  const char *how = data;
  Caller template, worker;
  int init, status = SIGKILL;

  if (!need_namespaces ())
    return;

  start_template (&template);
  start_worker (&template, 1, &worker, "echo", "alive");
  init = open_process (get_only_child (template.pid));
  if (g_str_equal (how, "crash"))
    {
      caller_call (&template, "call_signal", STRV ("6"));
      status = SIGABRT;
    }
  else if (g_str_equal (how, "killed"))
    {
      g_assert_no_errno (kill (template.pid, SIGKILL));
    }
  else
    {
      g_assert_no_errno (kill (get_only_child (get_only_child (template.pid)), SIGKILL));
    }

  expect_wait_status (template.pid, status);
  template.pid = 0;
  caller_expect_end (&template);
  caller_expect_echo (&worker, "alive");
  caller_finish (&worker, 0);
  /* When the last process has exited, so has init. */
  await_process (&init);
  caller_finish (&template, 0);
}

/* Init is killed, and with it everything in the namespace. */
static void
test_init_killed (guint         *n_fds,
                  gconstpointer  data)
{
  Caller template, worker;

  if (!need_namespaces ())
    return;

  start_template (&template);
  start_worker (&template, 1, &worker, "run_hang", NULL);
  g_assert_no_errno (kill (get_only_child (template.pid), SIGKILL));
  caller_expect_end (&worker);
  caller_expect_end (&template);
  expect_wait_status (template.pid, SIGKILL);
  template.pid = 0;
  caller_finish (&worker, 0);
  caller_finish (&template, 0);
}

/* The command fails. */
static void
test_error (guint         *n_fds,
            gconstpointer  data)
{
  Caller caller;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  restrict_to (&caller, ALL, TRUE);
  caller_require (&caller, "no-such-module");
  caller_expect_error (&caller, AFORK_WIRE_ERROR_MODULE, "no-such-module");
  caller_expect_end (&caller);
  caller_finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_MODULE);
}

/* Forks that are older than the namespace are reported: before the server is run, and after it, on
 * the socket of init or of the server. */
static void
test_older_forks (guint         *n_fds,
                  gconstpointer  data)
{
  const gboolean has_forks = data != NULL;
  Caller caller, reports, first, second, third;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  caller_require (&caller, "echo");
  caller_expect_fork (&caller, 1, &first);
  caller_expect_fork (&caller, 2, &second);
  restrict_to (&caller, ALL, TRUE);
  if (has_forks)
    caller_expect_fork (&caller, 3, &third);
  else
    await_done (&caller);

  caller_finish (&first, 0);
  caller_expect_exited (&caller, 1, 0);
  caller_run (&caller, "echo");
  expect_ready (&caller, &reports);
  caller_finish (&second, 0);
  caller_expect_exited (&reports, 2, 0);
  if (has_forks)
    {
      caller_finish (&third, 0);
      caller_expect_exited (&reports, 3, 0);
    }
  caller_expect_echo (&caller, "");
  caller_expect_exited (&reports, AFORK_WORKER_NUMBER, 0);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* Processes that lose their parent are reaped. */
static void
test_orphans (guint         *n_fds,
              gconstpointer  data)
{
  Caller template, worker;
  AForkFrame frame;
  int reading, writing, alive;
  char byte;

  if (!need_namespaces ())
    return;

  caller_start (&template);
  caller_require (&template, "linger");
  restrict_to (&template, ALL, TRUE);
  await_done (&template);
  open_pipe (&reading, &writing);
  frame = FRAME (ITEM_FDS, .n_fds = 1);
  caller_expect_fork (&template, 1, &worker);
  caller_send_with_fd (&worker, frame, writing);
  close_fd (&writing);
  caller_run (&worker, "linger_behind");
  caller_expect (&worker, AFORK_FRAME_CONFINED);
  caller_expect (&worker, AFORK_FRAME_READY);
  g_assert_cmpint (read (reading, &byte, 1), ==, 1);
  caller_expect_exited (&template, 1, 0);
  caller_finish (&worker, 0);

  /* The server and the orphan. */
  {
    g_autoptr(GArray) children = list_children (get_only_child (template.pid));

    g_assert_cmpuint (children->len, ==, 2);
    alive = open_process (g_array_index (children, pid_t, 1));
    g_assert_no_errno (kill (g_array_index (children, pid_t, 1), SIGKILL));
  }
  await_process (&alive);
  while (read (reading, &byte, 1) > 0)
    ;
  close_fd (&reading);
  caller_finish (&template, 0);
}

/* All processes exit with the caller, also those that do not want to. */
static void
test_death_pipe (guint         *n_fds,
                 gconstpointer  data)
{
  const gboolean before = data == NULL;
  Caller template, worker;
  AForkFrame frame = FRAME (DEATH_PIPE, .n_fds = 1);
  int reading, writing, notice, notified, init, server;
  char byte;

  if (!need_namespaces ())
    return;

  caller_start (&template);
  caller_require (&template, "linger");
  open_pipe (&reading, &writing);
  if (before)
    caller_send_with_fd (&template, frame, reading);
  restrict_to (&template, ALL, TRUE);
  if (!before)
    caller_send_with_fd (&template, frame, reading);
  close_fd (&reading);
  await_done (&template);
  open_pipe (&notified, &notice);
  frame = FRAME (ITEM_FDS, .n_fds = 1);
  caller_expect_fork (&template, 1, &worker);
  caller_send_with_fd (&worker, frame, notice);
  close_fd (&notice);
  caller_run (&worker, before ? "linger_unwatch" : "linger_idle");
  caller_expect (&worker, AFORK_FRAME_CONFINED);
  caller_expect (&worker, AFORK_FRAME_READY);
  g_assert_cmpint (read (notified, &byte, 1), ==, 1);
  close_fd (&notified);

  init = open_process (get_only_child (template.pid));
  server = open_process (get_only_child (get_only_child (template.pid)));
  close_fd (&writing);
  caller_expect_end (&worker);
  await_process (&server);
  expect_wait_status (template.pid, SIGKILL);
  template.pid = 0;
  await_process (&init);
  caller_finish (&worker, 0);
  caller_finish (&template, 0);
}

/* Another caller gets the process, which stays confined. */
static void
test_detach (guint         *n_fds,
             gconstpointer  data)
{
  Caller caller, reports, other;
  pid_t pid;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  caller_require (&caller, "echo");
  restrict_to (&caller, ALL, TRUE);
  caller_send (&caller, FRAME (DETACH));
  g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_READY).n_fds, ==, 2);
  pid = get_pid_of (g_array_index (caller.fds, int, 0));
  close (caller_take_fd (&caller));
  caller_init (&reports, caller_take_fd (&caller));

  caller_init (&other, g_steal_fd (&caller.socket));
  caller_send (&other, FRAME (IDENTIFY, .number = { AFORK_WIRE_VERSION }));
  g_assert_cmpuint (caller_expect (&other, AFORK_FRAME_FORKED).n_fds, ==, 1);
  g_assert_cmpint (get_pid_of (g_array_index (other.fds, int, 0)), ==, pid);
  add_item (&other, "echoed");
  caller_run (&other, "echo");
  caller_expect (&other, AFORK_FRAME_CONFINED);
  g_assert_cmpuint (caller_expect (&other, AFORK_FRAME_READY).n_fds, ==, 0);
  caller_expect_echo (&other, "echoed");
  caller_expect_exited (&reports, AFORK_WORKER_NUMBER, 0);
  caller_finish (&other, 0);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* A descriptor is mapped to each low number, so that whatever has that number moves. */
static void
test_map (guint         *n_fds,
          gconstpointer  data)
{
  Caller caller, reports;
  int reading, writing;

  if (!need_namespaces ())
    return;

  caller_start (&caller);
  caller_require (&caller, "echo");
  restrict_to (&caller, ALL, TRUE);
  open_pipe (&reading, &writing);
  for (guint32 i = 3; i < 40; i++)
    caller_send_with_fd (&caller, FRAME (MAP_FD, .number = { i }, .n_fds = 1), writing);
  add_item (&caller, "mapped");
  caller_run (&caller, "echo");
  expect_ready (&caller, &reports);
  caller_expect_echo (&caller, "mapped");
  caller_expect_exited (&reports, AFORK_WORKER_NUMBER, 0);
  close_fd (&reading);
  close_fd (&writing);
  caller_finish (&reports, 0);
  caller_finish (&caller, 0);
}

/* If namespaces are refused, the process stays the same, and the report says why. */
static void
try_refused (gconstpointer data)
{
  AForkConfinementReport report;
  AForkFrame frame;
  Caller caller;

  refuse_call (SYS_unshare, -1, 0, EPERM);
  caller_start (&caller);
  restrict_to (&caller, ALL, FALSE);
  caller_require (&caller, "echo");
  caller_run (&caller, "echo");
  frame = caller_expect (&caller, AFORK_FRAME_CONFINED);
  g_assert_true (afork_confinement_report_parse (frame.bytes, frame.n_bytes, &report));
  g_assert_cmpint (report.layers[AFORK_LAYER_NAMESPACES].state, ==, AFORK_LAYER_STATE_FAILED);
  g_assert_cmpint (report.layers[AFORK_LAYER_NAMESPACES].error, ==, EPERM);
  g_assert_cmpuint (caller_expect (&caller, AFORK_FRAME_READY).n_fds, ==, 0);
  caller_expect_echo (&caller, "");
  caller_finish (&caller, 0);
}

static void
test_refused (guint         *n_fds,
              gconstpointer  data)
{
  run_confined (try_refused, NULL);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* A confined worker that calls exit() has no means to look for its leaks. */
  if (is_instrumented ())
    g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE);
  add_server_test ("/refork/run", NULL, test_run);
  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      g_autofree char *end = g_strconcat ("/refork/end/", ends[i].name, NULL);
      g_autofree char *first = g_strconcat ("/refork/first-worker/", ends[i].name, NULL);

      add_server_test (end, &ends[i], test_end);
      add_server_test (first, &ends[i], test_first_worker);
    }
  add_server_test ("/refork/signal", NULL, test_signal);
  add_server_test ("/refork/exec", NULL, test_exec);
  add_server_test ("/refork/many-forks", NULL, test_many_forks);
  add_server_test ("/refork/template/crash", "crash", test_template_ends);
  add_server_test ("/refork/template/killed", "killed", test_template_ends);
  add_server_test ("/refork/template/inner-killed", "inner", test_template_ends);
  add_server_test ("/refork/template/init-killed", NULL, test_init_killed);
  add_server_test ("/refork/error", NULL, test_error);
  add_server_test ("/refork/older-forks/alone", NULL, test_older_forks);
  add_server_test ("/refork/older-forks/with-forks", "forks", test_older_forks);
  add_server_test ("/refork/orphans", NULL, test_orphans);
  add_server_test ("/refork/death-pipe/before", NULL, test_death_pipe);
  add_server_test ("/refork/death-pipe/after", "after", test_death_pipe);
  add_server_test ("/refork/detach", NULL, test_detach);
  add_server_test ("/refork/map", NULL, test_map);
  add_server_test ("/refork/refused", NULL, test_refused);
  return g_test_run ();
}
