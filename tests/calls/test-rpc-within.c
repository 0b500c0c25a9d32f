/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the program does in its own handlers, callbacks and free functions: it ends the worker,
 * disposes of objects, and iterates the main context until another event has come. The code that
 * has called them continues with what is left. */

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test-rpc-util.h"

/* The data of a handler. */
typedef struct Within Within;

typedef void (*Action) (Within *self);

struct Within
{
  AForkRpc     *rpc;            /* NULL once it was dropped */
  AForkProcess *process;
  GString      *log;
  Action        action;         /* NULL once it was called */
};

static void
within_begin (Within *self,
              gboolean concurrent,
              Action   action)
{
  self->log = g_string_new (NULL);
  self->rpc = new_script_rpc (concurrent, self->log);
  self->process = g_object_ref (afork_rpc_get_process (self->rpc));
  self->action = action;
}

static void
within_end (Within *self)
{
  g_assert_null (self->action);
  g_clear_object (&self->rpc);
  afork_process_force_exit (self->process);
  await_end (self->process);
  g_object_unref (self->process);
  g_string_free (self->log, TRUE);
}

static void
within_act (Within *self)
{
  Action action = g_steal_pointer (&self->action);

  if (action != NULL)
    {
      action (self);
      g_string_append (self->log, "| ");
    }
}

static void
result_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Within *self = data;

  append_result_cb (object, result, self->log);
  within_act (self);
}

static void
begin_script_within (Within     *self,
                     const char *script)
{
  afork_rpc_call_async (self->rpc, g_variant_new_string (script), NULL, result_cb, self);
}

/* While the calls of a closed object are sent, one of those that waited cannot be sent. */

static void
kill_and_wait (Within *self)
{
  afork_process_force_exit (self->process);
  await_text (self->log, "closed ");
}

static void
kill_and_drop (Within *self)
{
  kill_and_wait (self);
  g_clear_object (&self->rpc);
}

static void
dispose (Within *self)
{
  g_object_run_dispose (G_OBJECT (self->rpc));
}

static void
dispose_and_wait (Within *self)
{
  dispose (self);
  await_text (self->log, "xclosed xclosed xclosed ");
}

static void
call_and_wait (Within *self)
{
  await_text (self->log, "r2 ");
}

static void
failed_cb (AForkJob   *job,
           GParamSpec *pspec,
           gpointer    data)
{
  if (afork_job_get_state (job) == AFORK_JOB_STATE_FAILED)
    within_act (data);
}

/* A job whose descriptor is not open. */
static AForkJob *
new_unsendable_job (void)
{
  const int fd = 1000;
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new_from_array (&fd, 1);
  AForkJob *job = afork_job_new (g_variant_new_string ("r1"));

  g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);
  afork_job_set_fds (job, list);
  return job;
}

/* A call that is followed by more calls than are sent together. */
static void
begin_large (AForkRpc   *rpc,
             const char *script,
             GString    *log)
{
  enum { SIZE = 2 * 1024 * 1024 };
  g_autofree char *padding = g_strnfill (SIZE, 'f');
  g_autofree char *whole = g_strconcat (script, " ", padding, NULL);

  begin_plain_script (rpc, whole, NULL, log);
}

typedef struct
{
  const char *path;
  Action      action;
  const char *script;
  const char *expected;
} Unsendable;

static const Unsendable unsendables[] = {
  { "/rpc-within/unsendable/kill", kill_and_wait, "s",
    "xsignaled xsignaled closed xsignaled " },
  { "/rpc-within/unsendable/kill-and-drop", kill_and_drop, "s",
    "xsignaled xsignaled closed xsignaled " },
  { "/rpc-within/unsendable/dispose", dispose, "s", "xclosed xclosed xclosed " },
  { "/rpc-within/unsendable/dispose-and-wait", dispose_and_wait, "s",
    "xclosed xclosed xclosed " },
  { "/rpc-within/unsendable/wait", call_and_wait, "r0", "r0 r2 closed ok " },
};

static void
await_and_erase (GString    *log,
                 const char *text)
{
  await_text (log, text);
  g_string_erase (log, strstr (log->str, text) - log->str, (gssize) strlen (text));
}

/* The callback of the job, and the end of the handler, may come at any point among the other
 * events. */
static void
await_rest (GString    *log,
            const char *expected)
{
  await_and_erase (log, "xfailed ");
  await_and_erase (log, "| ");
  await_log (log, expected);
}

static void
test_within_unsendable (gconstpointer data)
{
  const Unsendable *test = data;
  Census census;

  census_begin (&census);
  {
    Within within;
    g_autoptr(AForkJob) job = new_unsendable_job ();

    within_begin (&within, FALSE, test->action);
    g_signal_connect (job, "notify::state", G_CALLBACK (failed_cb), &within);
    begin_large (within.rpc, test->script, within.log);
    afork_rpc_run_job_async (within.rpc, job, NULL, append_result_cb, within.log);
    begin_script (within.rpc, "r2", within.log);
    begin_close (within.rpc, NULL, within.log);
    await_rest (within.log, test->expected);
    within_end (&within);
    /* The list must not close a number that it never owned. */
    g_free (g_unix_fd_list_steal_fds (afork_job_get_fds (job), NULL));
  }
  census_end (&census);
}

/* The state of the job says that it has ended. Its callback still comes after that. */

typedef struct
{
  GString *log;
  guint    n_waits;
} StateWaiter;

static void
wait_for_callback_cb (AForkJob   *job,
                      GParamSpec *pspec,
                      gpointer    data)
{
  StateWaiter *self = data;

  if (afork_job_get_state (job) < AFORK_JOB_STATE_SUCCEEDED)
    return;

  g_assert_cmpstr (self->log->str, ==, "");
  while (self->log->len == 0)
    g_main_context_iteration (NULL, TRUE);
  self->n_waits++;
}

static void
test_within_state (gboolean concurrent)
{
  static const struct { const char *script, *expected; } ends[] = {
    { "r1", "r1 " }, { "x", "xnot-found " }, { "k9", "xsignaled " },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      g_autoptr(GString) log = g_string_new (NULL);
      g_autoptr(GString) rest = g_string_new (NULL);
      g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, rest);
      g_autoptr(AForkJob) job = afork_job_new (g_variant_new_string (ends[i].script));
      StateWaiter waiter = { log, 0 };

      g_signal_connect (job, "notify::state", G_CALLBACK (wait_for_callback_cb), &waiter);
      afork_rpc_run_job_async (rpc, job, NULL, append_result_cb, log);
      while (waiter.n_waits == 0)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpstr (log->str, ==, ends[i].expected);
      g_assert_finalize_object (g_steal_pointer (&rpc));
    }
}

/* The exit of a worker: the first notification waits for a later one. */

static void
wait_for_rest (Within *self)
{
  await_text (self->log, "xsignaled xsignaled xsignaled closed xsignaled xsignaled ");
}

static void
test_within_end_call (gboolean concurrent)
{
  Within within;

  within_begin (&within, concurrent, wait_for_rest);
  begin_script_within (&within, "e1 w100000");
  begin_script (within.rpc, "w100000 r2", within.log);
  begin_plain_script (within.rpc, "w100000 r3", NULL, within.log);
  await_log (within.log, "e1 ");
  g_string_truncate (within.log, 0);
  begin_close (within.rpc, NULL, within.log);
  begin_close (within.rpc, NULL, within.log);
  afork_process_force_exit (within.process);
  await_log (within.log, "xsignaled xsignaled xsignaled closed xsignaled xsignaled | ");
  within_end (&within);
}

static void
wait_for_last_close (Within *self)
{
  await_text (self->log, "closed ok ok ");
}

static void
test_within_end_close (gboolean concurrent)
{
  Within within;

  within_begin (&within, concurrent, wait_for_last_close);
  afork_rpc_close_async (within.rpc, NULL, result_cb, &within);
  begin_close (within.rpc, NULL, within.log);
  await_log (within.log, "closed ok ok | ");
  within_end (&within);
}

static void
closed_cb (AForkRpc *rpc,
           gpointer  data)
{
  within_act (data);
}

static void
test_within_end_closed (gboolean concurrent)
{
  Within within;

  within_begin (&within, concurrent, wait_for_last_close);
  g_signal_connect (within.rpc, "closed", G_CALLBACK (closed_cb), &within);
  begin_close (within.rpc, NULL, within.log);
  begin_close (within.rpc, NULL, within.log);
  await_log (within.log, "closed ok ok | ");
  within_end (&within);
}

/* The last event is found together with the exit of the worker. */
static void
wait_for_end (Within *self)
{
  await_text (self->log, "xexited closed ");
}

static void
event_cb (AForkRpc *rpc,
          GVariant *event,
          gpointer  data)
{
  within_act (data);
}

static void
test_within_end_event (gboolean concurrent)
{
  Within within;
  g_autoptr(GError) error = NULL;
  int gate;

  within_begin (&within, concurrent, wait_for_end);
  begin_script_full (within.rpc, "e1 g e2 e3 q4", 0, &gate, within.log);
  await_log (within.log, "e1 ");
  g_string_truncate (within.log, 0);
  g_signal_connect (within.rpc, "event", G_CALLBACK (event_cb), &within);
  close (gate);
  /* The caller does not read what the worker sends. */
  g_assert_true (afork_process_wait (within.process, NULL, &error));
  g_assert_no_error (error);
  await_text (within.log, "| ");
  g_assert_cmpstr (within.log->str, ==, "e2 e3 xexited closed | ");
  within_end (&within);
}

/* A worker that refuses to serve. */
static void
wait_for_refused (Within *self)
{
  await_text (self->log, "xnot-found xnot-found xnot-found ");
}

static void
test_within_refused (gboolean concurrent)
{
  Within within = { .log = g_string_new (NULL), .action = wait_for_refused };

  within.rpc = new_script_rpc_full (NULL, concurrent, "x", NULL, within.log);
  within.process = g_object_ref (afork_rpc_get_process (within.rpc));
  begin_script_within (&within, "r1");
  begin_script (within.rpc, "r2", within.log);
  begin_plain_script (within.rpc, "r3", NULL, within.log);
  await_text (within.log, "| ");
  g_assert_true (g_str_has_prefix (within.log->str, "xnot-found xnot-found xnot-found "));
  within_end (&within);
}

/* Disposing of the object: all pending operations end when the main context is iterated. */
static void
wait_for_disposed (Within *self)
{
  await_text (self->log, "xclosed xclosed xclosed xclosed ");
}

static void
test_within_disposed (gboolean concurrent)
{
  Within within;

  within_begin (&within, concurrent, wait_for_disposed);
  begin_script_within (&within, "e1 w100000");
  begin_script (within.rpc, "w100000 r2", within.log);
  await_log (within.log, "e1 ");
  g_string_truncate (within.log, 0);
  begin_close (within.rpc, NULL, within.log);
  begin_close (within.rpc, NULL, within.log);
  dispose (&within);
  await_log (within.log, "xclosed xclosed xclosed xclosed | ");
  within_end (&within);
}

/* Code of the program frees what was sent. */

static void
freed_cb (gpointer data)
{
  within_act (data);
}

static void
test_within_freed (gconstpointer action)
{
  enum { SIZE = 1024 * 1024 };
  Census census;

  census_begin (&census);
  {
    Within within;
    g_autoptr(GCancellable) cancellable = g_cancellable_new ();
    char *bytes = g_strnfill (SIZE, 's');
    GVariant *args;

    within_begin (&within, FALSE, (Action) action);
    begin_script (within.rpc, "r1", within.log);
    await_log (within.log, "r1 ");
    afork_process_send_signal (within.process, SIGSTOP);
    bytes[1] = ' ';
    args = g_variant_new_from_data (G_VARIANT_TYPE_STRING, bytes, SIZE + 1, TRUE, freed_cb,
                                    &within);
    afork_rpc_call_async (within.rpc, args, cancellable, append_result_cb, within.log);
    begin_script (within.rpc, "r2", within.log);
    /* As much of it was sent as there was room for. */
    while (g_main_context_pending (NULL))
      g_main_context_iteration (NULL, FALSE);
    g_cancellable_cancel (cancellable);
    await_log (within.log, "r1 xcancelled ");
    g_assert_nonnull (within.action);
    g_string_truncate (within.log, 0);
    afork_process_send_signal (within.process, SIGCONT);
    await_text (within.log, "| ");
    within_end (&within);
    g_free (bytes);
  }
  census_end (&census);
}

static void
kill_and_await_failed (Within *self)
{
  afork_process_force_exit (self->process);
  await_text (self->log, "xsignaled closed ");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (unsendables); i++)
    g_test_add_data_func (unsendables[i].path, &unsendables[i], test_within_unsendable);
  add_for_both ("/rpc-within/state", test_within_state);
  add_for_both ("/rpc-within/end/call", test_within_end_call);
  add_for_both ("/rpc-within/end/close", test_within_end_close);
  add_for_both ("/rpc-within/end/closed", test_within_end_closed);
  add_for_both ("/rpc-within/end/event", test_within_end_event);
  add_for_both ("/rpc-within/refused", test_within_refused);
  add_for_both ("/rpc-within/disposed", test_within_disposed);
  g_test_add_data_func ("/rpc-within/freed/kill", kill_and_await_failed, test_within_freed);
  g_test_add_data_func ("/rpc-within/freed/dispose", dispose, test_within_freed);

  return g_test_run ();
}
