/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Calls that are cancelled. A cancelled call ends at once, wherever it is; the worker does not
 * begin it, or can notice that it was cancelled. */

#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* Longer than the time after which a worker reads again before it begins a call. */
static void
iterate_for_a_while (void)
{
  gint64 end = g_get_monotonic_time () + 5000;

  do
    iterate ();
  while (g_get_monotonic_time () < end);
}

static void
test_cancel_before (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string ("e1 r2"));

  g_cancellable_cancel (cancellable);
  begin_plain_script (rpc, "e1 r2", cancellable, log);
  afork_job_cancel (job);
  afork_rpc_run_job_async (rpc, job, NULL, append_result_cb, log);
  g_assert_cmpstr (log->str, ==, "");
  begin_script (rpc, "r3", log);
  await_log (log, "xcancelled xcancelled r3 ");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_CANCELLED);

  begin_plain_script (rpc, "e1 r2", cancellable, log);
  await_log (log, "xcancelled xcancelled r3 xcancelled ");
  begin_script (rpc, "r3", log);
  await_log (log, "xcancelled xcancelled r3 xcancelled r3 ");
  close_rpc (rpc);
}

/* Before there is a worker. */
static void
test_cancel_early (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  begin_plain_script (rpc, "e1 r2", cancellable, log);
  g_cancellable_cancel (cancellable);
  afork_job_cancel (begin_script (rpc, "e1 r2", log));
  begin_script (rpc, "r3", log);
  await_log (log, "xcancelled xcancelled r3 ");
  close_rpc (rpc);
}

/* At once. The call may be sent nevertheless, followed by CANCEL. */
static void
test_cancel_at_once (gboolean concurrent)
{
  enum { N_ROUNDS = 20 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  begin_script (rpc, "r1", log);
  await_log (log, "r1 ");
  for (int i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_auto(GStrv) parts = NULL;

      g_string_truncate (log, 0);
      begin_plain_script (rpc, "r2", cancellable, log);
      g_cancellable_cancel (cancellable);
      afork_job_cancel (begin_script (rpc, "r2", log));
      begin_script (rpc, "r3", log);
      await_text (log, "r3 ");
      iterate ();
      parts = g_strsplit (log->str, "xcancelled ", -1);
      g_assert_cmpuint (g_strv_length (parts), ==, 3);
      g_assert_null (strstr (log->str, "r2 "));
    }
  close_rpc (rpc);
}

/* While the call waits here, because the worker has as many as it may have at a time. */
static void
test_cancel_waiting (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  int gate;

  afork_rpc_set_max_in_flight (rpc, 1);
  begin_script_full (rpc, "e1 g r2", 0, &gate, log);
  await_log (log, "e1 ");
  begin_plain_script (rpc, "e3 r4", cancellable, log);
  begin_script (rpc, "r5", log);
  iterate ();
  g_cancellable_cancel (cancellable);
  await_log (log, "e1 xcancelled ");
  close (gate);
  await_log (log, "e1 xcancelled r2 r5 ");
  close_rpc (rpc);
}

/* While the call waits in the worker, which serves another one and may or may not be listening. */
static void
test_cancel_queued (void)
{
  static const char * const scripts[] = { "e1 g r2", "l e1 g r2" };

  for (gsize i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkRpc) rpc = new_script_rpc (FALSE, log);
      AForkJob *job;
      int gate;

      begin_script_full (rpc, scripts[i], 0, &gate, log);
      await_log (log, "e1 ");
      begin_script (rpc, "r3", log);
      job = begin_script (rpc, "e4 r5", log);
      begin_script (rpc, "r6", log);
      iterate ();
      g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_QUEUED);
      afork_job_cancel (job);
      await_log (log, "e1 xcancelled ");
      iterate_for_a_while ();
      close (gate);
      await_log (log, "e1 xcancelled r2 r3 r6 ");
      close_rpc (rpc);
    }
}

/* One call of a concurrent worker prevents it from iterating its main context. */
static void
test_cancel_behind (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  AForkJob *job;
  int gate;

  begin_script (rpc, "r1", log);
  await_log (log, "r1 ");
  begin_script_full (rpc, "E2 E2 E2 E2 E2 E2 G r3", 0, &gate, log);
  job = begin_script (rpc, "e4 r5", log);
  begin_script (rpc, "r6", log);
  /* More than fits into the write buffer, so it is known to have begun. */
  await_text (log, "e2 ");
  afork_job_cancel (job);
  await_text (log, "xcancelled ");
  iterate_for_a_while ();
  close (gate);
  await_text (log, "r6 ");
  g_assert_null (strstr (log->str, "e4"));
  close_rpc (rpc);
}

/* The function notices the cancellation. Only events of it arrive after that. */
static void
test_cancel_running (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  AForkJob *job;

  job = begin_script (rpc, "p1 c p2 e3 x", log);
  await_log (log, "p1 ");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_RUNNING);
  afork_job_cancel (job);
  await_log (log, "p1 xcancelled e3 ");

  begin_script_full (rpc, "c e4 r5", get_time_limit (), NULL, log);
  await_log (log, "p1 xcancelled e3 xtimed-out e4 ");
  begin_script (rpc, "r6", log);
  await_log (log, "p1 xcancelled e3 xtimed-out e4 r6 ");

  /* The callback of a cancelled call waits for the next iteration of the main context, as that of a
   * GTask does. The answer may come before. */
  g_string_truncate (log, 0);
  begin_plain_script (rpc, "e1 c p2 e3 r4", cancellable, log);
  await_log (log, "e1 ");
  g_cancellable_cancel (cancellable);
  await_text (log, "e3 ");
  await_text (log, "xcancelled ");
  g_assert_cmpuint (log->len, ==, strlen ("e1 xcancelled e3 "));
  close_rpc (rpc);
}

/* A function that checks only after it was cancelled. */
static void
test_cancel_late_look (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  AForkJob *job;
  int gate;

  job = begin_script_full (rpc, "p1 g c e2", 0, &gate, log);
  await_log (log, "p1 ");
  afork_job_cancel (job);
  await_log (log, "p1 xcancelled ");
  iterate_for_a_while ();
  close (gate);
  await_log (log, "p1 xcancelled e2 ");
  close_rpc (rpc);
}

static void
test_cancel_after (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(AForkJob) job = NULL;

  begin_plain_script (rpc, "l r1", cancellable, log);
  job = g_object_ref (begin_script (rpc, "l r2", log));
  await_log (log, "r1 r2 ");
  g_cancellable_cancel (cancellable);
  afork_job_cancel (job);
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  begin_script (rpc, "r3", log);
  await_log (log, "r1 r2 r3 ");
  close_rpc (rpc);
}

/* One cancellable for many calls in all states, some of which end before. */
static void
test_cancel_many (gboolean concurrent)
{
  enum { N_CALLS = 300 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new ("r1 e2 ");
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  begin_plain_script (rpc, "r1", cancellable, log);
  begin_plain_script (rpc, "e2 c", cancellable, log);
  await_log (log, "r1 e2 ");
  for (guint i = 0; i < N_CALLS; i++)
    begin_plain_script (rpc, "c", cancellable, log);
  iterate ();
  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < N_CALLS + 1; i++)
    g_string_append (expected, "xcancelled ");
  await_log (log, expected->str);
  close_rpc (rpc);
}

typedef struct
{
  AForkJob *job;
  GString  *log;
} Cancelling;

static gpointer
cancel_thread (gpointer data)
{
  afork_job_cancel (data);
  g_object_unref (data);
  return NULL;
}

/* From other threads: while the call waits, while it is served, and about when it is answered. */
static void
test_cancel_thread (gboolean concurrent)
{
  enum { N_ROUNDS = 100 };
  static const char * const scripts[] = { "c", "p1 c", "r2", "p1 w1 r2" };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      const char *script = scripts[i % G_N_ELEMENTS (scripts)];
      g_autoptr(AForkJob) job = g_object_ref (begin_script (rpc, script, log));
      GThread *thread;

      g_string_truncate (log, 0);
      if (script[0] == 'p')
        await_text (log, "p1 ");
      thread = g_thread_new ("cancel", cancel_thread, g_object_ref (job));
      while (strstr (log->str, "r2 ") == NULL && strstr (log->str, "xcancelled ") == NULL)
        g_main_context_iteration (NULL, TRUE);
      g_thread_join (thread);
      if (script[strlen (script) - 1] == 'c')
        g_assert_true (g_str_has_suffix (log->str, "xcancelled "));
    }
  close_rpc (rpc);
}

/* A callback that cancels other calls, and makes calls. */
static void
cancel_others_cb (GObject      *object,
                  GAsyncResult *result,
                  gpointer      data)
{
  Cancelling *others = data;

  append_result_cb (object, result, others->log);
  afork_job_cancel (others->job);
  begin_script (AFORK_RPC (object), "r3", others->log);
}

static void
test_cancel_in_callback (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  Cancelling others = { .log = log };

  afork_rpc_call_async (rpc, g_variant_new_string ("r1"), NULL, cancel_others_cb, &others);
  others.job = begin_script (rpc, "c", log);
  /* Concurrent calls may end in any order. */
  await_text (log, "xcancelled ");
  await_text (log, "r3 ");
  if (!concurrent)
    g_assert_cmpstr (log->str, ==, "r1 xcancelled r3 ");
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-cancel/before", test_cancel_before);
  add_for_both ("/rpc-cancel/early", test_cancel_early);
  add_for_both ("/rpc-cancel/at-once", test_cancel_at_once);
  add_for_both ("/rpc-cancel/waiting", test_cancel_waiting);
  add_test ("/rpc-cancel/queued", test_cancel_queued);
  add_test ("/rpc-cancel/behind", test_cancel_behind);
  add_for_both ("/rpc-cancel/running", test_cancel_running);
  add_for_both ("/rpc-cancel/late-look", test_cancel_late_look);
  add_for_both ("/rpc-cancel/after", test_cancel_after);
  add_for_both ("/rpc-cancel/many", test_cancel_many);
  add_for_both ("/rpc-cancel/thread", test_cancel_thread);
  add_for_both ("/rpc-cancel/in-callback", test_cancel_in_callback);

  return g_test_run ();
}
