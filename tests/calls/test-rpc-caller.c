/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Callers that are killed while their worker is in any state: it exits, and is not busy until then.
 * The caller is this program, executed again with the number of a scene. Its worker has a copy of
 * its standard output, to which it writes its CPU time before it exits. A process whose parent
 * exits becomes a child of the test, which sees all of them exit. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test-rpc-util.h"

typedef struct
{
  const char *name;
  gboolean    concurrent;
  gboolean    with_parent;      /* the worker has the property die-with-parent */
  const char *script;
  guint       n_calls;
  const char *expected;         /* the caller is killed when this has come */
  gboolean    given_up;         /* after it was closed and its call was cancelled */
} SceneKind;

/* A worker without the property exits by itself when it next checks. One that is busy until then
 * would use the second that this takes. */
static const SceneKind kinds[] = {
  { "with-parent/idle", FALSE, TRUE, "r1", 1, "r1 ", FALSE },
  { "with-parent/asleep", FALSE, TRUE, "e1 s", 3, "e1 ", FALSE },
  { "with-parent/busy", FALSE, TRUE, "e1 b", 3, "e1 ", FALSE },
  { "with-parent/concurrent-idle", TRUE, TRUE, "r1", 1, "r1 ", FALSE },
  { "with-parent/concurrent", TRUE, TRUE, "e1 n", 3, "e1 e1 e1 ", FALSE },
  { "with-parent/concurrent-blocked", TRUE, TRUE, "r1 w1 s", 1, "r1 ", FALSE },
  { "idle", FALSE, FALSE, "r1", 1, "r1 ", FALSE },
  { "idle-after-many", FALSE, FALSE, "r1", 5, "r1 r1 r1 r1 r1 ", FALSE },
  { "cancellable", FALSE, FALSE, "e1 c r2", 3, "e1 ", FALSE },
  { "asleep", FALSE, FALSE, "e1 w1000 r2", 3, "e1 ", FALSE },
  { "listening", FALSE, FALSE, "l e1 w1000 r2", 3, "e1 ", FALSE },
  { "given-up", FALSE, FALSE, "l e1 w4000 r2", 1, "e1 xcancelled ", TRUE },
  { "concurrent-idle", TRUE, FALSE, "r1", 1, "r1 ", FALSE },
  { "concurrent", TRUE, FALSE, "e1 n", 3, "e1 e1 e1 ", FALSE },
  { "concurrent-timeouts", TRUE, FALSE, "e1 w100000 r2", 3, "e1 e1 e1 ", FALSE },
  { "concurrent-threads", TRUE, FALSE, "e1 t w1000 e2 r3", 3, "e1 e1 e1 ", FALSE },
  { "unread", FALSE, FALSE, "e1 E2 E3 E4 E5 E6 E7 E8 E9 r10", 3, "e1 ", FALSE },
  { "concurrent-unread", TRUE, FALSE, "E1 E2 E3 E4 E5 E6 E7 E8 E9 r10", 3, "e1 ", FALSE },
};

/* The caller. */

G_GNUC_NORETURN static void
play (const SceneKind *kind)
{
  /* Templates would inherit it. */
  int report = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  AForkProcess *process = new_module_process ("script");
  GString *log = g_string_new (NULL);
  AForkJob *job = NULL;
  AForkRpc *rpc;

  dup2 (STDERR_FILENO, STDOUT_FILENO);
  afork_process_send_fd (process, report);
  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", process,
                      "function", kind->concurrent ? "script_concurrent" : "script_sequential",
                      "init-function", "script_init",
                      "done-function", "script_done_usage",
                      "concurrent", kind->concurrent,
                      "die-with-parent", kind->with_parent,
                      NULL);
  log_rpc (rpc, log);
  for (guint i = 0; i < kind->n_calls; i++)
    job = begin_script (rpc, kind->script, log);
  if (kind->given_up)
    {
      await_text (log, "e1 ");
      begin_close (rpc, NULL, log);
      afork_job_cancel (job);
    }
  await_text (log, kind->expected);
  while (kind->given_up && g_main_context_iteration (NULL, FALSE))
    ;

  /* From here on, the main context is not iterated. */
  dprintf (report, "ready\n");
  for (;;)
    pause ();
}

/* The test. */

static const char *program;

/* Waits for the exit of the caller, and of all processes that it has made. */
static void
await_descendants (void)
{
  while (waitpid (-1, NULL, 0) > 0 || errno == EINTR)
    ;
  g_assert_cmpint (errno, ==, ECHILD);
}

static void
test_killed (Census        *census,
             gconstpointer  data)
{
  const SceneKind *kind = data;
  g_autofree char *number = g_strdup_printf ("%d", (int) (kind - kinds));
  g_autofree char *ready = NULL;
  g_autofree char *rest = NULL;
  g_autoptr(GError) error = NULL;
  GIOChannel *channel;
  GPid pid;
  int output;

  prctl (PR_SET_CHILD_SUBREAPER, 1);
  g_spawn_async_with_pipes (NULL, (char **) STRV (program, "--scene", number), NULL,
                            G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, &output, NULL,
                            &error);
  g_assert_no_error (error);
  channel = g_io_channel_unix_new (output);
  g_io_channel_set_close_on_unref (channel, TRUE);
  g_io_channel_read_line (channel, &ready, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (ready, ==, "ready\n");

  kill (pid, SIGKILL);
  /* Until no process has it any more. */
  g_io_channel_read_to_end (channel, &rest, NULL, &error);
  g_assert_no_error (error);
  g_io_channel_unref (channel);
  await_descendants ();
  prctl (PR_SET_CHILD_SUBREAPER, 0);
  g_spawn_close_pid (pid);

  if (kind->with_parent)
    g_assert_cmpstr (rest, ==, "");
  else
    {
      g_assert_true (g_str_has_prefix (rest, "used "));
      g_test_message ("%s", g_strstrip (rest));
      g_assert_cmpuint (g_ascii_strtoull (rest + strlen ("used "), NULL, 10), <,
                        is_instrumented () ? 600000 : 200000);
    }
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--scene") == 0)
    play (&kinds[atoi (argv[2])]);

  g_test_init (&argc, &argv, NULL);
  program = argv[0];

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_strconcat ("/rpc-caller/killed/", kinds[i].name, NULL);

      add_with_data (path, &kinds[i], test_killed);
    }

  return g_test_run ();
}
