/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Programs that do not reply as a server does: util/hostile-server.c does the steps that a test
 * gives it. Each operation completes once, the program exits, and no process and no descriptor of
 * the program is left. */

#include "config.h"

#include "test-fault-util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum
{
  ANY = -1,                     /* any error code */
  HELLO_SIZE = 22,
  READY_SIZE = 8,
  MAX_STEPS = 16,
  MIB = 1024 * 1024,
};

typedef struct
{
  const char *path;
  const char *steps[MAX_STEPS];
  int         code;
  const char *text;
  gboolean    killed;           /* the program must be killed: it does not exit by itself */
} Case;

static char *program;

static AForkRuntime *
new_runtime (const char * const *steps,
             gboolean            can_fork)
{
  const char *argv[MAX_STEPS + 2] = { program };

  for (guint i = 0; steps[i] != NULL; i++)
    argv[i + 1] = steps[i];
  return g_object_new (AFORK_TYPE_RUNTIME,
                       "name", "hostile",
                       "argv", argv,
                       "can-fork", can_fork,
                       "can-pass-fds", can_fork,
                       NULL);
}

#define STEPS(...) ((const char * const []) { __VA_ARGS__, NULL })

static AForkProcess *
new_process (const char * const *steps)
{
  g_autoptr(AForkRuntime) runtime = new_runtime (steps, FALSE);

  return afork_process_new_for_runtime (runtime);
}

/* Makes a process that can be forked, and that is executed before it is run. */
static AForkProcess *
new_template (const char * const *steps)
{
  g_autoptr(AForkRuntime) runtime = new_runtime (steps, TRUE);

  return afork_process_new_exec (runtime);
}

static void
expect_error (const Case *self,
              Outcome    *outcome)
{
  outcome_await (outcome);
  if (self->code == ANY)
    {
      g_assert_nonnull (outcome->error);
      g_test_message ("%s", outcome->error->message);
      outcome_clear (outcome);
    }
  else
    {
      outcome_expect_error (outcome, AFORK_ERROR, self->code, self->text);
    }
}

/* A process that is executed when it is run. */

/* Frames, as bytes: their size, kind, flags and number of descriptors. */
#define UNKNOWN_KIND   "raw=0000000063000000"
#define CALLER_KIND    "raw=0000000001000000"
#define TOO_LONG       "raw=0000200043000000"
#define LONGEST        "raw=ffffffff43000000"
#define FLAGS          "raw=0000000042010000"
#define THREE_FDS      "raw=0000000042000300"
#define BAD_PAYLOAD    "raw=040000004300000000000000"
#define FORKED           "raw=0000000041000000"
#define FORKED_WITHOUT   "raw=0000000041000100"
#define READY_WITHOUT  "raw=0000000042000200"
#define ERROR_HEADER   "raw=0000100043000000"
#define SIGNALED       "raw=08000000460000000100000000000000"
#define MEASURED       "raw=08000000480000000100000000000000"
#define NO_PIDFD       "raw=0000000047000000"
#define EMPTY_ERROR    "raw=0900000043000000030000000000000000"
#define GARBAGE        "5468697320697320746578742e0a"

#define BROKEN "does not keep to the protocol"

static const Case run_cases[] = {
  { "garbage", { "raw=" GARBAGE, "hang" }, AFORK_ERROR_PROTOCOL, BROKEN, TRUE },
  { "unknown-kind", { "hello", UNKNOWN_KIND, "hang" }, AFORK_ERROR_PROTOCOL, "kind", TRUE },
  { "caller-kind", { "hello", CALLER_KIND, "hang" }, AFORK_ERROR_PROTOCOL, "payload", TRUE },
  { "caller-frame", { "hello", "command", "hang" }, AFORK_ERROR_PROTOCOL, "REQUIRE came", TRUE },
  { "too-long", { "hello", TOO_LONG, "hang" }, AFORK_ERROR_PROTOCOL, "too large", TRUE },
  { "longest", { "hello", LONGEST, "hang" }, AFORK_ERROR_PROTOCOL, "too large", TRUE },
  { "flags", { "hello", FLAGS, "hang" }, AFORK_ERROR_PROTOCOL, "flags", TRUE },
  { "three-fds", { "hello", THREE_FDS, "hang" }, AFORK_ERROR_PROTOCOL, "descriptors", TRUE },
  { "bad-payload", { "hello", BAD_PAYLOAD, "hang" }, AFORK_ERROR_PROTOCOL, "payload", TRUE },
  { "half-payload", { "hello", ERROR_HEADER, "exit=6" }, AFORK_ERROR_EXITED, "status 6" },

  { "version-0", { "version=0", "hang" }, AFORK_ERROR_PROTOCOL, "version 0", TRUE },
  { "version-99", { "version=99", "hang" }, AFORK_ERROR_PROTOCOL, "version 99", TRUE },
  { "magic", { "magic=Spoon", "hang" }, AFORK_ERROR_PROTOCOL, "HELLO came", TRUE },
  { "hello-twice", { "hello", "hello", "hang" }, AFORK_ERROR_PROTOCOL, "HELLO came", TRUE },
  { "no-hello/ready", { "ready", "hang" }, AFORK_ERROR_PROTOCOL, "READY came", TRUE },
  { "no-hello/error", { "error=3", "hang" }, AFORK_ERROR_PROTOCOL, "ERROR came", TRUE },
  { "no-hello/exit", { "exit=9" }, AFORK_ERROR_SPAWN, "status 9" },

  { "forked", { "hello", "pidfd", "forked", "hang" }, AFORK_ERROR_PROTOCOL, "FORKED came", TRUE },
  { "exited", { "hello", "exited=1", "hang" }, AFORK_ERROR_PROTOCOL, "EXITED came", TRUE },
  { "no-pidfd", { "hello", NO_PIDFD, "hang" }, AFORK_ERROR_PROTOCOL, "NO_PIDFD came", TRUE },
  { "signaled", { "hello", SIGNALED, "hang" }, AFORK_ERROR_PROTOCOL, "SIGNALED came", TRUE },
  { "measured", { "hello", MEASURED, "hang" }, AFORK_ERROR_PROTOCOL, "MEASURED came", TRUE },
  { "exited/0", { "hello", "exited=0", "hang" }, AFORK_ERROR_PROTOCOL, "EXITED came", TRUE },
  { "fork-failed", { "hello", "fork-failed=1", "hang" }, AFORK_ERROR_PROTOCOL, "FORK_FAILED came",
    TRUE },

  { "fds/ready", { "hello", "await=run", "pidfd", "ready", "hang" }, AFORK_ERROR_PROTOCOL,
    "READY came", TRUE },
  { "fds/ready-two", { "hello", "await=run", "pidfd", "reports", "ready", "hang" },
    AFORK_ERROR_PROTOCOL, "READY came", TRUE },
  { "fds/forked-without", { "hello", FORKED_WITHOUT, "hang" }, AFORK_ERROR_PROTOCOL,
    "FORKED came without the descriptors", TRUE },
  { "fds/ready-without", { "hello", READY_WITHOUT, "hang" }, AFORK_ERROR_PROTOCOL,
    "READY came without the descriptors", TRUE },
  /* So many descriptors come in several messages. When the second message is sent, the caller may
   * have closed the socket. */
  { "fds/hundreds", { "stay", "stray=759", "hello", "hang" }, AFORK_ERROR_PROTOCOL,
    "More descriptors came than frames that name them", TRUE },

  { "error", { "hello", "error=3" }, AFORK_ERROR_EVAL, "It \357\277\275\357\277\275 failed" },
  { "error/empty", { "hello", EMPTY_ERROR }, AFORK_ERROR_EVAL, "did not say why" },
  { "error/unknown", { "hello", "error=4711" }, AFORK_ERROR_FAILED, "failed" },
  { "error/with-fd", { "hello", "pidfd", "error=2" }, AFORK_ERROR_MODULE, "failed" },
  { "error/twice", { "hello", "error=3", "error=2", "hang" }, AFORK_ERROR_EVAL, "failed", TRUE },
  { "error/ready", { "hello", "error=3", "ready", "hang" }, AFORK_ERROR_EVAL, "failed", TRUE },
  { "error/hello", { "hello", "error=3", "hello", "hang" }, AFORK_ERROR_EVAL, "failed", TRUE },
  { "error/garbage", { "hello", "error=3", "raw=" GARBAGE, "hang" }, AFORK_ERROR_EVAL, "failed",
    TRUE },

  { "close", { "hello", "close", "hang" }, AFORK_ERROR_SIGNALED, "signal 9", TRUE },
  { "exit", { "hello", "await=run", "exit=7" }, AFORK_ERROR_EXITED, "status 7" },

  { "flood/garbage", { "hello", "flood=" GARBAGE }, AFORK_ERROR_PROTOCOL, BROKEN },
  { "flood/zeroes", { "hello", "flood=00" }, AFORK_ERROR_PROTOCOL, BROKEN },
  { "flood/errors", { "hello", "flood=0b000000430000000300000002000000617a00" }, AFORK_ERROR_EVAL,
    "az" },
};

static void
test_run (Census        *census,
          gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = new_process (self->steps);
  Outcome outcome = { 0 };

  afork_process_run_async (process, "function", NULL, outcome_run_cb, &outcome);
  expect_error (self, &outcome);
  await_end (process);
  if (self->killed)
    assert_term_signal (process, SIGKILL);
  iterate ();
}

/* A process sends wrong messages before it is run. */

static const Case early_cases[] = {
  { "ready", { "hello", "ready", "hang" }, AFORK_ERROR_PROTOCOL, "READY came", TRUE },
  { "ready-with-fds", { "hello", "pidfd", "reports", "ready", "hang" }, AFORK_ERROR_PROTOCOL,
    "READY came", TRUE },
  { "hello-twice", { "hello", "hello", "hang" }, AFORK_ERROR_PROTOCOL, "HELLO came", TRUE },
  { "error", { "hello", "error=3", "exit=5" }, AFORK_ERROR_EVAL, "failed" },
  { "error/flood", { "hello", "flood=0b000000430000000300000002000000617a00" }, AFORK_ERROR_EVAL,
    "az" },
  { "stray-fds", { "stay", "hello", "stray=1000", UNKNOWN_KIND, "hang" },
    AFORK_ERROR_PROTOCOL, NULL, TRUE },
};

static void
test_early (Census        *census,
            gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = new_template (self->steps);
  Outcome outcome = { 0 };

  await_end (process);
  if (self->killed)
    assert_term_signal (process, SIGKILL);
  afork_process_run_async (process, "function", NULL, outcome_run_cb, &outcome);
  expect_error (self, &outcome);
}

/* A template and a fork: the hostile program plays both. */

static const Case fork_cases[] = {
  { "ready", { "hello", "await=fork", "fork", "ready", "hang" }, AFORK_ERROR_PROTOCOL,
    "READY came" },
  { "hello", { "hello", "await=fork", "fork", "hello", "hang" }, AFORK_ERROR_PROTOCOL,
    "HELLO came" },
  { "forked-twice", { "hello", "await=fork", "fork", "pidfd", "forked", "pidfd", "forked", "hang" },
    AFORK_ERROR_PROTOCOL, "FORKED came", TRUE },
  { "forked/no-pidfd", { "hello", "await=fork", "fork", "fds=1", "forked", "hang" },
    AFORK_ERROR_PROTOCOL, "FORKED came" },
  { "no-pidfd/twice", { "hello", "await=fork", "fork", NO_PIDFD, NO_PIDFD, "hang" },
    AFORK_ERROR_PROTOCOL, "NO_PIDFD came" },
  { "no-pidfd/forked", { "hello", "await=fork", "fork", NO_PIDFD, "pidfd", "forked", "hang" },
    AFORK_ERROR_PROTOCOL, "FORKED came" },
  { "no-pidfd/forked-twice", { "hello", "await=fork", "fork", NO_PIDFD, FORKED, FORKED, "hang" },
    AFORK_ERROR_PROTOCOL, "FORKED came" },
  { "forked/socket", { "hello", "await=fork", "fork", "reports", "forked", "hang" },
    AFORK_ERROR_PROTOCOL, "FORKED came" },
  { "ready/no-pidfd", { "hello", "await=fork", "fork", "fds=1", "ready", "hang" },
    AFORK_ERROR_PROTOCOL, "READY came" },
  { "ready/no-pidfds", { "hello", "await=fork", "fork", "fds=2", "ready", "hang" },
    AFORK_ERROR_PROTOCOL, "READY came" },
  { "error/no-pidfd", { "hello", "await=fork", "fork", "fds=1", "error=3", "hang" },
    AFORK_ERROR_PROTOCOL, "ERROR came" },
  { "exited-itself", { "hello", "await=fork", "fork", "exited=0", "hang" }, AFORK_ERROR_PROTOCOL,
    "EXITED came" },
  { "forked/pidfd-of-another",
   { "hello", "await=fork", "fork", "caller-pidfd", "forked", "exit=4" },
    AFORK_ERROR_LOST, "exit status is unknown" },
  { "garbage", { "hello", "await=fork", "fork", "raw=" GARBAGE, "hang" }, AFORK_ERROR_PROTOCOL,
    BROKEN },
  { "error", { "hello", "await=fork", "fork", "pidfd", "error=3", "hang" }, AFORK_ERROR_EVAL,
    "failed" },
  { "error-without-pidfd", { "hello", "await=fork", "fork", "error=3", "hang" }, AFORK_ERROR_EVAL,
    "failed" },

  { "reported/failed", { "hello", "await=fork", "fork-failed=0", "hang" }, AFORK_ERROR_SPAWN,
    "No \357\277\275 fork" },
  { "reported/failed-twice", { "hello", "await=fork", "fork-failed=0", "fork-failed=0", "hang" },
    AFORK_ERROR_SPAWN, "No \357\277\275 fork", TRUE },
  { "reported/failed-unknown", { "hello", "await=fork", "fork-failed=1", "hang" },
    AFORK_ERROR_PROTOCOL, "FORK_FAILED came", TRUE },
  { "reported/exited", { "hello", "await=fork", "exited=0", "hang" }, AFORK_ERROR_EXITED,
    "status 5" },
  { "reported/exited-twice", { "hello", "await=fork", "exited=0", "exited=0", "hang" },
    AFORK_ERROR_EXITED, "status 5", TRUE },
  { "reported/exited-unknown", { "hello", "await=fork", "exited=1", "hang" },
    AFORK_ERROR_PROTOCOL, "EXITED came", TRUE },
  { "reported/exited-unknown-how", { "hello", "await=fork", "exited-unknown", "hang" },
    AFORK_ERROR_LOST, "exit status is unknown" },
  { "reported/exited-and-forked",
    { "hello", "await=fork", "exited=0", "fork", "pidfd", "forked", "hang" }, AFORK_ERROR_EXITED,
    "status 5" },
  { "reported/forked-and-failed",
    { "hello", "await=fork", "fork", "pidfd", "forked", "main", "fork-failed=0", "hang" },
    ANY, NULL },

  { "template/exit", { "hello", "await=fork", "exit=4" }, AFORK_ERROR_EXITED, "status 4" },
  { "template/close", { "hello", "await=fork", "close", "hang" }, AFORK_ERROR_SIGNALED, "signal 9",
    TRUE },
  { "template/garbage", { "hello", "await=fork", "raw=" GARBAGE, "hang" }, AFORK_ERROR_PROTOCOL,
    BROKEN, TRUE },
  { "template/error", { "hello", "await=fork", "error=2", "exit=6" }, AFORK_ERROR_MODULE,
    "failed" },
  { "template/forked", { "hello", "await=fork", "pidfd", "forked", "hang" }, AFORK_ERROR_PROTOCOL,
    "FORKED came", TRUE },
};

static void
test_fork (Census        *census,
           gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) template = new_template (self->steps);
  g_autoptr(AForkProcess) process = afork_process_fork (template);
  Outcome outcome = { 0 };

  afork_process_run_async (process, "function", NULL, outcome_run_cb, &outcome);
  expect_error (self, &outcome);
  if (!self->killed)
    afork_process_force_exit (template);
  await_end (template);
  await_end (process);
  iterate ();
}

/* Executing a program. EXEC comes with a socket for the exec status; the step "fork" switches to
 * this socket. */

static const Case exec_cases[] = {
  { "garbage", { "hello", "await=exec", "ready", "fork", "raw=" GARBAGE, "hang" },
    AFORK_ERROR_PROTOCOL, BROKEN, TRUE },
  { "garbage-first", { "hello", "await=exec", "fork", "raw=" GARBAGE, "main", "ready", "hang" },
    AFORK_ERROR_PROTOCOL, BROKEN, TRUE },
  { "ready-there", { "hello", "await=exec", "ready", "fork", "ready", "hang" },
    AFORK_ERROR_PROTOCOL, "READY came", TRUE },
  { "ready-with-pidfd", { "hello", "await=exec", "pidfd", "ready", "hang" }, AFORK_ERROR_PROTOCOL,
    "READY came", TRUE },
  { "error-with-fd", { "hello", "await=exec", "ready", "fork", "pidfd", "error=3", "hang" },
    AFORK_ERROR_PROTOCOL, "ERROR came", TRUE },
  { "error", { "hello", "await=exec", "ready", "fork", "error=8" }, AFORK_ERROR_SPAWN, "failed" },
  { "error/first", { "hello", "await=exec", "fork", "error=8", "main", "ready", "hang" },
    AFORK_ERROR_SPAWN, "failed" },
  { "error/main", { "hello", "await=exec", "error=3" }, AFORK_ERROR_EVAL, "failed" },
  { "error/both", { "hello", "await=exec", "error=3", "fork", "error=8", "hang" }, ANY, NULL },
  { "exit", { "hello", "await=exec", "exit=7" }, AFORK_ERROR_EXITED, "status 7" },
  { "close", { "hello", "await=exec", "close", "hang" }, AFORK_ERROR_SIGNALED, "signal 9", TRUE },
  { "flood", { "hello", "await=exec", "ready", "fork", "flood=" GARBAGE }, AFORK_ERROR_PROTOCOL,
    BROKEN },
};

static void
test_exec (Census        *census,
           gconstpointer  data)
{
  const Case *self = data;
  g_autoptr(AForkProcess) process = new_template (self->steps);
  Outcome outcome = { 0 };

  afork_process_exec_async (process, STRV ("true"), NULL, outcome_exec_cb, &outcome);
  expect_error (self, &outcome);
  if (!self->killed)
    afork_process_force_exit (process);
  await_end (process);
  if (self->killed)
    assert_term_signal (process, SIGKILL);
  iterate ();
}

/* The process reports the exec status without end. The caller reads only the first report and
 * closes the socket, so the process exits. */
static void
test_exec_errors (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process =
    new_template (STEPS ("hello", "await=exec", "ready", "fork",
                         "flood=0b000000430000000300000002000000617a00"));
  Outcome outcome = { 0 };

  afork_process_exec_async (process, STRV ("true"), NULL, outcome_exec_cb, &outcome);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, AFORK_ERROR, AFORK_ERROR_EVAL, "az");
  await_end (process);
}

/* A fork sends a pidfd of the caller in place of its own. Signals for the fork must not reach the
 * caller. */
static void
test_pidfd_of_another (Census        *census,
                       gconstpointer  data)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) process = NULL;

  template = new_template (STEPS ("hello", "await=fork", "fork", "caller-pidfd", "forked", "hang"));
  process = afork_process_fork (template);
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_send_signal (process, SIGTERM);
  afork_process_force_exit (process);
  iterate ();
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_PREPARING);

  afork_process_force_exit (template);
  await_end (template);
  await_end (process);
}

/* Sends the queued commands: this happens when the main context prepares to wait. Replies are not
 * read yet, however soon they arrive. */
static void
send_queued (void)
{
  int priority;

  g_assert_true (g_main_context_acquire (NULL));
  g_main_context_prepare (NULL, &priority);
  g_main_context_release (NULL);
}

/* A process that is to execute a program replies that it is ready, with descriptors as if it were a
 * fork, which is wrong. The process has exited before the caller reads this reply. */
static void
test_exec_ended (Census        *census,
                 gconstpointer  data)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  Outcome outcome = { 0 };
  siginfo_t info;

  process = new_template (STEPS ("hello", "await=exec", "caller-pidfd", "fds=1", "ready"));
  fork = afork_process_fork (process);
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  afork_process_exec_async (process, STRV ("true"), NULL, outcome_exec_cb, &outcome);
  send_queued ();
  g_assert_no_errno (waitid (P_ALL, 0, &info, WEXITED | WNOWAIT));

  outcome_await (&outcome);
  await_end (process);
  await_end (fork);
  iterate ();
  outcome_clear (&outcome);
}

/* A process was only asked for a fork. It replies that it is ready, and has exited when it is run.
 * By then, the library has not yet asked the kernel which process sends. */
static void
test_ready_early (Census        *census,
                  gconstpointer  data)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  Outcome outcome = { 0 };
  siginfo_t info;

  process = new_template (STEPS ("hello", "await=fork", "pidfd", "reports", "ready"));
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  fork = afork_process_fork (process);
  /* One iteration only, which sends the command. If the reply was read and refused in it, the
   * process may be gone by now. */
  g_main_context_iteration (NULL, FALSE);
  if (waitid (P_ALL, 0, &info, WEXITED | WNOWAIT) < 0)
    g_assert_cmpint (errno, ==, ECHILD);

  afork_process_run_async (process, "function", NULL, outcome_run_cb, &outcome);
  outcome_await (&outcome);
  await_end (process);
  await_end (fork);
  iterate ();
  outcome_clear (&outcome);
}

/* Unusual messages that are allowed. */

/* Checks that the connection has N_BYTES bytes of the pattern that the program writes behind READY,
 * and no other bytes. */
static void
expect_data (GSocketConnection *connection,
             gsize              n_bytes)
{
  g_autofree char *bytes = NULL;
  gsize size;

  bytes = read_to_end (connection, &size);
  g_assert_cmpuint (size, ==, n_bytes);
  for (gsize i = 0; i < size; i++)
    if ((guint8) bytes[i] != i % 251)
      g_error ("Byte %" G_GSIZE_FORMAT " is %u", i, (guint8) bytes[i]);
}

static void
expect_run_data (AForkProcess *process,
                 gsize         n_bytes)
{
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "function");

  expect_data (connection, n_bytes);
  await_end (process);
}

static void
test_data (Census        *census,
           gconstpointer  data)
{
  static const gsize sizes[] = { 0, 1, 7, 8, 9, 100, 4087, 4088, 4089, 65536, MIB };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *step = g_strdup_printf ("ready-data=%" G_GSIZE_FORMAT, sizes[i]);
      g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", step));
      g_autoptr(AForkProcess) early = new_template (STEPS ("hello", "await=run", step));
      g_autoptr(AForkProcess) template = NULL;
      g_autoptr(AForkProcess) fork = NULL;

      expect_run_data (process, sizes[i]);
      assert_exit_status (process, 0);
      await_state (early, AFORK_PROCESS_STATE_PREPARING);
      expect_run_data (early, sizes[i]);
      assert_exit_status (early, 0);

      template = new_template (STEPS ("hello", "await=fork", "fork", "await=run", "pidfd", step));
      fork = afork_process_fork (template);
      expect_run_data (fork, sizes[i]);
    }
}

/* When the function has the socket, any bytes are data, even garbage or a frame. */
static void
test_data_garbage (Census        *census,
                   gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", "ready", "ready",
                                                        "raw=" GARBAGE));
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "function");
  g_autofree char *bytes = NULL;
  gsize size;

  bytes = read_to_end (connection, &size);
  g_assert_cmpuint (size, ==, READY_SIZE + 14);
  g_assert_cmpstr (bytes + READY_SIZE, ==, "This is text.\n");
  await_end (process);
  assert_exit_status (process, 0);
}

/* Descriptors behind READY do not stay open. */
static void
test_data_fds (Census        *census,
               gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", "ready",
                                                        "stray=200", "raw=" GARBAGE));
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "function");
  g_autofree char *bytes = NULL;
  gsize size;

  bytes = read_to_end (connection, &size);
  g_assert_cmpuint (size, ==, 14);
  await_end (process);
  assert_exit_status (process, 0);
}

static void
test_drip (Census        *census,
           gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (STEPS ("drip", "hello", "await=run",
                                                        "ready-data=20"));
  g_autoptr(AForkProcess) failing = new_process (STEPS ("drip", "hello", "await=run", "error=3",
                                                        "exit=3"));
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkProcess) fork = NULL;
  g_autoptr(GSocketConnection) connection = NULL;

  expect_run_data (process, 20);
  expect_run_error (failing, "function", AFORK_ERROR, AFORK_ERROR_EVAL, "failed");

  template = new_template (STEPS ("drip", "hello", "await=fork", "fork", "pidfd", "forked",
                                  "await=run", "ready", "main", "exited=0"));
  fork = afork_process_fork (template);
  connection = run_process_ok (fork, "function");
  await_end (fork);
  assert_exit_status (fork, 5);
}

/* Whether the caller reads a flood behind READY is up to the caller. */
static void
test_flood (Census        *census,
            gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", "ready",
                                                        "flood=" GARBAGE));
  g_autoptr(GSocketConnection) connection = run_process_ok (process, "function");

  iterate ();
  g_clear_object (&connection);
  await_end (process);
  assert_exit_status (process, 0);
}

/* The process replies to a command that was not sent yet: most of the item before the command still
 * waits in the caller. */
static void
test_ready_too_soon (Census        *census,
                     gconstpointer  data)
{
  g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "ready", "hang"));
  g_autoptr(GBytes) bytes = g_bytes_new_take (g_malloc0 (8 * MIB), 8 * MIB);

  afork_process_send_bytes (process, bytes);
  expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_PROTOCOL, "READY came");
  assert_term_signal (process, SIGKILL);
}

/* The process never sends all of its reply, and does not exit. */
static void
test_silent (Census        *census,
             gconstpointer  data)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", "cut=5", "ready",
                                                        "hang"));
  Outcome outcome = { 0 };

  afork_process_run_async (process, "function", cancellable, outcome_run_cb, &outcome);
  await_state (process, AFORK_PROCESS_STATE_PREPARING);
  iterate ();
  g_assert_cmpuint (outcome.n_calls, ==, 0);
  g_cancellable_cancel (cancellable);
  outcome_await (&outcome);
  outcome_expect_error (&outcome, G_IO_ERROR, G_IO_ERROR_CANCELLED, NULL);
  await_end (process);
  assert_term_signal (process, SIGKILL);
}

/* A process has a fork when it is run, so it stays to report on the worker. DATA is the step with
 * which it reports. */
static void
test_reports (Census        *census,
              gconstpointer  data)
{
  const char *report = data;
  g_autoptr(AForkProcess) template = new_template (STEPS ("hello", "await=fork", "await=run",
                                                          "pidfd", "reports", "ready", "fork",
                                                          report, "hang"));
  g_autoptr(AForkProcess) fork = afork_process_fork (template);
  g_autoptr(GSocketConnection) connection = NULL;

  connection = run_process_ok (template, "function");
  iterate ();
  afork_process_force_exit (template);
  await_end (template);
  g_clear_object (&connection);
  await_end (fork);
}

/* The process exits after each byte of a message. */

static void
test_end_of_hello (Census        *census,
                   gconstpointer  data)
{
  for (guint n_bytes = 0; n_bytes <= HELLO_SIZE; n_bytes++)
    {
      g_autofree char *cut = g_strdup_printf ("cut=%u", n_bytes);
      g_autoptr(AForkProcess) process = new_process (STEPS (cut, "hello"));
      g_autoptr(AForkProcess) early = new_template (STEPS (cut, "hello"));
      int code = n_bytes < HELLO_SIZE ? AFORK_ERROR_SPAWN : AFORK_ERROR_EXITED;

      expect_run_error (process, "function", AFORK_ERROR, code, "exited with status 0");
      await_end (early);
      expect_run_error (early, "function", AFORK_ERROR, code, "exited with status 0");
    }
}

static void
test_end_of_ready (Census        *census,
                   gconstpointer  data)
{
  for (guint n_bytes = 0; n_bytes < READY_SIZE; n_bytes++)
    {
      g_autofree char *cut = g_strdup_printf ("cut=%u", n_bytes);
      g_autoptr(AForkProcess) process = new_process (STEPS ("hello", "await=run", cut, "ready"));
      g_autoptr(AForkProcess) template = new_template (STEPS ("hello", "await=fork", "fork",
                                                              "await=run", "pidfd", cut, "ready"));
      g_autoptr(AForkProcess) fork = afork_process_fork (template);

      expect_run_error (process, "function", AFORK_ERROR, AFORK_ERROR_EXITED, "status 0");
      expect_run_error (fork, "function", AFORK_ERROR, AFORK_ERROR_EXITED, "status 0");
      await_end (template);
    }
}

/* Random changes. The program exits by itself, so each run returns in some way. */

static guint
get_n_mutations (void)
{
  return g_test_slow () ? 5000 : is_instrumented () ? 60 : 200;
}

static void
test_mutated (Census        *census,
              gconstpointer  data)
{
  for (guint i = 0; i < get_n_mutations (); i++)
    {
      g_autofree char *mutate = g_strdup_printf ("mutate=%d", g_test_rand_int_range (1, G_MAXINT));
      g_autoptr(AForkProcess) process = new_process (STEPS (mutate, "hello", "await=run", "ready",
                                                            "error=3", "raw=" GARBAGE));
      Outcome outcome = { 0 };

      afork_process_send_arg (process, mutate);
      afork_process_run_async (process, "function", NULL, outcome_run_cb, &outcome);
      outcome_await (&outcome);
      await_end (process);
      g_assert_cmpuint (outcome.n_calls, ==, 1);
      outcome_clear (&outcome);
    }
}

static void
test_mutated_fork (Census        *census,
                   gconstpointer  data)
{
  for (guint i = 0; i < get_n_mutations (); i++)
    {
      g_autofree char *mutate = g_strdup_printf ("mutate=%d", g_test_rand_int_range (1, G_MAXINT));
      g_autoptr(AForkProcess) template = new_template (STEPS (mutate, "hello", "await=fork", "fork",
                                                              "pidfd", "forked", "ready", "error=3",
                                                              "main", "exited=0", "fork-failed=0",
                                                              "error=1"));
      g_autoptr(AForkProcess) fork = afork_process_fork (template);
      Outcome outcome = { 0 };

      afork_process_run_async (fork, "function", NULL, outcome_run_cb, &outcome);
      outcome_await (&outcome);
      await_end (fork);
      await_end (template);
      g_assert_cmpuint (outcome.n_calls, ==, 1);
      outcome_clear (&outcome);
    }
}

static void
add_cases (const char  *folder,
           const Case  *first,
           gsize        n_cases,
           void       (*test) (Census        *census,
                               gconstpointer  data))
{
  for (const Case *added = first; added < first + n_cases; added++)
    {
      g_autofree char *path = g_strdup_printf ("/hostile/%s/%s", folder, added->path);

      fault_add_with_data (path, added, test);
    }
}

static void
add_report (const char *path,
            const char *report)
{
  g_autofree char *full = g_strconcat ("/hostile/reports/", path, NULL);

  fault_add_with_data (full, report, test_reports);
}

int
main (int    argc,
      char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  program = g_test_build_filename (G_TEST_BUILT, "hostile-server", NULL);

  add_cases ("run", run_cases, G_N_ELEMENTS (run_cases), test_run);
  add_cases ("early", early_cases, G_N_ELEMENTS (early_cases), test_early);
  add_cases ("fork", fork_cases, G_N_ELEMENTS (fork_cases), test_fork);
  add_cases ("exec", exec_cases, G_N_ELEMENTS (exec_cases), test_exec);
  fault_add ("/hostile/pidfd-of-another", test_pidfd_of_another);
  fault_add ("/hostile/exec-ended", test_exec_ended);
  fault_add ("/hostile/exec-errors", test_exec_errors);
  fault_add ("/hostile/ready-early", test_ready_early);
  fault_add ("/hostile/data", test_data);
  fault_add ("/hostile/data/garbage", test_data_garbage);
  fault_add ("/hostile/data/fds", test_data_fds);
  fault_add ("/hostile/drip", test_drip);
  fault_add ("/hostile/flood", test_flood);
  fault_add ("/hostile/ready-too-soon", test_ready_too_soon);
  fault_add ("/hostile/silent", test_silent);
  add_report ("nothing", "main");
  add_report ("garbage", "raw=" GARBAGE);
  add_report ("unknown", "exited=7");
  add_report ("fork", "exited=0");
  add_report ("other-frame", "hello");
  add_report ("error", "error=3");
  fault_add ("/hostile/end/hello", test_end_of_hello);
  fault_add ("/hostile/end/ready", test_end_of_ready);
  fault_add ("/hostile/mutated/run", test_mutated);
  fault_add ("/hostile/mutated/fork", test_mutated_fork);
  status = g_test_run ();

  g_free (program);
  return status;
}
