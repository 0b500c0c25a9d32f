/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Agents that lie, by hostile-agent.py. Each pending call gets one error, in time, and all
 * processes here exit. */

#include "config.h"

#include "remote-util.h"

#include <signal.h>
#include <string.h>

#include <afork/wire/afork-frame.h>

/* A machine with other work may take so many times as long. */
enum { SECONDS = 15 };

typedef struct
{
  const char *lie;
  gboolean    only_worker;      /* only the worker is concerned, and the other one goes on */
  gboolean    stays;            /* processes there go on, so the connection stays, too */
} Case;

static AForkRuntime *
new_hostile_host (const char *lie)
{
  g_autofree char *program = g_test_build_filename (G_TEST_DIST, "remote", "hostile-agent.py",
                                                    NULL);
  g_autofree char *version = g_strdup_printf ("%d", AFORK_WIRE_VERSION);
  const char *path[] = { g_getenv ("AFORK_MODULE_PATH"), NULL };
  AForkRuntime *runtime = afork_runtime_new_agent ("liar",
    (const char * const []) { "python3", program, g_getenv ("AFORK_SERVER"), lie, version, NULL });

  afork_runtime_set_module_path (runtime, path);
  return runtime;
}

static AForkRpc *
new_hostile_rpc (AForkProcess *template)
{
  g_autoptr(AForkProcess) process = afork_process_fork (template);

  return g_object_new (AFORK_TYPE_RPC, "process", process, "function", "calls_do",
                       "forward-stderr", FALSE, NULL);
}

typedef struct
{
  GAsyncResult *result;
  guint         n_calls;
} Answer;

static void
answered_cb (GObject      *object,
             GAsyncResult *result,
             gpointer      data)
{
  Answer *answer = data;

  answer->n_calls++;
  g_set_object (&answer->result, result);
}

static void
await_answer (Answer     *answer,
              const char *lie)
{
  const gint64 end = g_get_monotonic_time () + SECONDS * G_USEC_PER_SEC;
  g_autoptr(GSource) ticks = g_timeout_source_new (100);

  g_source_set_callback (ticks, tick_cb, NULL, NULL);
  g_source_attach (ticks, NULL);
  while (answer->n_calls == 0)
    {
      if (g_get_monotonic_time () > end)
        g_error ("%s: a call is not answered", lie);
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_destroy (ticks);
}

/* That of an earlier test may be about to exit, and that of this one may have done so. */
static void
kill_liars (void)
{
  g_autofree char *program = g_test_build_filename (G_TEST_DIST, "remote", "hostile-agent.py",
                                                    NULL);
  GPid liar;

  while ((liar = find_process ("python3", program)) > 0)
    {
      kill (liar, SIGKILL);
      await_gone (liar, SECONDS);
    }
}

static void
test_lie (Census        *census,
          gconstpointer  data)
{
  const Case *test = data;
  g_autoptr(AForkRuntime) runtime = new_hostile_host (test->lie);
  g_autoptr(AForkProcess) template = NULL;
  g_autoptr(AForkRpc) other = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) pid = NULL;
  g_autoptr(GVariant) again = NULL;
  g_autoptr(GError) error = NULL;
  Answer answers[2] = { { NULL } };

  template = afork_process_require (afork_process_new_for_runtime (runtime), "calls");
  other = new_hostile_rpc (template);
  pid = call (other, do_args ("pid", 0), &error);
  g_assert_no_error (error);
  rpc = new_hostile_rpc (template);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    afork_rpc_call_async (rpc, do_args ("stuck", 0), NULL, answered_cb, &answers[i]);

  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      await_answer (&answers[i], test->lie);
      g_assert_null (afork_rpc_call_finish (rpc, answers[i].result, &error));
      g_test_message ("%s", error->message);
      g_assert_true (error->domain == AFORK_ERROR);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      if (!test->only_worker)
        g_assert_true (strstr (error->message, "liar") != NULL
                       || error->code != AFORK_ERROR_HOST_LOST);
      g_clear_error (&error);
      g_clear_object (&answers[i].result);
    }
  iterate ();
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    g_assert_cmpuint (answers[i].n_calls, ==, 1);

  if (test->only_worker)
    {
      again = call (other, do_args ("pid", 0), &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (pid, again));
    }
  if (test->stays)
    kill_liars ();
  afork_runtime_set_template (runtime, NULL);
}

/* An agent that lives, and does nothing. */
static void
test_mute (void)
{
  g_autoptr(AForkRuntime) runtime = new_hostile_host ("mute");
  g_autoptr(AForkProcess) process = NULL;

  afork_runtime_set_start_timeout (runtime, 5000);
  process = afork_process_require (afork_process_new_for_runtime (runtime), "calls");
  expect_run_error (process, "done", AFORK_ERROR, AFORK_ERROR_HOST_LOST, "liar");
  afork_runtime_set_template (runtime, NULL);
}

/* An agent that claims to be on a machine of the other byte order. All that is sent is
 * little-endian, also values, which each side swaps if it must. So this makes no difference. */
static void
test_byte_order (void)
{
  g_autoptr(AForkRuntime) runtime = new_hostile_host ("byte-order");
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) args = g_variant_ref_sink (g_variant_new ("(nux)", 1, 2, G_MININT64));
  g_autoptr(GVariant) result = NULL;
  g_autoptr(GError) error = NULL;

  process = afork_process_require (afork_process_new_for_runtime (runtime), "calls");
  rpc = afork_rpc_new (process, "calls_echo");
  result = call (rpc, args, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (result, args));
  close_rpc (rpc);
  afork_runtime_set_template (runtime, NULL);
}

static const Case cases[] = {
  { "data-of-no-channel", FALSE },
  { "end-of-no-channel", FALSE },
  { "end-of-0", FALSE },
  { "stop-of-0", FALSE },
  { "end-twice", FALSE },
  { "data-after-end", FALSE },
  { "end", FALSE },
  { "end-of-server", FALSE },
  { "credit", FALSE },
  { "credit-most", FALSE },
  { "flood", FALSE },
  { "flood-of-worker", FALSE },
  { "hello-twice", FALSE },
  { "start", FALSE },
  { "open-at-0", FALSE },
  { "open-at-worker", FALSE },
  { "open-known", FALSE },
  { "open-low", FALSE },
  { "open-unasked", FALSE },
  { "nonsense", FALSE },
  { "unknown-kind", FALSE },
  { "nonsense-on-0", FALSE },
  { "exit-of-no-server", FALSE },
  { "exit-of-server", FALSE },
  { "exit-twice", FALSE },
  { "exit-of-no-fork", FALSE },
  { "exit-of-worker", FALSE, TRUE },
  { "failed-fork", FALSE },
  { "failed-fork-of-none", FALSE },
  { "signaled", FALSE },
  { "measured", FALSE },
  { "remote-on-0", FALSE },
  { "remote-0", FALSE },
  { "remote-most", FALSE },
  { "remote-twice", FALSE },
  { "forked-twice", FALSE },
  { "server-hello", FALSE },
  { "ready-on-0", FALSE },
  { "ready-with-fds", FALSE },
  { "error-on-0", FALSE },
  { "cut-on-0", FALSE },
  { "huge-on-0", FALSE },
  { "file-wanted", FALSE },
  { "file-wanted-on-0", FALSE },
  { "answer-of-none", TRUE },
  { "pings", FALSE },
};

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/hostile-agent/", cases[i].lie, NULL);

      add_with_data (path, &cases[i], test_lie);
    }
  add_test ("/hostile-agent/mute", test_mute);
  add_test ("/hostile-agent/byte-order", test_byte_order);
  return g_test_run ();
}
