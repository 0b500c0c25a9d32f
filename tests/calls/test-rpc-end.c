/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that exit when they should not. Each call ends once, with an error that says how the
 * worker exited and what it last wrote. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

typedef struct
{
  const char *step;             /* NULL: this program kills the worker */
  const char *entry;            /* the outcome of a call in the log */
  int         code;
  const char *text;
} ExitCase;

static const ExitCase exit_cases[] = {
  { "q0", "xexited ", AFORK_ERROR_EXITED, "exited with status 0. Standard error: about to exit" },
  { "q3", "xexited ", AFORK_ERROR_EXITED, "exited with status 3. Standard error: about to exit" },
  { "k6", "xsignaled ", AFORK_ERROR_SIGNALED, "signal 6 (Aborted). Standard error: about to die" },
  { "k9", "xsignaled ", AFORK_ERROR_SIGNALED, "signal 9 (Killed). Standard error: about to die" },
  { "k15", "xsignaled ", AFORK_ERROR_SIGNALED, "(Terminated). Standard error: about to die" },
  { NULL, "xsignaled ", AFORK_ERROR_SIGNALED, "signal 9 (Killed)" },
};

/* SCRIPT, and then the exit. */
static char *
with_exit_case (const char     *script,
                const ExitCase *exit_case)
{
  return g_strdup_printf ("%s %s", script, exit_case->step != NULL ? exit_case->step : "n");
}

/* Later calls and closing fail with the same error, and nothing else arrives. */
static void
check_end (AForkRpc       *rpc,
           GString        *log,
           const char     *expected,
           const ExitCase *exit_case)
{
  g_autoptr(GString) more = g_string_new (expected);
  g_autoptr(GError) error = NULL;

  g_string_append (more, "closed ");
  await_log (log, more->str);

  begin_script (rpc, "e1 r2", log);
  begin_plain_script (rpc, "e1 r2", NULL, log);
  begin_close (rpc, NULL, log);
  for (int i = 0; i < 3; i++)
    g_string_append (more, exit_case->entry);
  await_log (log, more->str);

  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &error));
  g_assert_error (error, AFORK_ERROR, exit_case->code);
  if (strstr (error->message, exit_case->text) == NULL)
    g_error ("“%s” does not hold “%s”", error->message, exit_case->text);
}

/* The worker exits when the gate opens, or this program kills it. */
static void
do_end (AForkRpc       *rpc,
        const ExitCase *exit_case,
        int             gate)
{
  if (exit_case->step == NULL)
    afork_process_send_signal (afork_rpc_get_process (rpc), SIGKILL);
  else
    close (gate);
}

static void
for_each_exit_case (gboolean   concurrent,
                    void     (*check) (AForkRpc   *rpc,
                                       gboolean    concurrent,
                                       const ExitCase *exit_case,
                                       GString    *log))
{
  for (gsize i = 0; i < G_N_ELEMENTS (exit_cases); i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, NULL, "script_done", log);

      check (rpc, concurrent, &exit_cases[i], log);
    }
}

/* All calls are answered. */
static void
check_idle (AForkRpc       *rpc,
            gboolean        concurrent,
            const ExitCase *exit_case,
            GString        *log)
{
  g_autofree char *script = with_exit_case (concurrent ? "r1 g" : "r1 T", exit_case);
  int gate;

  begin_script_full (rpc, script, 0, &gate, log);
  await_log (log, "r1 ");
  do_end (rpc, exit_case, gate);
  check_end (rpc, log, "r1 ", exit_case);
  if (exit_case->step == NULL)
    close (gate);
}

static void
test_end_idle (gboolean concurrent)
{
  for_each_exit_case (concurrent, check_idle);
}

/* It serves a call. */
static void
check_in_call (AForkRpc       *rpc,
               gboolean        concurrent,
               const ExitCase *exit_case,
               GString        *log)
{
  g_autofree char *script = with_exit_case ("e2 p3 g", exit_case);
  g_autoptr(GString) expected = g_string_new ("r1 e2 p3 ");
  int gate;

  begin_script (rpc, "r1", log);
  begin_script_full (rpc, script, 0, &gate, log);
  await_log (log, "r1 e2 p3 ");
  do_end (rpc, exit_case, gate);
  g_string_append (expected, exit_case->entry);
  check_end (rpc, log, expected->str, exit_case);
  if (exit_case->step == NULL)
    close (gate);
}

static void
test_end_in_call (gboolean concurrent)
{
  for_each_exit_case (concurrent, check_in_call);
}

/* It has answered a call, and exits before the next. */
static void
check_answered (AForkRpc       *rpc,
                gboolean        concurrent,
                const ExitCase *exit_case,
                GString        *log)
{
  g_autofree char *script = with_exit_case ("e1 r2", exit_case);
  g_autoptr(GString) expected = g_string_new ("e1 r2 ");

  if (exit_case->step == NULL)
    return;

  begin_script (rpc, script, log);
  for (int i = 0; i < 3; i++)
    begin_script (rpc, "r3", log);
  for (int i = 0; i < 3; i++)
    g_string_append (expected, exit_case->entry);
  check_end (rpc, log, expected->str, exit_case);
}

static void
test_end_answered (gboolean concurrent)
{
  for_each_exit_case (concurrent, check_answered);
}

/* With calls that are served, calls that wait there, and calls that wait here. */
static void
check_queued (AForkRpc       *rpc,
              gboolean        concurrent,
              const ExitCase *exit_case,
              GString        *log)
{
  g_autofree char *script = with_exit_case ("e1 g", exit_case);
  g_autoptr(GString) expected = g_string_new ("e1 ");
  int gate;

  afork_rpc_set_max_in_flight (rpc, 3);
  begin_script_full (rpc, script, 0, &gate, log);
  for (int i = 0; i < 5; i++)
    {
      begin_script (rpc, "n", log);
      begin_plain_script (rpc, "n", NULL, log);
    }
  begin_close (rpc, NULL, log);
  await_log (log, "e1 ");
  do_end (rpc, exit_case, gate);
  for (int i = 0; i < 11; i++)
    g_string_append (expected, exit_case->entry);
  g_string_append_printf (expected, "closed %s", exit_case->entry);
  await_log (log, expected->str);
  if (exit_case->step == NULL)
    close (gate);
}

static void
test_end_queued (gboolean concurrent)
{
  for_each_exit_case (concurrent, check_queued);
}

/* Quick calls that were answered before the exit, and whose answers are still in the write
 * buffer. */
static void
test_end_gathered (gboolean concurrent)
{
  enum { N_CALLS = 50 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autofree char *script = g_strdup_printf ("r%u", i);

      begin_plain_script (rpc, script, NULL, log);
      g_string_append_printf (expected, "%s ", script);
    }
  begin_plain_script (rpc, "q3", NULL, log);
  begin_plain_script (rpc, "r1", NULL, log);
  g_string_append (expected, "xexited xexited closed ");
  await_log (log, expected->str);
}

/* A child of the worker has a copy of the write buffer, and exits. */
static void
test_end_child (gboolean concurrent)
{
  enum { N_CALLS = 50 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = NULL;

  /* At its exit, the child would look for leaks, and wait for a lock that a thread of the worker
   * has had. */
  if (is_instrumented ())
    {
      g_test_skip ("A child of a process with threads cannot look for leaks");
      return;
    }

  rpc = new_script_rpc (concurrent, log);
  for (guint i = 0; i < N_CALLS; i++)
    {
      begin_plain_script (rpc, i % 10 == 9 ? "F e1 r2" : "r3", NULL, log);
      g_string_append (expected, i % 10 == 9 ? "e1 r2 " : "r3 ");
    }
  await_log (log, expected->str);
  close_rpc (rpc);
}

/* Of a long output, the error has the last ten lines. */
static void
test_end_lines (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 1000; i++)
    begin_plain_script (rpc, "o r1", NULL, log);
  begin_plain_script (rpc, "q3", NULL, log);
  await_text (log, "closed ");
  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
  g_assert_true (g_str_has_suffix (error->message, "line 999\nline 1000\nabout to exit"));
  g_assert_null (strstr (error->message, "line 991\n"));
  g_assert_nonnull (strstr (error->message, "line 992\n"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-end/idle", test_end_idle);
  add_for_both ("/rpc-end/in-call", test_end_in_call);
  add_for_both ("/rpc-end/answered", test_end_answered);
  add_for_both ("/rpc-end/queued", test_end_queued);
  add_for_both ("/rpc-end/gathered", test_end_gathered);
  add_for_both ("/rpc-end/child", test_end_child);
  add_for_both ("/rpc-end/lines", test_end_lines);

  return g_test_run ();
}
