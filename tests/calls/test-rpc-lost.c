/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Objects that cannot see the end of what they wait for: the main context has gone, the object was
 * disposed of by force, or the process had exited before. All pending operations end, and nothing
 * is left behind. */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* Main contexts that are freed. */

typedef enum
{
  IDLE,                         /* the worker waits for calls */
  STARTING,                     /* the worker does not run yet */
  BUSY,                         /* the worker serves a call that was cancelled */
  STUBBORN,                     /* the worker does not read its socket any more */
  CLOSING,
  N_STATES
} State;

typedef struct
{
  State         state;
  gboolean      drops;          /* drops the object before the context is freed */
  gboolean      iterates;       /* iterates the context once more */
  AForkRpc     *rpc;            /* or NULL */
  AForkProcess *process;
  GString      *log;
} Lost;

static AForkRpc *
new_stubborn_rpc (GString *log)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  AForkRpc *rpc;

  afork_process_send_arg (process, "s");
  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", process, "function", "any", "forward-stderr", FALSE, NULL);
  log_rpc (rpc, log);
  return rpc;
}

static void
begin_state (Lost *self)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  switch (self->state)
    {
    case STARTING:
      break;
    case BUSY:
      begin_plain_script (self->rpc, "e1 s", cancellable, self->log);
      await_log (self->log, "e1 ");
      g_cancellable_cancel (cancellable);
      await_log (self->log, "e1 xcancelled ");
      break;
    case STUBBORN:
      await_state (self->process, AFORK_PROCESS_STATE_RUNNING);
      break;
    case CLOSING:
      value = afork_rpc_call (self->rpc, g_variant_new_string ("r1"), NULL, &error);
      g_assert_no_error (error);
      g_cancellable_cancel (cancellable);
      begin_close (self->rpc, cancellable, self->log);
      /* By then the worker may have exited. */
      await_text (self->log, "xcancelled ");
      break;
    default:
      value = afork_rpc_call (self->rpc, g_variant_new_string ("r1"), NULL, &error);
      g_assert_no_error (error);
      break;
    }
  g_string_truncate (self->log, 0);
}

static gpointer
lose_thread (gpointer data)
{
  Lost *self = data;
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  self->rpc = self->state == STUBBORN ? new_stubborn_rpc (self->log)
                                      : new_script_rpc (FALSE, self->log);
  self->process = g_object_ref (afork_rpc_get_process (self->rpc));
  begin_state (self);
  if (self->drops)
    g_clear_object (&self->rpc);
  if (self->iterates)
    while (g_main_context_iteration (context, FALSE))
      ;
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

/* What is left of an object whose context was freed. */
static void
assert_lost (Lost *self)
{
  /* The worker of an object that is being closed may have exited before. */
  const char *why = self->state == CLOSING ? "" : "main context";
  g_autoptr(GError) error = NULL;
  GAsyncResult *result = NULL;

  /* Its signal is emitted when the context is freed. */
  g_assert_cmpstr (self->log->str, ==, "closed ");
  afork_rpc_call_async (self->rpc, NULL, NULL, store_result_cb, &result);
  expect_error (self->rpc, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, why);
  g_assert_null (afork_rpc_call (self->rpc, NULL, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, why);
  if (self->state != CLOSING)
    close_rpc_error (self->rpc, AFORK_ERROR_CLOSED);
  g_assert_cmpstr (self->log->str, ==, "closed ");
  g_assert_finalize_object (g_steal_pointer (&self->rpc));
}

static void
test_lost_context (void)
{
  Lost all[N_STATES * 2];

  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (all); i++)
        {
          all[i] = (Lost) { .state = i / 2, .drops = i % 2 == 0, .iterates = round > 0,
                            .log = g_string_new (NULL) };
          g_thread_join (g_thread_new ("loses", lose_thread, &all[i]));
        }
      for (guint i = 0; i < G_N_ELEMENTS (all); i++)
        {
          if (all[i].rpc != NULL && strstr (all[i].log->str, "closed ") != NULL)
            assert_lost (&all[i]);
          g_clear_object (&all[i].rpc);
          g_object_unref (all[i].process);
          g_string_free (all[i].log, TRUE);
        }
    }
  /* The last of them are killed five seconds after their contexts were freed. */
}

/* The context is freed after the worker has exited, and before everything that it has sent is
 * received. The process reports nothing more then. */

static void
use_turn_cb (AForkRpc *rpc,
             GVariant *event,
             gpointer  data)
{
  /* More than one turn of the library. */
  const gint64 end = g_get_monotonic_time () + 5 * G_TIME_SPAN_MILLISECOND;

  while (g_get_monotonic_time () < end)
    ;
}

static gpointer
drain_thread (gpointer data)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GString) script = g_string_new ("e0");
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;
  GAsyncResult *result = NULL;

  for (guint i = 1; i < 100; i++)
    g_string_append_printf (script, " e%u", i);
  g_string_append (script, " q0");

  g_main_context_push_thread_default (context);
  rpc = new_script_rpc (FALSE, log);
  process = g_object_ref (afork_rpc_get_process (rpc));
  g_signal_connect (rpc, "event", G_CALLBACK (use_turn_cb), NULL);
  await_state (process, AFORK_PROCESS_STATE_RUNNING);
  /* A pending operation would keep the context. */
  begin_plain_script (rpc, script->str, cancellable, log);
  await_text (log, "e0 ");
  g_cancellable_cancel (cancellable);
  await_text (log, "xcancelled ");
  /* The signal is emitted, and some of the events. */
  g_assert_true (afork_process_wait (process, NULL, &error));
  g_assert_no_error (error);
  await_state (process, AFORK_PROCESS_STATE_EXITED);
  g_assert_null (strstr (log->str, "e99 "));
  g_assert_null (strstr (log->str, "closed "));
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);

  g_assert_true (g_str_has_suffix (log->str, " closed "));
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, "main context");
  g_assert_finalize_object (g_steal_pointer (&rpc));
  return NULL;
}

static void
test_lost_draining (void)
{
  g_thread_join (g_thread_new ("drains", drain_thread, NULL));
}

/* The timeout of a worker that is closed is freed, even if its context is freed before. */

static int n_timeouts_freed;    /* atomic */

static void
timeout_freed_cb (GSource *source)
{
  g_atomic_int_inc (&n_timeouts_freed);
}

/* Finds the source of CONTEXT with this name. Identifiers are given in ascending order. */
static GSource *
find_source (GMainContext *context,
             const char   *name)
{
  GSource *found = NULL;

  for (guint id = 1; id < 1000 && found == NULL; id++)
    {
      GSource *source = g_main_context_find_source_by_id (context, id);

      if (source != NULL && g_strcmp0 (g_source_get_name (source), name) == 0)
        found = source;
    }

  return found;
}

static gpointer
time_out_thread (gpointer data)
{
  GMainContext *context = g_main_context_new ();
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = NULL;
  GSource *timeout;

  g_main_context_push_thread_default (context);
  rpc = new_stubborn_rpc (log);
  await_state (afork_rpc_get_process (rpc), AFORK_PROCESS_STATE_RUNNING);
  /* A pending operation would keep the context. */
  g_cancellable_cancel (cancellable);
  begin_close (rpc, cancellable, log);
  await_log (log, "xcancelled ");
  while ((timeout = find_source (context, "[afork] calls: worker has to exit")) == NULL)
    g_main_context_iteration (context, TRUE);
  g_source_set_dispose_function (timeout, timeout_freed_cb);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  g_assert_cmpstr (log->str, ==, "xcancelled closed ");
  return NULL;
}

static void
test_lost_timeout (void)
{
  g_thread_join (g_thread_new ("loses", time_out_thread, NULL));
  g_assert_cmpint (g_atomic_int_get (&n_timeouts_freed), ==, 1);
}

/* Blobs outlive the context, and any thread may drop them. */
typedef struct
{
  AForkJob *job;
  GBytes   *blob;
} Blobs;

static gpointer
blob_thread (gpointer data)
{
  enum { SIZE = 1024 * 1024 };
  Blobs *self = data;
  GMainContext *context = g_main_context_new ();
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  GBytes **blobs;
  gsize n_blobs;

  g_main_context_push_thread_default (context);
  rpc = new_rpc_of ("blobs", "blobs_make", FALSE);
  self->job = afork_job_new (g_variant_new ("(uuu)", (guint32) SIZE, 1u, (guint32) 'a'));
  value = afork_rpc_run_job (rpc, self->job, NULL, &error);
  g_assert_no_error (error);
  blobs = afork_job_get_result_blobs (self->job, &n_blobs);
  g_assert_cmpuint (n_blobs, ==, 1);
  self->blob = g_bytes_ref (blobs[0]);
  g_clear_object (&rpc);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

static void
test_lost_blobs (void)
{
  for (guint i = 0; i < 10; i++)
    {
      Blobs blobs;

      g_thread_join (g_thread_new ("blobs", blob_thread, &blobs));
      g_object_unref (blobs.job);
      g_bytes_unref (blobs.blob);
    }
}

/* Contexts are freed while the default one is iterated, where the rest is done for their
 * workers. */

typedef struct
{
  gint n_left;                  /* atomic */
} Crowd;

static gpointer
crowd_thread (gpointer data)
{
  Crowd *crowd = data;

  for (guint i = 0; i < 20; i++)
    {
      Lost lost = { .state = (State) (i % 3), .drops = i % 2 == 0, .iterates = i % 5 == 0,
                    .log = g_string_new (NULL) };

      if (lost.state == BUSY)
        lost.state = CLOSING;
      lose_thread (&lost);
      g_clear_object (&lost.rpc);
      g_object_unref (lost.process);
      g_string_free (lost.log, TRUE);
    }
  g_atomic_int_add (&crowd->n_left, -1);
  g_main_context_wakeup (NULL);
  return NULL;
}

static void
test_lost_crowd (void)
{
  GThread *threads[3];
  Crowd crowd = { G_N_ELEMENTS (threads) };

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("crowd", crowd_thread, &crowd);
  while (g_atomic_int_get (&crowd.n_left) > 0)
    g_main_context_iteration (NULL, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

/* Objects that are disposed of by force. */

typedef struct
{
  GString *log;
  guint    n_ended;
} Ended;

/* “ok”, or the error. The first waits for the others. */
static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  Ended *self = data;

  if (g_async_result_is_tagged (result, afork_process_wait_async))
    afork_process_wait_finish (process, result, &error);
  else
    connection = afork_process_run_finish (process, result, &error);
  g_string_append (self->log, error == NULL ? "ok " : "failed ");
  if (error != NULL)
    g_assert_error (error, AFORK_ERROR, AFORK_ERROR_CLOSED);
  if (self->n_ended++ == 0)
    while (self->n_ended < 3)
      g_main_context_iteration (NULL, TRUE);
}

/* Before the worker runs, and after that. */
static void
test_lost_disposed_process (Census        *census,
                            gconstpointer  data)
{
  const gboolean runs = GPOINTER_TO_INT (data);
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkProcess) process = new_module_process ("echo");
  g_autoptr(AForkProcess) fork G_GNUC_UNUSED = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GAsyncResult) result G_GNUC_UNUSED = NULL;
  g_autoptr(GError) error = NULL;
  Ended ended = { log, 0 };

  if (runs)
    connection = run_process_ok (process, "echo");
  else
    afork_process_run_async (process, "echo", NULL, ended_cb, &ended);
  for (guint i = runs ? 0 : 1; i < 3; i++)
    afork_process_wait_async (process, NULL, ended_cb, &ended);
  g_object_run_dispose (G_OBJECT (process));
  g_assert_cmpstr (log->str, ==, "");
  while (ended.n_ended < 3)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (log->str, ==, "failed failed failed ");

  /* Operations that are begun later do not wait either. */
  g_assert_false (wait_process (process, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
  g_assert_null (run_process (process, "echo", &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
  g_assert_false (afork_process_wait (process, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "");
}

/* The process of an object; its worker has five seconds, too. */
static void
test_lost_disposed_worker (Census        *census,
                           gconstpointer  data)
{
  const State state = GPOINTER_TO_INT (data);
  Lost lost = { .state = state, .log = g_string_new (NULL) };
  g_autoptr(GAsyncResult) result = NULL;

  lost.rpc = state == STUBBORN ? new_stubborn_rpc (lost.log) : new_script_rpc (FALSE, lost.log);
  lost.process = g_object_ref (afork_rpc_get_process (lost.rpc));
  begin_state (&lost);
  begin_plain_script (lost.rpc, "w100 r1", NULL, lost.log);
  begin_script (lost.rpc, "r2", lost.log);
  begin_close (lost.rpc, NULL, lost.log);
  g_object_run_dispose (G_OBJECT (lost.process));
  g_assert_cmpstr (lost.log->str, ==, "");
  await_log (lost.log, "xclosed xclosed closed xclosed ");
  afork_rpc_call_async (lost.rpc, NULL, NULL, store_result_cb, &result);
  expect_error (lost.rpc, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, "disposed");
  g_assert_finalize_object (g_steal_pointer (&lost.rpc));
  g_object_unref (lost.process);
  g_string_free (lost.log, TRUE);
}

/* An object for a process that has exited. */
static void
test_lost_ended_process (gboolean concurrent)
{
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(AForkProcess) process = new_module_process ("script");
      AForkRpc *rpc;

      if (i == 0)
        expect_run_error (process, "missing", AFORK_ERROR, AFORK_ERROR_FUNCTION, NULL);
      else
        afork_process_force_exit (process);
      if (i == 2)
        await_end (process);
      rpc = new_script_rpc_full (process, concurrent, NULL, NULL, log);
      begin_script (rpc, "r1", log);
      begin_close (rpc, NULL, log);
      await_log (log, "xclosed closed xclosed ");
      g_assert_finalize_object (rpc);
    }
}

/* A job is run once. */
static void
test_lost_job_twice (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);
  g_autoptr(AForkRpc) other = new_script_rpc (concurrent, log);
  g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string ("w50 r1"));
  g_autoptr(GError) error = NULL;

  afork_rpc_run_job_async (rpc, job, NULL, append_result_cb, log);
  afork_rpc_run_job_async (rpc, job, NULL, append_result_cb, log);
  afork_rpc_run_job_async (other, job, NULL, append_result_cb, log);
  g_assert_null (afork_rpc_run_job (other, job, NULL, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "run");
  await_log (log, "xclosed xclosed r1 ");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  g_assert_null (run_job (rpc, job, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_CLOSED, "run");
  g_assert_cmpint (afork_job_get_state (job), ==, AFORK_JOB_STATE_SUCCEEDED);
  close_rpc (rpc);
  close_rpc (other);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-lost/context", test_lost_context);
  add_test ("/rpc-lost/draining", test_lost_draining);
  add_test ("/rpc-lost/timeout", test_lost_timeout);
  add_test ("/rpc-lost/blobs", test_lost_blobs);
  add_test ("/rpc-lost/crowd", test_lost_crowd);
  add_with_data ("/rpc-lost/disposed/process/run",
                 GINT_TO_POINTER (TRUE), test_lost_disposed_process);
  add_with_data ("/rpc-lost/disposed/process/prepared",
                 GINT_TO_POINTER (FALSE), test_lost_disposed_process);
  add_with_data ("/rpc-lost/disposed/worker/starting",
                 GINT_TO_POINTER (STARTING), test_lost_disposed_worker);
  add_with_data ("/rpc-lost/disposed/worker/idle",
                 GINT_TO_POINTER (IDLE), test_lost_disposed_worker);
  add_with_data ("/rpc-lost/disposed/worker/stubborn",
                 GINT_TO_POINTER (STUBBORN), test_lost_disposed_worker);
  add_for_both ("/rpc-lost/ended-process", test_lost_ended_process);
  add_for_both ("/rpc-lost/job-twice", test_lost_job_twice);

  return g_test_run ();
}
