/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that do not keep to the protocol of calls. Each protocol error ends the worker and all
 * calls to it with AFORK_ERROR_PROTOCOL, and nothing is left behind. The worker is
 * modules/hostile-calls.c, and does the steps that a test gives it. */

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "afork/wire/afork-call-outbox.h"
#include "test-fds.h"
#include "test-hostile-util.h"
#include "test-limits.h"

/* A step that sends a frame of whose header byte AT becomes VALUE. */
static void
step_frame_changed (AForkProcess   *process,
                    AForkCallFrame  frame,
                    guint           at,
                    guint8          value)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, frame);
  bytes->data[at] = value;
  step_bytes (process, 'b', bytes->data, bytes->len);
}

static AForkCallFrame
value_frame (AForkCallFrameKind  kind,
             guint32             number,
             const char         *type,
             gconstpointer       data,
             gsize               size)
{
  return (AForkCallFrame) {
    .kind = kind, .number = number, .type = type, .data = data, .size = size,
  };
}

/* Protocol errors. */

typedef void (*ProtocolError) (AForkProcess *process);

static void
send_unknown_kind (AForkProcess *process)
{
  step_frame_changed (process, FRAME (STARTED), 4, 77);
}

static void
send_callers_kind (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_CALL, 1, "()", "", 1));
}

static void
send_setup (AForkProcess *process)
{
  step_frame (process, FRAME (SETUP, .number = 1, .string = { "a", "b", "c" }));
}

static void
send_cancel (AForkProcess *process)
{
  step_frame (process, FRAME (CANCEL, .number = 1));
}

static void
send_flags (AForkProcess *process)
{
  step_frame_changed (process, FRAME (BEGUN, .number = 1), 5, 0x80);
}

static void
send_started_twice (AForkProcess *process)
{
  step_frame (process, FRAME (STARTED));
}

static void
send_started_number (AForkProcess *process)
{
  step_frame_changed (process, FRAME (STARTED), 8, 1);
}

static void
send_too_large (AForkProcess *process)
{
  step_frame_changed (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "1234", 4), 3, 0x41);
}

static void
send_answer_unknown (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 99, "u", "1234", 4));
}

static void
send_answer_twice (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "\1\0\0\0", 4));
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "\1\0\0\0", 4));
}

static void
send_answer_then_failed (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "\1\0\0\0", 4));
  step_frame (process, FRAME (FAILED, .number = 1, .string = { "a", "b" }));
}

static void
send_refusal_late (AForkProcess *process)
{
  step_frame (process, FRAME (FAILED, .code = 1, .string = { "afork-error-quark", "late" }));
}

static void
send_progress_unknown (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_PROGRESS, 99, "u", "1234", 4));
}

static void
send_begun_unknown (AForkProcess *process)
{
  step_frame (process, FRAME (BEGUN, .number = 99));
}

static void
send_result_zero (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 0, "u", "1234", 4));
}

static void
send_type_invalid (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "(u", "1234", 4));
}

static void
send_type_indefinite (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "a*", "1234", 4));
}

static void
send_type_two (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "uu", "12345678", 8));
}

static void
send_type_none (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "", "1234", 4));
}

/* A type string that is longer than the frame. */
static void
send_type_too_long (AForkProcess *process)
{
  step_frame_changed (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "1234", 4), 13, 0xff);
}

static void
send_type_deep (AForkProcess *process)
{
  g_autofree char *type = g_malloc (2002);

  memset (type, 'a', 2000);
  memcpy (type + 2000, "y", 2);
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, type, "", 0));
}

/* A type that GLib would need a tenth of a second to parse. */
static char *
make_complex_type (void)
{
  char *type = g_malloc (20001);

  memset (type, '(', 100);
  memset (type + 100, 'y', 19800);
  memset (type + 19900, ')', 100);
  type[20000] = '\0';
  return type;
}

static void
send_type_complex (AForkProcess *process)
{
  g_autofree guint8 *bytes = g_malloc0 (19800);
  g_autofree char *type = make_complex_type ();

  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, type, bytes, 19800));
}

static void
send_type_complex_inside (AForkProcess *process)
{
  g_autofree guint8 *bytes = g_malloc0 (39801);
  g_autofree char *type = make_complex_type ();

  memcpy (bytes + 19801, type, 20000);
  step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "v", bytes, 39801));
}

/* Variants in variants, nested more deeply than GLib reads them. */
static void
send_value_deep (AForkProcess *process)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) "\1", 1);
  g_byte_array_append (bytes, (const guint8 *) "\0y", 2);
  for (guint i = 0; i < 20000; i++)
    g_byte_array_append (bytes, (const guint8 *) "\0v", 2);
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "v", bytes->data, bytes->len));
}

static void
send_value_short (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "t", "1234", 4));
}

static void
send_value_boolean (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "b", "\7", 1));
}

static void
send_value_not_utf8 (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "s", "\xff\xfe", 3));
}

static void
send_value_no_nul (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "s", "text", 4));
}

static void
send_value_bad_offsets (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "as", "a\0b\0\xf0\2", 6));
}

static void
send_value_odd_array (AForkProcess *process)
{
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "au", "12345", 5));
}

static void
send_failed_short (AForkProcess *process)
{
  step_frame_changed (process, FRAME (FAILED, .number = 1, .string = { "a", "b" }), 0, 2);
}

static void
send_failed_string_long (AForkProcess *process)
{
  step_frame_changed (process, FRAME (FAILED, .number = 1, .string = { "abc", "def" }), 20, 0xff);
}

static void
send_fds_missing (AForkProcess *process)
{
  AForkCallFrame frame = value_frame (AFORK_CALL_FRAME_RESULT, 1, "(h)", "\0\0\0\0", 4);

  frame.n_fds = 1;
  step_frame (process, frame);
}

static void
send_fds_too_many (AForkProcess *process)
{
  step (process, "d2");
  step_frame_changed (process, FRAME (FDS, .n_fds = 1), 6, 254);
}

static void
send_fds_unnamed (AForkProcess *process)
{
  for (guint i = 0; i < 5; i++)
    {
      step (process, "d253");
      step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "u", "1234", 4));
    }
}

static void
send_fds_piled_up (AForkProcess *process)
{
  for (guint i = 0; i < 5; i++)
    {
      step (process, "d253");
      step_frame (process, FRAME (FDS, .n_fds = 253));
    }
}

static void
send_fds_for_nothing (AForkProcess *process)
{
  step (process, "d3");
  step_frame (process, FRAME (FDS, .n_fds = 3));
  step_frame (process, FRAME (BEGUN, .number = 1));
}

static void
send_blob_unnamed (AForkProcess *process)
{
  step_frame (process, FRAME (BLOB, .data = (const guint8 *) "blob", .size = 4));
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "1234", 4));
}

static void
send_blob_open (AForkProcess *process)
{
  step_frame (process, FRAME (BLOB, .flags = AFORK_CALL_FRAME_MORE,
                              .data = (const guint8 *) "blob", .size = 4));
  step_frame (process, FRAME (EVENT, .type = "u", .data = (const guint8 *) "1234", .size = 4));
}

static void
send_blob_missing (AForkProcess *process)
{
  AForkCallFrame frame = value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "1234", 4);

  frame.n_blobs = 1;
  step_frame (process, frame);
}

static void
send_blobs_too_many (AForkProcess *process)
{
  for (guint i = 0; i < 1025; i++)
    step_frame (process, FRAME (BLOB, .data = (const guint8 *) "", .size = 0));
}

static void
send_garbage (AForkProcess *process)
{
  step (process, "bGET / HTTP/1.1\r\nHost: nobody\r\n\r\n");
}

/* The protocol error and the exit of the worker are there at the same time. */
static void
send_garbage_and_exit (AForkProcess *process)
{
  send_garbage (process);
  step (process, "x");
}

/* The worker does not exit, and its own error text is not used. */
static void
send_garbage_and_stay (AForkProcess *process)
{
  send_garbage (process);
  step (process, "s");
}

static void
send_flood (AForkProcess *process)
{
  send_garbage (process);
  step (process, "fmore and more");
}

/* The worker starts correctly, has two calls, and then does what is not allowed. */
static void
test_protocol_error (Census        *census,
                     gconstpointer  data)
{
  ProtocolError protocol_error = *(const ProtocolError *) data;
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(AForkRpc) neighbour = NULL;
  guint n_answered = 0;

  if ((protocol_error == send_fds_unnamed || protocol_error == send_fds_piled_up)
      && !need_descriptors (2048))
    return;

  process = new_hostile_process ();
  neighbour = new_rpc ("calls_echo");
  step (process, "w");
  step (process, "w");
  protocol_error (process);
  rpc = new_hostile_rpc (process);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr(GVariant) answer = NULL;
      g_autoptr(GError) error = NULL;

      await_result (&results[i]);
      answer = afork_rpc_call_finish (rpc, results[i], &error);
      n_answered += answer != NULL;
      if (answer == NULL)
        g_assert_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL);
      if (i == 2)
        g_test_message ("%s", error->message);
      g_clear_object (&results[i]);
    }
  /* These answer a call before the protocol error. */
  g_assert_cmpuint (n_answered, ==,
                    protocol_error == send_answer_twice
                      || protocol_error == send_answer_then_failed);

  /* Later calls, and closing, fail, too. Other workers are not affected. */
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[0]);
  expect_error (rpc, &results[0], AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
  close_rpc_error (rpc, AFORK_ERROR_PROTOCOL);
  afork_rpc_call_async (neighbour, g_variant_new_uint32 (5), NULL, store_result_cb, &results[0]);
  expect_uint32 (neighbour, &results[0], 5);
  close_rpc (neighbour);
}

/* Before it has sent STARTED, a worker can only refuse. */
static void
test_unstarted (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "u", "1234", 4));
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
  close_rpc_error (rpc, AFORK_ERROR_PROTOCOL);
}

static void
test_refused_twice (void)
{
  AForkCallFrame frame = FRAME (FAILED, .code = AFORK_ERROR_FAILED,
                                .string = { "afork-error-quark", "no" });
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step_frame (process, frame);
  step_frame (process, frame);
  step (process, "s");
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_FAILED, "no");
  close_rpc_error (rpc, AFORK_ERROR_FAILED);
}

/* Errors of a worker have texts, whatever it sends. */
static void
test_error_text (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;

  step (process, "w");
  step_frame (process, FRAME (FAILED, .number = 1, .code = -7, .string = { "\xff", "no\xff!" }));
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  await_result (&result);
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_true (g_str_has_prefix (error->message, "no"));
  close_rpc (rpc);
}

/* A worker that exits in the middle of an answer has just exited. */
static void
test_cut (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step_bytes (process, 'b', "\10\0\0", 3);
  step (process, "x");
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_EXITED, "status 0");
  close_rpc_error (rpc, AFORK_ERROR_EXITED);
}

/* A worker that closes its socket and stays alive is killed. */
static void
test_closed (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step (process, "c");
  step (process, "s");
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_CLOSED, NULL);
}

/* The time limit of a job counts whether or not the worker sends BEGUN, also after another job that
 * is never answered. BEGUN extends it once. */

enum { LIMIT = 200 };

static AForkJob *
begin_limited_job (AForkRpc      *rpc,
                   GAsyncResult **result)
{
  g_autoptr(AForkJob) job = afork_job_new (NULL);

  afork_job_set_timeout (job, LIMIT);
  afork_rpc_run_job_async (rpc, job, NULL, store_result_cb, result);
  return g_steal_pointer (&job);
}

static void
expect_timed_out (AForkRpc      *rpc,
                  GAsyncResult **result)
{
  GSource *deadline = deadline_new ("the end of a job's time");
  g_autoptr(GError) error = NULL;

  await_result (result);
  deadline_clear (deadline);
  g_assert_null (afork_rpc_run_job_finish (rpc, *result, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "200 ms");
  g_clear_object (result);
}

static void
test_unbegun (Census        *census,
              gconstpointer  data)
{
  const gboolean concurrent = GPOINTER_TO_INT (data);
  g_autoptr(AForkProcess) process = new_hostile_process ();
  GAsyncResult *results[3] = { NULL };
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "s");
  rpc = g_object_new (AFORK_TYPE_RPC,
                      "process", process, "function", "any", "concurrent", concurrent,
                      "forward-stderr", FALSE, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    g_object_unref (begin_limited_job (rpc, &results[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    expect_timed_out (rpc, &results[i]);
  afork_process_force_exit (process);
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

/* The worker sends BEGUN for both of its jobs, at once and again. For a sequential worker, only
 * that of the first can be true. */
static void
test_begun_often (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkJob) first = NULL, second = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  gint64 begin;

  step (process, "w");
  step (process, "w");
  for (guint i = 0; i < 20; i++)
    {
      step_frame (process, FRAME (BEGUN, .number = 1 + i % 2));
      step (process, "p50");
    }
  step (process, "s");
  rpc = new_hostile_rpc (process);
  begin = g_get_monotonic_time ();
  first = begin_limited_job (rpc, &results[0]);
  second = begin_limited_job (rpc, &results[1]);
  expect_timed_out (rpc, &results[0]);
  g_assert_cmpint (afork_job_get_state (second), !=, AFORK_JOB_STATE_FAILED);
  g_test_message ("After %.3f s", (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC);
  expect_timed_out (rpc, &results[1]);
  /* The time of the second begins with the end of the first. */
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, (2 * LIMIT - 10) * 1000);
  g_test_message ("After %.3f s", (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC);
  afork_process_force_exit (process);
  close_rpc_error (rpc, AFORK_ERROR_SIGNALED);
}

/* Workers that never read their sockets again: they were closed, dropped, or have refused to serve.
 * All of them are killed after five seconds. */
static void
test_ignored (void)
{
  AForkProcess *processes[3];
  AForkRpc *rpcs[3];
  g_autoptr(GAsyncResult) closed = NULL;
  g_autoptr(GAsyncResult) refused = NULL;
  g_autoptr(GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      AForkProcess *process = processes[i] = new_module_process ("hostile-calls");

      if (i == 2)
        step_frame (process, FRAME (FAILED, .code = AFORK_ERROR_FAILED,
                                    .string = { "afork-error-quark", "no" }));
      else
        step_frame (process, FRAME (STARTED));
      step (process, "s");
      rpcs[i] = new_hostile_rpc (process);
      await_state (process, AFORK_PROCESS_STATE_RUNNING);
    }

  afork_rpc_close_async (rpcs[0], NULL, store_result_cb, &closed);
  g_assert_finalize_object (g_steal_pointer (&rpcs[1]));
  afork_rpc_call_async (rpcs[2], NULL, NULL, store_result_cb, &refused);
  expect_error (rpcs[2], &refused, AFORK_ERROR, AFORK_ERROR_FAILED, "no");
  for (gsize i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      await_end (processes[i]);
      assert_term_signal (processes[i], SIGKILL);
      g_object_unref (processes[i]);
    }

  await_result (&closed);
  g_assert_false (afork_rpc_close_finish (rpcs[0], closed, &error));
  assert_error_holds (&error, AFORK_ERROR, AFORK_ERROR_TIMED_OUT, "did not exit");
  close_rpc_error (rpcs[2], AFORK_ERROR_FAILED);
  g_object_unref (rpcs[0]);
  g_object_unref (rpcs[2]);
}

static void
call_again_cb (AForkRpc *rpc,
               GVariant *event,
               gpointer  data)
{
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, data);
}

/* A worker that takes no more messages and stays alive is killed as well, although it could not be
 * told to exit. */
static void
test_write_closed (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step (process, "r");
  step_frame (process, FRAME (STARTED));
  step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "s", "text", 5));
  step (process, "s");
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (call_again_cb), &results[1]);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[0]);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    expect_error (rpc, &results[i], AFORK_ERROR, AFORK_ERROR_CLOSED, "closed its socket");
}

/* The handler of an event iterates the main context, which finds a protocol error. Nothing that the
 * worker sends after that is used. */
static void
iterate_cb (AForkRpc *rpc,
            GVariant *event,
            gpointer  data)
{
  guint *n_events = data;

  *n_events += 1;
  g_main_context_iteration (NULL, FALSE);
}

static void
check_protocol_error_within (AForkProcess *process)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = new_hostile_rpc (process);
  guint n_events = 0;

  g_signal_connect (rpc, "event", G_CALLBACK (iterate_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
  g_assert_cmpuint (n_events, ==, 1);
}

/* The next bytes are not a frame. */
static void
test_protocol_error_within (void)
{
  enum { SIZE = 512 * 1024 };
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  g_autofree char *flood = g_strnfill (SIZE, 'b');

  step (process, "w");
  step_frame (process, FRAME (STARTED));
  step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "s", "text", 5));
  step (process, flood);
  step (process, "s");
  check_protocol_error_within (process);
}

/* The next frames are one that is not allowed, and events, which are not emitted. */
static void
test_protocol_error_before (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");

  step (process, "w");
  step_frame (process, FRAME (STARTED));
  step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "s", "text", 5));
  step_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 99, "s", "text", 5));
  for (guint i = 0; i < 3; i++)
    step_frame (process, value_frame (AFORK_CALL_FRAME_EVENT, 0, "s", "text", 5));
  step (process, "s");
  check_protocol_error_within (process);
}

/* After a refusal, the callback of each call waits for the next one. */

typedef struct
{
  guint n_begun;
  guint n_ended;
} Chain;

static void
await_next_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      data)
{
  Chain *self = data;

  g_assert_null (afork_rpc_call_finish (AFORK_RPC (object), result, NULL));
  if (self->n_begun++ == 0)
    while (self->n_ended < 2)
      g_main_context_iteration (NULL, TRUE);
  self->n_ended++;
}

static void
test_refused_within (void)
{
  g_autoptr(AForkProcess) process = new_module_process ("hostile-calls");
  g_autoptr(AForkRpc) rpc = NULL;
  Chain chain = { 0 };

  step (process, "w");
  step_frame (process, FRAME (FAILED, .code = AFORK_ERROR_FAILED,
                              .string = { "afork-error-quark", "no" }));
  step (process, "s");
  rpc = new_hostile_rpc (process);
  for (guint i = 0; i < 3; i++)
    afork_rpc_call_async (rpc, NULL, NULL, await_next_cb, &chain);
  while (chain.n_ended < 3)
    g_main_context_iteration (NULL, TRUE);
  /* The reason is not that the worker has exited meanwhile. */
  g_assert_cmpint (afork_process_get_state (process), ==, AFORK_PROCESS_STATE_RUNNING);
  afork_process_force_exit (process);
  close_rpc_error (rpc, AFORK_ERROR_FAILED);
}

/* Descriptors that wait for a value, of several workers at the same time, under the usual limit of
 * 1024. */

typedef struct
{
  AForkProcess *process;
  AForkRpc     *rpc;
  GAsyncResult *result;         /* of the one call of the worker */
} Parker;

/* Counts the descriptors of the file that these workers send. They have it from here. */
static guint
count_parked (void)
{
  struct stat standard_input;
  guint n_parked = 0;

  g_assert_no_errno (fstat (STDIN_FILENO, &standard_input));
  for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
    {
      struct stat status;

      if (fstat (fd, &status) == 0 && status.st_dev == standard_input.st_dev
          && status.st_ino == standard_input.st_ino)
        n_parked++;
    }

  return n_parked;
}

/* Sends N_FDS descriptors without a value, and stays. Returns when they have arrived, or the worker
 * was killed. */
static void
park (Parker *parker,
      guint   n_fds)
{
  AForkProcess *process = new_hostile_process ();
  const guint n_before = count_parked ();
  guint n_sent = 0;

  step (process, "w");
  while (n_sent < n_fds)
    {
      guint n_now = MIN (n_fds - n_sent, 250);
      g_autofree char *text = g_strdup_printf ("d%u", n_now);

      step (process, text);
      step_frame (process, FRAME (FDS, .n_fds = (guint16) n_now));
      n_sent += n_now;
    }
  step (process, "s");

  *parker = (Parker) { process, new_hostile_rpc (process), NULL };
  afork_rpc_call_async (parker->rpc, NULL, NULL, store_result_cb, &parker->result);
  while (parker->result == NULL && count_parked () < n_before + n_fds)
    g_main_context_iteration (NULL, TRUE);
}

static void
parker_clear (Parker *parker)
{
  g_autoptr(GError) error = NULL;

  afork_process_force_exit (parker->process);
  await_result (&parker->result);
  g_assert_null (afork_rpc_call_finish (parker->rpc, parker->result, &error));
  g_test_message ("%s", error->message);
  g_clear_object (&parker->result);
  g_clear_object (&parker->rpc);
  g_clear_object (&parker->process);
}

/* Operations that all take descriptors. */
static void
assert_others_work (AForkRpc *rpc)
{
  g_autoptr(AForkRpc) another = new_rpc_of ("blobs", "blobs_make", FALSE);
  g_autoptr(AForkProcess) executed = afork_process_new_exec (NULL);
  g_autoptr(AForkJob) job = NULL;
  g_autoptr(GVariant) fds = NULL, blob = NULL;
  g_autoptr(GError) error = NULL;

  fds = call (rpc, do_args ("fds", 200), &error);
  g_assert_no_error (error);
  job = afork_job_new (g_variant_new ("(uuu)", 1024 * 1024, 3, (guint32) 'x'));
  blob = run_job (another, job, &error);
  g_assert_no_error (error);
  close_rpc (another);

  afork_process_require (executed, "calls");
  g_clear_object (&another);
  another = afork_rpc_new (afork_process_fork (executed), "calls_echo");
  g_object_unref (afork_rpc_get_process (another));
  g_clear_pointer (&blob, g_variant_unref);
  blob = call (another, g_variant_new_uint32 (7), &error);
  g_assert_no_error (error);
  close_rpc (another);
}

static void
test_fds_of_many (void)
{
  /* Some exceed the limit of one worker. Later ones find little room. */
  const guint counts[] = { 750, 200, 257, 256, 200, 250, 100, 20, 4, 4, 4, 1, 256 };
  const gboolean is_kept[] = {
    FALSE, TRUE, FALSE, TRUE, TRUE, FALSE, FALSE, TRUE, TRUE, TRUE, TRUE, TRUE, FALSE,
  };
  g_autoptr(AForkRpc) rpc = NULL;
  Parker parkers[G_N_ELEMENTS (counts)];
  struct rlimit saved, usual;
  guint n_parked;

  if (!need_descriptors (1024))
    return;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &saved));
  usual = (struct rlimit) { 1024, saved.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &usual));
  rpc = new_rpc_of ("bounds", "bounds_do", FALSE);
  assert_serves (rpc);
  n_parked = count_parked ();
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      park (&parkers[i], counts[i]);
      if (!is_kept[i])
        await_result (&parkers[i].result);
      /* The descriptors are closed when the call ends, even if the worker is still alive. */
      if (parkers[i].result == NULL)
        n_parked += counts[i];
      g_assert_cmpint (parkers[i].result == NULL, ==, is_kept[i]);
      g_assert_cmpuint (count_parked (), ==, n_parked);
      g_assert_cmpuint (count_fds (), <, 1024 * 3 / 4 + 32);
      assert_others_work (rpc);
    }

  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    parker_clear (&parkers[i]);
  close_rpc (rpc);
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
}

/* The outbox of a worker that has exited. It has sent STARTED, and has got a call. */

enum { N_STARTED = AFORK_CALL_FRAME_HEADER_SIZE };

static void
write_outbox (AForkProcess  *process,
              guint32        offset,
              gconstpointer  bytes,
              gsize          size)
{
  g_autoptr(GByteArray) item = g_byte_array_new ();

  g_byte_array_append (item, (const guint8 *) &offset, sizeof offset);
  g_byte_array_append (item, bytes, (guint) size);
  step_bytes (process, 'o', item->data, item->len);
}

static void
write_header (AForkProcess *process,
              guint64       base,
              guint32       size,
              guint32       begun)
{
  const AForkCallOutboxHeader header = {
    .base = base, .size = size, .begun = begun, .in_use = 1,
  };

  write_outbox (process, 0, &header, sizeof header);
}

/* Puts FRAME in the outbox, after N_SENT bytes of the stream. */
static void
leave_frame (AForkProcess   *process,
             AForkCallFrame  frame,
             guint64         n_sent)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, frame);
  write_outbox (process, AFORK_CALL_OUTBOX_HEADER_SIZE, bytes->data, bytes->len);
  write_header (process, n_sent, bytes->len, 1);
}

static AForkCallFrame
result_frame (guint32 number)
{
  return value_frame (AFORK_CALL_FRAME_RESULT, number, "u", "\7\0\0\0", 4);
}

static void
leave_result (AForkProcess *process)
{
  step (process, "t");
  leave_frame (process, result_frame (1), N_STARTED);
}

/* What was sent is there as well. */
static void
leave_sent (AForkProcess *process)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, FRAME (STARTED));
  add_frame (bytes, result_frame (1));
  write_outbox (process, AFORK_CALL_OUTBOX_HEADER_SIZE, bytes->data, bytes->len);
  write_header (process, 0, bytes->len, 1);
}

/* Some bytes of the frame were sent. */
static void
leave_half (AForkProcess *process)
{
  enum { N_SENT = 10 };
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, result_frame (1));
  step_bytes (process, 'b', bytes->data, N_SENT);
  leave_frame (process, result_frame (1), N_STARTED);
}

static void
leave_too_much (AForkProcess *process)
{
  write_header (process, N_STARTED,
                AFORK_CALL_OUTBOX_SIZE - AFORK_CALL_OUTBOX_HEADER_SIZE + 8, 1);
}

static void
leave_most (AForkProcess *process)
{
  write_header (process, N_STARTED, G_MAXUINT32 - 7, 1);
}

static void
leave_odd_size (AForkProcess *process)
{
  write_header (process, N_STARTED, 20, 1);
}

static void
leave_gap (AForkProcess *process)
{
  leave_frame (process, result_frame (1), N_STARTED + 8);
}

static void
leave_far_gap (AForkProcess *process)
{
  leave_frame (process, result_frame (1), G_MAXUINT64 - 7);
}

static void
leave_zeros (AForkProcess *process)
{
  write_header (process, N_STARTED, 32 * 1024, 1);
}

static void
leave_unknown_answer (AForkProcess *process)
{
  leave_frame (process, result_frame (99), N_STARTED);
}

static void
leave_fds (AForkProcess *process)
{
  AForkCallFrame frame = result_frame (1);

  frame.n_fds = 1;
  leave_frame (process, frame, N_STARTED);
}

static void
leave_release (AForkProcess *process)
{
  leave_frame (process, FRAME (RELEASE, .number = 5), N_STARTED);
}

static void
leave_type (AForkProcess *process)
{
  leave_frame (process, value_frame (AFORK_CALL_FRAME_RESULT, 1, "(u", "1234", 4), N_STARTED);
}

/* These are no protocol errors, and have no effect. */

static void
leave_nothing (AForkProcess *process)
{
  write_header (process, N_STARTED, 0, 1);
}

static void
leave_unused (AForkProcess *process)
{
  leave_result (process);
  write_outbox (process, G_STRUCT_OFFSET (AForkCallOutboxHeader, in_use), "\0\0\0\0", 4);
}

static void
leave_cut (AForkProcess *process)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, result_frame (1));
  write_outbox (process, AFORK_CALL_OUTBOX_HEADER_SIZE, bytes->data, bytes->len);
  write_header (process, N_STARTED, bytes->len - 8, 1);
}

static void
leave_false_begun (AForkProcess *process)
{
  write_header (process, N_STARTED, 0, G_MAXUINT32 - 3);
}

enum { LEFT_RIGHT, LEFT_WRONG, LEFT_NOTHING };

typedef struct
{
  const char   *name;
  ProtocolError leave;
  int           what;
} Left;

#define LEFT(NAME, WHAT) { #NAME, leave_ ## NAME, LEFT_ ## WHAT }
static const Left lefts[] = {
  LEFT (result, RIGHT), LEFT (sent, RIGHT), LEFT (half, RIGHT),
  LEFT (too_much, WRONG), LEFT (most, WRONG), LEFT (odd_size, WRONG), LEFT (gap, WRONG),
  LEFT (far_gap, WRONG), LEFT (zeros, WRONG), LEFT (unknown_answer, WRONG), LEFT (fds, WRONG),
  LEFT (release, WRONG), LEFT (type, WRONG),
  LEFT (nothing, NOTHING), LEFT (unused, NOTHING), LEFT (cut, NOTHING),
  LEFT (false_begun, NOTHING),
};
#undef LEFT

/* A worker that crashed may have damaged it, so this is no protocol error. */
static void
check_left (const Left *left,
            gboolean    trusted,
            gboolean    crashes)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GAsyncResult) second = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  const char *note = left->what == LEFT_WRONG ? NULL : "This call had ";
  int code = AFORK_ERROR_SIGNALED;

  if (!crashes)
    code = left->what == LEFT_WRONG ? AFORK_ERROR_PROTOCOL : AFORK_ERROR_EXITED;

  step (process, "w");
  left->leave (process);
  step (process, crashes ? "K9" : "x");
  rpc = g_object_new (AFORK_TYPE_RPC, "process", process, "function", "any",
                      "forward-stderr", FALSE, "trusted", trusted, NULL);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &second);
  if (left->what == LEFT_RIGHT)
    expect_uint32 (rpc, &result, 7);
  else
    expect_error (rpc, &result, AFORK_ERROR, code, note);
  expect_error (rpc, &second, AFORK_ERROR, code, note);
  close_rpc_error (rpc, code);
}

static void
test_left (Census        *census,
           gconstpointer  data)
{
  for (int i = 0; i < 4; i++)
    check_left (data, (i & 1) != 0, (i & 2) != 0);
}

/* One answer came over the socket, and another one to the same call is in the outbox. */
static void
test_left_twice (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkRpc) rpc = NULL;

  step (process, "w");
  step_frame (process, result_frame (1));
  leave_frame (process, result_frame (1), N_STARTED + 32);
  step (process, "x");
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[0]);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[1]);
  expect_uint32 (rpc, &results[0], 7);
  expect_error (rpc, &results[1], AFORK_ERROR, AFORK_ERROR_PROTOCOL, NULL);
}

/* As many events as there is room for. */
static void
test_left_events (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  AForkCallFrame event = value_frame (AFORK_CALL_FRAME_EVENT, 0, "y", "\7", 1);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(GString) log = g_string_new (NULL);
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkRpc) rpc = NULL;

  while (bytes->len + 32 <= AFORK_CALL_OUTBOX_SIZE - AFORK_CALL_OUTBOX_HEADER_SIZE)
    {
      add_frame (bytes, event);
      g_string_append (expected, "e0x07 ");
    }
  step (process, "w");
  write_outbox (process, AFORK_CALL_OUTBOX_HEADER_SIZE, bytes->data, bytes->len);
  write_header (process, N_STARTED, bytes->len, 0);
  step (process, "K15");
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (append_text_cb), log);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    expect_error (rpc, &results[i], AFORK_ERROR, AFORK_ERROR_SIGNALED, "This call had not begun. ");
  g_assert_cmpstr (log->str, ==, expected->str);
}

/* Another process writes to the outbox while it is read. */

static int
find_outbox (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;
  int found = -1;

  while (found < 0 && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      if (target != NULL && strstr (target, "afork-outbox") != NULL)
        found = open (path, O_RDWR | O_CLOEXEC);
    }

  return found;
}

typedef struct
{
  int  fd;
  gint stops;                   /* atomic */
} Scribbler;

static gpointer
scribble (gpointer data)
{
  Scribbler *self = data;
  g_autoptr(GRand) rand = g_rand_new ();

  while (!g_atomic_int_get (&self->stops))
    {
      guint32 words[8];
      off_t place = g_rand_int_range (rand, 0, 3) > 0 ? 0 : 8 * g_rand_int_range (rand, 0, 40);

      for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
        words[i] = g_rand_boolean (rand) ? (guint32) g_rand_int_range (rand, 0, 200)
                                         : g_rand_int (rand);
      g_assert_cmpint (pwrite (self->fd, words, sizeof words, place), ==, sizeof words);
    }

  return NULL;
}

static void
begin_crash_call (AForkRpc      *rpc,
                  guint32        number,
                  const char    *what,
                  GAsyncResult **result)
{
  afork_rpc_call_async (rpc, g_variant_new ("(uusu)", number, 0, what, 0), NULL, store_result_cb,
                        result);
}

static void
test_left_scribbled (void)
{
  const int n_rounds = is_instrumented () ? 20 : 100;

  for (int i = 0; i < n_rounds; i++)
    {
      g_autoptr(AForkRpc) rpc = new_rpc_of ("crash", "crash_do", FALSE);
      GAsyncResult *results[40] = { NULL };
      GAsyncResult *first = NULL;
      Scribbler scribbler = { 0 };
      GThread *thread;

      for (guint j = 0; j < 2; j++)
        {
          begin_crash_call (rpc, j, "", &first);
          expect_uint32 (rpc, &first, j);
        }
      scribbler.fd = find_outbox ();
      g_assert_cmpint (scribbler.fd, >=, 0);
      thread = g_thread_new ("scribble", scribble, &scribbler);
      for (guint j = 0; j < G_N_ELEMENTS (results); j++)
        begin_crash_call (rpc, j, j == 20 ? "kill" : "", &results[j]);
      for (guint j = 0; j < G_N_ELEMENTS (results); j++)
        {
          await_result (&results[j]);
          g_clear_object (&results[j]);
        }
      g_atomic_int_set (&scribbler.stops, TRUE);
      g_thread_join (thread);
      close (scribbler.fd);
    }
}

#define CASE(NAME) { #NAME, send_ ## NAME }
static const struct { const char *name; ProtocolError protocol_error; } protocol_errors[] = {
  CASE (unknown_kind), CASE (callers_kind), CASE (setup), CASE (cancel), CASE (flags),
  CASE (started_twice), CASE (started_number), CASE (too_large), CASE (answer_unknown),
  CASE (answer_twice), CASE (answer_then_failed), CASE (refusal_late),
  CASE (progress_unknown), CASE (begun_unknown), CASE (result_zero), CASE (type_invalid),
  CASE (type_indefinite), CASE (type_two), CASE (type_none), CASE (type_too_long),
  CASE (type_deep), CASE (type_complex), CASE (type_complex_inside), CASE (value_deep),
  CASE (value_short), CASE (value_boolean), CASE (value_not_utf8), CASE (value_no_nul),
  CASE (value_bad_offsets), CASE (value_odd_array), CASE (failed_short),
  CASE (failed_string_long), CASE (fds_missing), CASE (fds_too_many), CASE (fds_unnamed),
  CASE (fds_piled_up), CASE (fds_for_nothing), CASE (blob_unnamed), CASE (blob_open),
  CASE (blob_missing), CASE (blobs_too_many), CASE (garbage), CASE (garbage_and_exit),
  CASE (garbage_and_stay), CASE (flood),
};
#undef CASE

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (protocol_errors); i++)
    {
      g_autofree char *path =
        g_strdup_printf ("/rpc-hostile/protocol-error/%s", protocol_errors[i].name);

      g_strdelimit (path, "_", '-');
      add_with_data (path, &protocol_errors[i].protocol_error, test_protocol_error);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (lefts); i++)
    {
      g_autofree char *path = g_strdup_printf ("/rpc-hostile/outbox/%s", lefts[i].name);

      g_strdelimit (path, "_", '-');
      add_with_data (path, &lefts[i], test_left);
    }
  add_test ("/rpc-hostile/outbox/twice", test_left_twice);
  add_test ("/rpc-hostile/outbox/events", test_left_events);
  add_test ("/rpc-hostile/outbox/scribbled", test_left_scribbled);
  add_test ("/rpc-hostile/unstarted", test_unstarted);
  add_test ("/rpc-hostile/refused-twice", test_refused_twice);
  add_test ("/rpc-hostile/refused-within", test_refused_within);
  add_test ("/rpc-hostile/protocol-error-within/any", test_protocol_error_within);
  add_test ("/rpc-hostile/protocol-error-within/events", test_protocol_error_before);
  add_test ("/rpc-hostile/error-text", test_error_text);
  add_test ("/rpc-hostile/cut", test_cut);
  add_test ("/rpc-hostile/closed", test_closed);
  add_with_data ("/rpc-hostile/unbegun/sequential", GINT_TO_POINTER (FALSE), test_unbegun);
  add_with_data ("/rpc-hostile/unbegun/concurrent", GINT_TO_POINTER (TRUE), test_unbegun);
  add_test ("/rpc-hostile/begun-often", test_begun_often);
  add_test ("/rpc-hostile/ignored", test_ignored);
  add_test ("/rpc-hostile/write-closed", test_write_closed);
  add_test ("/rpc-hostile/fds-of-many", test_fds_of_many);

  return g_test_run ();
}
