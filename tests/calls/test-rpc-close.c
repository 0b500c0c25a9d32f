/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Closing and dropping: calls that were accepted are still answered, then the worker exits. The
 * caller need not wait for that. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

static AForkRpc *
new_closing_rpc (gboolean  concurrent,
                 GString  *log)
{
  return new_script_rpc_full (NULL, concurrent, NULL, "script_done", log);
}

/* Before there is a worker, and after that. */
static void
test_close_pending (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);

  afork_rpc_set_max_in_flight (rpc, 2);
  for (int i = 0; i < 3; i++)
    {
      begin_script (rpc, "e1 r2", log);
      begin_plain_script (rpc, "R3", NULL, log);
    }
  begin_close (rpc, NULL, log);
  begin_script (rpc, "e4 r5", log);
  await_text (log, "xclosed ");
  await_text (log, "ok ");
  g_assert_nonnull (strstr (log->str, "e1 r2 r3 "));
  g_assert_true (g_str_has_suffix (log->str, "e1 r2 r3 e'done' closed ok "));
  g_assert_null (strstr (log->str, "e4"));
}

/* Calls that are begun after others were answered, and that end in another order. */
static void
test_close_busy (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  int gates[2];

  begin_script_full (rpc, "e1 g r2", 0, &gates[0], log);
  await_log (log, "e1 ");
  begin_script_full (rpc, "g r3", 0, &gates[1], log);
  begin_close (rpc, NULL, log);
  begin_script (rpc, "r4", log);
  await_log (log, "e1 xclosed ");
  close (gates[concurrent ? 1 : 0]);
  await_log (log, concurrent ? "e1 xclosed r3 " : "e1 xclosed r2 ");
  close (gates[concurrent ? 0 : 1]);
  await_log (log, concurrent ? "e1 xclosed r3 r2 e'done' closed ok "
                             : "e1 xclosed r2 r3 e'done' closed ok ");
}

/* The last messages of the worker arrive as well, even if they are large. */
static void
test_close_done_large (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc_full (NULL, concurrent, NULL, "script_done_large", log);

  begin_script (rpc, "r1", log);
  begin_close (rpc, NULL, log);
  await_log (log, "r1 e1 e1 e1 e1 e1 e1 e1 e1 e1 e1 e'done' closed ok ");
}

static void
test_close_twice (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  g_autoptr(GError) error = NULL;
  int gate;

  begin_script_full (rpc, "e1 g r2", 0, &gate, log);
  await_log (log, "e1 ");
  begin_close (rpc, NULL, log);
  begin_close (rpc, NULL, log);
  close (gate);
  await_log (log, "e1 r2 e'done' closed ok ok ");
  begin_close (rpc, NULL, log);
  await_log (log, "e1 r2 e'done' closed ok ok ok ");
  g_assert_true (afork_rpc_close (rpc, NULL, &error));
  g_assert_no_error (error);
  begin_script (rpc, "r3", log);
  await_log (log, "e1 r2 e'done' closed ok ok ok xclosed ");
}

/* If the wait for closing is cancelled, the object is closed nevertheless. */
static void
test_close_cancelled (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;
  int gate;

  begin_script_full (rpc, "e1 g r2", 0, &gate, log);
  await_log (log, "e1 ");
  begin_close (rpc, cancellable, log);
  g_cancellable_cancel (cancellable);
  await_log (log, "e1 xcancelled ");
  begin_close (rpc, cancellable, log);
  await_log (log, "e1 xcancelled xcancelled ");
  g_assert_false (afork_rpc_close (rpc, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  begin_script (rpc, "r3", log);
  await_log (log, "e1 xcancelled xcancelled xclosed ");
  close (gate);
  await_log (log, "e1 xcancelled xcancelled xclosed r2 e'done' closed ");
}

/* Calls that end in time, because they are cancelled, and no others are pending. */
static void
test_close_given_up (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  AForkJob *job;
  int gate;

  job = begin_script_full (rpc, "e1 g r2", 0, &gate, log);
  await_log (log, "e1 ");
  begin_close (rpc, NULL, log);
  afork_job_cancel (job);
  await_text (log, "xcancelled ");
  close (gate);
  await_log (log, "e1 xcancelled e'done' closed ok ");
}

/* If closing is cancelled, it fails, although the worker has exited by then. */
static void
test_close_refused (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  AForkProcess *process = afork_rpc_get_process (rpc);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  GPid pid;

  begin_script (rpc, "r1", log);
  await_log (log, "r1 ");
  g_cancellable_cancel (cancellable);
  begin_close (rpc, cancellable, log);
  pid = afork_process_get_pid (process);
  afork_process_force_exit (process);
  /* Until the template has reaped it. Nothing is dispatched here meanwhile. */
  while (kill (pid, 0) == 0)
    g_thread_yield ();
  await_text (log, "closed ");
  g_assert_nonnull (strstr (log->str, "xcancelled "));
  g_assert_null (strstr (log->str, "xsignaled "));
}

/* Functions that neither return nor check whether they are cancelled, with or without a listener.
 * Once no call waits for an answer, the worker has five seconds to exit, and sleeps meanwhile. If
 * such a call ends in time, the worker has as long as it needs for the rest. */

typedef struct
{
  const char *script;
  const char *done;
  gboolean    dropped;
  const char *expected;

  AForkRpc     *rpc;            /* NULL once it was dropped */
  AForkProcess *process;
  GString      *log;
} Stuck;

static void
begin_stuck (Stuck *self)
{
  self->log = g_string_new (NULL);
  self->rpc = new_script_rpc_full (NULL, FALSE, NULL, self->done, self->log);
  self->process = g_object_ref (afork_rpc_get_process (self->rpc));
  begin_script_full (self->rpc, self->script, get_time_limit (), NULL, self->log);
}

static void
give_up_stuck (Stuck *self)
{
  await_text (self->log, "xtimed-out ");
  if (self->dropped)
    g_assert_finalize_object (g_steal_pointer (&self->rpc));
  else
    begin_close (self->rpc, NULL, self->log);
}

static void
await_stuck (Stuck *self)
{
  guint64 user_usec, system_usec, max_rss_kib;

  await_end (self->process);
  await_log (self->log, self->expected);
  g_assert_true (afork_process_get_usage (self->process, &user_usec, &system_usec, &max_rss_kib));
  g_assert_cmpuint (user_usec + system_usec, <, is_instrumented () ? 4000000 : 500000);
  if (strstr (self->script, "s") != NULL)
    assert_term_signal (self->process, SIGKILL);
  else
    assert_exit_status (self->process, 0);

  g_clear_object (&self->rpc);
  g_object_unref (self->process);
  g_string_free (self->log, TRUE);
}

static void
test_close_stuck (void)
{
  Stuck all[] = {
    { "e1 s", "script_done", FALSE, "e1 xtimed-out closed xtimed-out " },
    { "l e1 s", "script_done", FALSE, "e1 xtimed-out closed xtimed-out " },
    { "e1 s", "script_done", TRUE, "e1 xtimed-out " },
    { "l e1 s", "script_done", TRUE, "e1 xtimed-out " },
    { "e1 w4000 e2 r3", "script_done_slow", FALSE, "e1 xtimed-out e2 e'done' closed ok " },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    begin_stuck (&all[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    give_up_stuck (&all[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    await_stuck (&all[i]);
}

/* Workers whose preparation never ends, and that get no call. With a done-function, a worker may
 * take as long as it needs, unless the object is dropped. */

typedef struct
{
  const char *done;
  gboolean    dropped;
  gboolean    killed;

  AForkRpc     *rpc;            /* NULL once it was dropped */
  AForkProcess *process;
  GString      *log;
} Unprepared;

static void
begin_unprepared (Unprepared *self)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  self->log = g_string_new (NULL);
  self->process = afork_process_new ();
  afork_process_require (self->process, "faults");
  afork_process_call (self->process, "call_hang", NULL);
  self->rpc = new_script_rpc_full (self->process, FALSE, NULL, self->done, self->log);
  begin_plain_script (self->rpc, "r1", cancellable, self->log);
  g_cancellable_cancel (cancellable);
  await_log (self->log, "xcancelled ");
  if (self->dropped)
    g_assert_finalize_object (g_steal_pointer (&self->rpc));
  else
    begin_close (self->rpc, NULL, self->log);
}

static void
await_unprepared (Unprepared *self)
{
  if (self->killed)
    await_end (self->process);
  g_assert_cmpint (afork_process_get_state (self->process), ==,
                   self->killed ? AFORK_PROCESS_STATE_EXITED : AFORK_PROCESS_STATE_PREPARING);
  if (self->killed)
    assert_term_signal (self->process, SIGKILL);
  if (self->killed && !self->dropped)
    await_log (self->log, "xcancelled closed xtimed-out ");
  else
    g_assert_cmpstr (self->log->str, ==, "xcancelled ");
}

static void
end_unprepared (Unprepared *self)
{
  afork_process_force_exit (self->process);
  await_end (self->process);
  if (!self->dropped)
    await_text (self->log, "closed x");
  g_clear_object (&self->rpc);
  g_object_unref (self->process);
  g_string_free (self->log, TRUE);
}

static void
test_close_unprepared (void)
{
  Unprepared all[] = {
    { "script_done", FALSE, FALSE },
    { NULL, FALSE, TRUE },
    { NULL, TRUE, TRUE },
    { "script_done", TRUE, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    begin_unprepared (&all[i]);
  for (gsize i = G_N_ELEMENTS (all); i-- > 0;)
    await_unprepared (&all[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    end_unprepared (&all[i]);
}

/* Workers that do not read the rest of their input, after which the socket ends; and one that takes
 * its time when no call is pending. */
static void
test_close_unsent (void)
{
  static const char * const dones[] = { NULL, "script_done", "script_done_slow" };
  GString *logs[G_N_ELEMENTS (dones)];
  AForkRpc *rpcs[G_N_ELEMENTS (dones)];
  AForkProcess *processes[G_N_ELEMENTS (dones)];

  for (gsize i = 0; i < G_N_ELEMENTS (dones); i++)
    {
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_autofree char *script = g_strnfill (2 * 1024 * 1024, 'f');

      logs[i] = g_string_new (NULL);
      rpcs[i] = new_script_rpc_full (NULL, FALSE, NULL, dones[i], logs[i]);
      processes[i] = g_object_ref (afork_rpc_get_process (rpcs[i]));
      begin_script (rpcs[i], "r1", logs[i]);
      await_log (logs[i], "r1 ");
      if (i == 2)
        {
          g_assert_finalize_object (g_steal_pointer (&rpcs[i]));
          continue;
        }

      afork_process_send_signal (processes[i], SIGSTOP);
      begin_plain_script (rpcs[i], script, cancellable, logs[i]);
      while (g_main_context_pending (NULL))
        g_main_context_iteration (NULL, FALSE);
      begin_close (rpcs[i], NULL, logs[i]);
      g_cancellable_cancel (cancellable);
    }

  for (gsize i = 0; i < G_N_ELEMENTS (dones); i++)
    {
      await_end (processes[i]);
      assert_term_signal (processes[i], SIGKILL);
      await_log (logs[i], i < 2 ? "r1 xcancelled closed xtimed-out " : "r1 ");
      g_clear_object (&rpcs[i]);
      g_object_unref (processes[i]);
      g_string_free (logs[i], TRUE);
    }
}

/* The same when closing is a blocking call. */
static void
test_close_stuck_blocking (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (FALSE, log);
  g_autoptr(GError) error = NULL;

  begin_script_full (rpc, "e1 s", get_time_limit (), NULL, log);
  await_log (log, "e1 xtimed-out ");
  g_assert_false (afork_rpc_close (rpc, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT);
  g_assert_nonnull (strstr (error->message, "did not exit"));
  g_assert_cmpstr (log->str, ==, "e1 xtimed-out closed ");
}

/* Calls after one that does not end wait, and so does closing. A program can end this: it can
 * cancel the wait or the calls, or kill the process. */
static void
test_close_stuck_behind (void)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (FALSE, log);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  AForkJob *behind;

  begin_script_full (rpc, "e1 s", get_time_limit (), NULL, log);
  behind = begin_script (rpc, "e2 r3", log);
  begin_script (rpc, "e4 r5", log);
  await_log (log, "e1 xtimed-out ");
  begin_close (rpc, cancellable, log);
  g_cancellable_cancel (cancellable);
  await_log (log, "e1 xtimed-out xcancelled ");
  afork_job_cancel (behind);
  await_log (log, "e1 xtimed-out xcancelled xcancelled ");
  begin_close (rpc, NULL, log);
  afork_process_force_exit (afork_rpc_get_process (rpc));
  await_log (log, "e1 xtimed-out xcancelled xcancelled xsignaled closed xsignaled ");
}

/* Dropped with pending calls: these are answered, then the worker exits. */
static void
test_close_dropped (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));
  AForkRpc *gone = rpc;
  int gates[2];

  g_object_add_weak_pointer (G_OBJECT (rpc), (gpointer *) &gone);
  begin_script_full (rpc, "e1 g r2", 0, &gates[0], log);
  begin_script_full (rpc, "g p3 R4", 0, &gates[1], log);
  g_clear_object (&rpc);
  g_assert_nonnull (gone);
  await_log (log, "e1 ");
  close (gates[0]);
  await_log (log, "e1 r2 ");
  g_assert_nonnull (gone);
  close (gates[1]);
  await_log (log, "e1 r2 p3 r4 ");
  await_end (process);
  g_assert_null (gone);
  assert_exit_status (process, 0);
  g_assert_cmpstr (log->str, ==, "e1 r2 p3 r4 ");
}

/* Dropped before there is a worker, without a call and with one that has ended already. */
static void
test_close_dropped_early (gboolean concurrent)
{
  for (int i = 0; i < 2; i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
      g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));

      if (i == 1)
        {
          afork_job_cancel (begin_script (rpc, "e1 r2", log));
          await_log (log, "xcancelled ");
        }
      g_assert_finalize_object (g_steal_pointer (&rpc));
      await_end (process);
      assert_exit_status (process, 0);
    }
}

/* Disposed of by force while there are calls, here and in the worker. */
static void
test_close_disposed (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);
  g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));
  g_autoptr(GError) error = NULL;
  int gate;

  afork_rpc_set_max_in_flight (rpc, 1);
  begin_script_full (rpc, "e1 g r2", 0, &gate, log);
  begin_script (rpc, "r3", log);
  begin_close (rpc, NULL, log);
  await_log (log, "e1 ");
  g_object_run_dispose (G_OBJECT (rpc));
  g_assert_cmpstr (log->str, ==, "e1 ");
  await_log (log, "e1 xclosed xclosed xclosed ");

  g_assert_null (afork_rpc_call (rpc, g_variant_new_string ("r4"), NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
  begin_plain_script (rpc, "r4", NULL, log);
  await_log (log, "e1 xclosed xclosed xclosed xclosed ");
  close_rpc_error (rpc, AFORK_ERROR_CLOSED);
  g_assert_finalize_object (g_steal_pointer (&rpc));

  close (gate);
  await_end (process);
  assert_exit_status (process, 0);
}

/* Dropped only by its own handlers and callbacks. */
static void
drop_event_cb (AForkRpc *rpc,
               GVariant *event,
               gpointer  data)
{
  AForkRpc **place = data;

  if (*place != NULL)
    g_object_unref (g_steal_pointer (place));
}

static void
drop_result_cb (GObject      *object,
                GAsyncResult *result,
                gpointer      data)
{
  AForkRpc **place = data;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, NULL);

  g_assert_nonnull (value);
  g_object_unref (g_steal_pointer (place));
}

static void
test_close_dropped_within (gboolean concurrent)
{
  static const char * const scripts[] = { "e1 r2", "r2", "e1 e2 E3 e4 r5" };

  for (gsize i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      AForkRpc *rpc = new_closing_rpc (concurrent, log);
      g_autoptr(AForkProcess) process = g_object_ref (afork_rpc_get_process (rpc));

      if (scripts[i][0] == 'e')
        {
          g_signal_connect (rpc, "event", G_CALLBACK (drop_event_cb), &rpc);
          begin_plain_script (rpc, scripts[i], NULL, log);
        }
      else
        afork_rpc_call_async (rpc, g_variant_new_string (scripts[i]), NULL, drop_result_cb, &rpc);
      await_end (process);
      g_assert_null (rpc);
      assert_exit_status (process, 0);
    }
}

/* The callbacks at the end. */
static void
call_again_cb (AForkRpc *rpc,
               gpointer  data)
{
  g_autoptr(GError) error = NULL;

  begin_script (rpc, "r1", data);
  begin_close (rpc, NULL, data);
  g_assert_null (afork_rpc_call (rpc, NULL, NULL, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
}

static void
close_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  append_result_cb (object, result, data);
  begin_close (AFORK_RPC (object), NULL, data);
}

static void
test_close_within (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_closing_rpc (concurrent, log);

  g_signal_connect (rpc, "closed", G_CALLBACK (call_again_cb), log);
  afork_rpc_call_async (rpc, g_variant_new_string ("r1"), NULL, close_cb, log);
  begin_script (rpc, "r2", log);
  await_text (log, "closed ");
  await_text (log, "xclosed ");
  await_text (log, "ok ");
  g_string_erase (log, strstr (log->str, "ok ") - log->str, 3);
  await_text (log, "ok ");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-close/pending", test_close_pending);
  add_for_both ("/rpc-close/busy", test_close_busy);
  add_for_both ("/rpc-close/done-large", test_close_done_large);
  add_for_both ("/rpc-close/twice", test_close_twice);
  add_for_both ("/rpc-close/cancelled", test_close_cancelled);
  add_for_both ("/rpc-close/refused", test_close_refused);
  add_for_both ("/rpc-close/given-up", test_close_given_up);
  add_test ("/rpc-close/stuck/all", test_close_stuck);
  add_test ("/rpc-close/stuck/unprepared", test_close_unprepared);
  add_test ("/rpc-close/stuck/unsent", test_close_unsent);
  add_test ("/rpc-close/stuck/blocking", test_close_stuck_blocking);
  add_test ("/rpc-close/stuck/behind", test_close_stuck_behind);
  add_for_both ("/rpc-close/dropped/pending", test_close_dropped);
  add_for_both ("/rpc-close/dropped/early", test_close_dropped_early);
  add_for_both ("/rpc-close/disposed", test_close_disposed);
  add_for_both ("/rpc-close/dropped/within", test_close_dropped_within);
  add_for_both ("/rpc-close/within", test_close_within);

  return g_test_run ();
}
