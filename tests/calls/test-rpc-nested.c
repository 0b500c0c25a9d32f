/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Calls within calls: blocking ones while others are pending, ones that callbacks and handlers
 * make, in nested main loops, and in several threads. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* A blocking call, which has this result. */
static void
expect_value (AForkRpc   *rpc,
              const char *script,
              guint32     number)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;

  value = afork_rpc_call (rpc, g_variant_new_string (script), NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (value, number);
}

/* Events come during a blocking call; answers to others when the main context is iterated again. */
static void
test_nested_pending (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  for (int i = 0; i < 3; i++)
    {
      begin_plain_script (rpc, "e1 r2", NULL, log);
      begin_script (rpc, "r3", log);
      expect_value (rpc, "e4 r5", 5);
      g_assert_cmpstr (log->str, ==, "e1 e4 ");
      await_log (log, "e1 e4 r2 r3 ");
      g_string_truncate (log, 0);
    }
  close_rpc (rpc);
}

/* Calls that do not end by then go on as before after it. */
static void
test_nested_unended (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  g_autoptr(GError) error = NULL;
  int gates[2];

  begin_script_full (rpc, "e1 g p2 r3", 0, &gates[0], log);
  begin_script_full (rpc, "g e4 r5", 0, &gates[1], log);
  expect_value (rpc, "e6 r7", 7);
  g_assert_cmpstr (log->str, ==, "e1 e6 ");
  close (gates[1]);
  await_log (log, "e1 e6 e4 r5 ");
  expect_value (rpc, "r8", 8);
  close (gates[0]);
  g_assert_true (afork_rpc_close (rpc, NULL, &error));
  g_assert_no_error (error);
  /* Progress is a signal. */
  g_assert_cmpstr (log->str, ==, "e1 e6 e4 r5 p2 closed ");
  await_log (log, "e1 e6 e4 r5 p2 closed r3 ");
}

/* A blocking run of a job, and its notifications meanwhile. */
static void
test_nested_job (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string ("p1 e2 P3 r4"));
  g_autoptr(AForkJob) late = afork_job_new (g_variant_new_string ("p5 c e6"));
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  g_signal_connect (job, "progress", G_CALLBACK (append_text_cb), log);
  value = afork_rpc_run_job (rpc, job, NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (value, 4);
  g_assert_cmpstr (log->str, ==, "p1 e2 p3 ");

  g_signal_connect (late, "progress", G_CALLBACK (append_text_cb), log);
  afork_job_set_timeout (late, get_time_limit ());
  g_assert_null (afork_rpc_run_job (rpc, late, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
  await_log (log, "p1 e2 p3 p5 e6 ");
  close_rpc (rpc);
}

static gpointer
cancel_thread (gpointer data)
{
  g_cancellable_cancel (data);
  return NULL;
}

static void
cancel_in_thread_cb (AForkRpc *rpc,
                     GVariant *event,
                     gpointer  data)
{
  g_thread_unref (g_thread_new ("cancel", cancel_thread, data));
}

/* From another thread, because this one does nothing else. */
static void
test_nested_cancelled (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;
  gulong id;

  id = g_signal_connect (rpc, "event", G_CALLBACK (cancel_in_thread_cb), cancellable);
  g_assert_null (afork_rpc_call (rpc, g_variant_new_string ("e1 c"), cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_signal_handler_disconnect (rpc, id);
  g_clear_error (&error);
  g_assert_null (afork_rpc_call (rpc, g_variant_new_string ("e1 r2"), cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  expect_value (rpc, "r3", 3);
  close_rpc (rpc);
}

/* A worker that exits during a blocking call, while others are pending. */
static void
test_nested_died (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(GError) error = NULL;

  begin_script (rpc, "r1", log);
  begin_script (rpc, "e2 w1 q3", log);
  begin_plain_script (rpc, "w1000 r4", NULL, log);
  g_assert_null (afork_rpc_call (rpc, g_variant_new_string ("w1000 r5"), NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_EXITED);
  await_log (log, "e2 closed r1 xexited xexited ");
}

/* Handlers and callbacks of calls that make blocking calls. */

static void
call_in_result_cb (GObject      *object,
                   GAsyncResult *result,
                   gpointer      data)
{
  append_result_cb (object, result, data);
  expect_value (AFORK_RPC (object), "e8 r9", 9);
  g_string_append (data, "| ");
}

static void
call_in_event_cb (AForkRpc *rpc,
                  GVariant *event,
                  gpointer  data)
{
  /* The event of this call as well, but only once. */
  if (g_variant_get_uint32 (event) < 5)
    {
      guint32 next = g_variant_get_uint32 (event) + 1;
      g_autofree char *script = g_strdup_printf ("e%u r%u", next, next);

      expect_value (rpc, script, next);
    }
  g_string_append_printf (data, "|%u ", g_variant_get_uint32 (event));
}

static void
call_in_progress_cb (AForkJob *job,
                     GVariant *progress,
                     gpointer  data)
{
  expect_value (data, "r9", 9);
}

static void
test_nested_in_result (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  afork_rpc_call_async (rpc, g_variant_new_string ("r1"), NULL, call_in_result_cb, log);
  begin_script (rpc, "r2", log);
  await_log (log, "r1 e8 | r2 ");
  close_rpc (rpc);
}

static void
test_nested_in_event (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  g_signal_connect (rpc, "event", G_CALLBACK (call_in_event_cb), log);
  begin_script (rpc, "e1 r7", log);
  await_log (log, "e1 e2 e3 e4 e5 |5 |4 |3 |2 |1 r7 ");
  close_rpc (rpc);
}

static void
test_nested_in_progress (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  AForkJob *job;
  int gate;

  job = begin_script_full (rpc, "p1 p2 g p3 r4", 0, &gate, log);
  g_signal_connect (job, "progress", G_CALLBACK (call_in_progress_cb), rpc);
  await_log (log, "p1 p2 ");
  close (gate);
  await_log (log, "p1 p2 p3 r4 ");
  close_rpc (rpc);
}

/* A handler iterates the main context until something else has come. */

static void
iterate_in_event_cb (AForkRpc *rpc,
                     GVariant *event,
                     gpointer  data)
{
  GString *log = data;

  if (g_variant_get_uint32 (event) != 1)
    return;

  begin_script (rpc, "e5 r6", log);
  await_text (log, "r6 ");
  g_string_append (log, "| ");
}

static void
iterate_in_progress_cb (AForkJob *job,
                        GVariant *progress,
                        gpointer  data)
{
  /* Its own end. */
  await_text (data, "r3 ");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_string_append (data, "| ");
}

static void
test_nested_loop_event (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  g_signal_connect (rpc, "event", G_CALLBACK (iterate_in_event_cb), log);
  begin_script (rpc, "e1 e2 p3 r4", log);
  await_log (log, "e1 e2 p3 r4 e5 r6 | ");
  close_rpc (rpc);
}

static void
test_nested_loop_progress (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(AForkJob) job = g_object_ref (begin_script (rpc, "p1 e2 r3", log));

  g_signal_connect (job, "progress", G_CALLBACK (iterate_in_progress_cb), log);
  begin_script (rpc, "r4", log);
  await_text (log, "| ");
  await_text (log, "r4 ");
  g_assert_true (g_str_has_prefix (log->str, "p1 e2 r3 "));
  close_rpc (rpc);
}

typedef struct
{
  GString *log;
  guint    depth;
} Recursion;

static void
iterate_in_result_cb (GObject      *object,
                      GAsyncResult *result,
                      gpointer      data)
{
  Recursion *recursion = data;
  GAsyncResult *next = NULL;

  append_result_cb (object, result, recursion->log);
  if (recursion->depth-- == 0)
    return;

  afork_rpc_call_async (AFORK_RPC (object), g_variant_new_string ("r1"), NULL, iterate_in_result_cb,
                        data);
  afork_rpc_call_async (AFORK_RPC (object), g_variant_new_string ("r2"), NULL, store_result_cb,
                        &next);
  expect_uint32 (AFORK_RPC (object), &next, 2);
}

/* Ends in handlers of ends. */
static void
test_nested_loop_result (gboolean concurrent)
{
  enum { DEPTH = 30 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  Recursion recursion = { log, DEPTH };

  afork_rpc_call_async (rpc, g_variant_new_string ("r1"), NULL, iterate_in_result_cb, &recursion);
  while (log->len < (DEPTH + 1) * strlen ("r1 "))
    g_main_context_iteration (NULL, TRUE);
  close_rpc (rpc);
}

/* Closed, and then dropped, by a handler in a main loop of its own. */
static void
close_in_event_cb (AForkRpc *rpc,
                   GVariant *event,
                   gpointer  data)
{
  GString *log = data;

  g_signal_handlers_disconnect_by_func (rpc, close_in_event_cb, data);
  begin_close (rpc, NULL, log);
  await_text (log, "ok ");
  g_string_append (log, "| ");
}

static void
test_nested_loop_close (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));

  g_signal_connect (rpc, "event", G_CALLBACK (close_in_event_cb), log);
  begin_script (rpc, "e1 e2 r3", log);
  begin_script (rpc, "r4", log);
  g_clear_object (&rpc);
  await_log (log, "e1 e2 r3 r4 closed ok | ");
  await_end (process);
}

/* Blocking close, while calls are pending. */
static void
test_nested_close (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, NULL, "script_done", log);
  g_autoptr(GError) error = NULL;

  begin_script (rpc, "e1 r2", log);
  begin_plain_script (rpc, "w20 r3", NULL, log);
  g_assert_true (afork_rpc_close (rpc, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (log->str, ==, "e1 e'done' closed ");
  await_log (log, "e1 e'done' closed r2 r3 ");
}

/* Threads, each with its own main context and object, at the same time. */
static gpointer
call_thread (gpointer data)
{
  enum { N_ROUNDS = 30 };
  gboolean concurrent = GPOINTER_TO_INT (data);
  GMainContext *context = g_main_context_new ();
  GString *log = g_string_new (NULL);
  AForkRpc *rpc;

  g_main_context_push_thread_default (context);
  rpc = new_script_rpc (concurrent, log);
  for (int i = 0; i < N_ROUNDS; i++)
    {
      AForkJob *job = begin_script (rpc, "e1 c", log);

      begin_script (rpc, "E2 p3 r4", log);
      await_text (log, "e1 ");
      afork_job_cancel (job);
      await_text (log, "r4 ");
      expect_value (rpc, "r5", 5);
      g_string_truncate (log, 0);
    }
  close_rpc (rpc);
  g_object_unref (rpc);
  g_string_free (log, TRUE);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

static void
test_nested_threads (gboolean concurrent)
{
  GThread *threads[6];

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("calls", call_thread, GINT_TO_POINTER (concurrent));
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-nested/pending", test_nested_pending);
  add_test ("/rpc-nested/unended", test_nested_unended);
  add_for_both ("/rpc-nested/job", test_nested_job);
  add_for_both ("/rpc-nested/cancelled", test_nested_cancelled);
  add_for_both ("/rpc-nested/died", test_nested_died);
  add_for_both ("/rpc-nested/close", test_nested_close);
  add_for_both ("/rpc-nested/in-result", test_nested_in_result);
  add_for_both ("/rpc-nested/in-event", test_nested_in_event);
  add_test ("/rpc-nested/in-progress", test_nested_in_progress);
  add_for_both ("/rpc-nested/loop/event", test_nested_loop_event);
  add_for_both ("/rpc-nested/loop/progress", test_nested_loop_progress);
  add_for_both ("/rpc-nested/loop/result", test_nested_loop_result);
  add_for_both ("/rpc-nested/loop/close", test_nested_loop_close);
  add_for_both ("/rpc-nested/threads", test_nested_threads);

  return g_test_run ();
}
