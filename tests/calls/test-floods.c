/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that send without end. The main loop of the caller still dispatches all other sources as
 * often as they need, and each message is handled once and in order. */

#include <string.h>

#include "test-hostile-util.h"
#include "test-limits.h"
#include "test-turn-util.h"

enum
{
  /* GTK draws its windows at this priority. */
  REDRAW_PRIORITY = G_PRIORITY_HIGH_IDLE + 20,
  /* In milliseconds. */
  REDRAW_INTERVAL = 16,
  IDLE_INTERVAL = 20,
  /* The longest time that the main loop may take for one iteration, in milliseconds of CPU time.
   * The time of other programs does not count. */
  MAX_GAP = 30,
  N_WORKERS = 4,
};

/* Other sources in the main loop of a program. */

typedef struct
{
  Meter   *meter;
  GSource *redraw;
  GSource *idle;
  guint    n_redraws;
  guint    n_idles;
} Others;

static gboolean
count_cb (gpointer data)
{
  ++*(guint *) data;
  return G_SOURCE_CONTINUE;
}

static GSource *
add_timeout (guint  interval,
             int    priority,
             guint *n_times)
{
  GSource *source = g_timeout_source_new (interval);

  g_source_set_priority (source, priority);
  g_source_set_callback (source, count_cb, n_times, NULL);
  g_source_attach (source, NULL);
  return source;
}

static void
others_begin (Others *self)
{
  *self = (Others) { 0 };
  self->meter = meter_new (NULL);
  self->redraw = add_timeout (REDRAW_INTERVAL, REDRAW_PRIORITY, &self->n_redraws);
  self->idle = add_timeout (IDLE_INTERVAL, G_PRIORITY_DEFAULT_IDLE, &self->n_idles);
}

static void
others_end (Others *self)
{
  gint64 longest = meter_end (self->meter);

  if (!is_instrumented ())
    g_assert_cmpint (longest, <, MAX_GAP * 1000);
  g_source_destroy (self->redraw);
  g_source_unref (self->redraw);
  g_source_destroy (self->idle);
  g_source_unref (self->idle);
}

/* Iterates the main context until the other sources have been dispatched often. */
static void
others_await (Others *self)
{
  const gint64 end = g_get_monotonic_time () + G_TIME_SPAN_MINUTE;

  while (self->n_redraws < 30 || self->n_idles < 20)
    {
      g_main_context_iteration (NULL, TRUE);
      if (g_get_monotonic_time () > end)
        g_error ("In a minute, redraw sources came %u times, and idle sources %u times",
                 self->n_redraws, self->n_idles);
    }
}

/* Messages. */

/* How many events have come since the main loop was iterated last. */
static guint n_events_in_turn;

static gboolean
iterated_prepare (GSource *source,
                  int     *timeout)
{
  n_events_in_turn = 0;
  *timeout = -1;
  return FALSE;
}

static void
watch_iterations (void)
{
  static GSourceFuncs funcs = { .prepare = iterated_prepare };
  g_autoptr(GSource) source = g_source_new (&funcs, sizeof (GSource));

  g_source_attach (source, NULL);
}

static void
count_event_cb (AForkRpc *rpc,
                GVariant *event,
                gpointer  data)
{
  enum { MOST = 1000 * 1000 };

  ++*(guint *) data;
  if (++n_events_in_turn == MOST)
    g_error ("There were %d events, and the main loop was not iterated meanwhile", MOST);
}

static void
count_closed_cb (AForkRpc *rpc,
                 gpointer  data)
{
  ++*(guint *) data;
}

static void
end_rpc (AForkRpc *rpc,
         int       code)
{
  afork_process_force_exit (afork_rpc_get_process (rpc));
  close_rpc_error (rpc, code);
}

/* Iterates the main context until at least LEAST events of a worker have come. */
static void
await_flood (const guint *n_events,
             guint        least)
{
  const gint64 end = g_get_monotonic_time () + G_TIME_SPAN_MINUTE;

  while (*n_events < least)
    {
      g_main_context_iteration (NULL, TRUE);
      if (g_get_monotonic_time () > end)
        g_error ("In a minute, %u events of a worker came while others flooded", *n_events);
    }
}

/* Has several workers do STEPS, which send without end, and checks that the other sources are
 * dispatched. */
static void
check_flood (void (*steps) (AForkProcess *process))
{
  AForkRpc *rpcs[N_WORKERS];
  guint n_events[N_WORKERS] = { 0 };
  Others others;

  for (guint i = 0; i < N_WORKERS; i++)
    {
      g_autoptr(AForkProcess) process = new_hostile_process ();

      steps (process);
      rpcs[i] = new_hostile_rpc (process);
      g_signal_connect (rpcs[i], "event", G_CALLBACK (count_event_cb), &n_events[i]);
    }
  for (guint i = 0; i < N_WORKERS; i++)
    await_flood (&n_events[i], 1);

  others_begin (&others);
  others_await (&others);
  others_end (&others);

  /* Each worker gets its turn. */
  memset (n_events, 0, sizeof n_events);
  for (guint i = 0; i < N_WORKERS; i++)
    await_flood (&n_events[i], 100);
  for (guint i = 0; i < N_WORKERS; i++)
    {
      end_rpc (rpcs[i], AFORK_ERROR_SIGNALED);
      g_object_unref (rpcs[i]);
    }
}

static void
send_events (AForkProcess *process)
{
  step_frames (process, 'f', OK_EVENT, 1000);
}

static void
test_events (void)
{
  check_flood (send_events);
}

static void
test_stderr (void)
{
  AForkRpc *rpcs[N_WORKERS];
  guint n_events = 0;
  Others others;

  for (guint i = 0; i < N_WORKERS; i++)
    {
      g_autoptr(AForkProcess) process = new_hostile_process ();

      step_frame (process, OK_EVENT);
      step (process, "e");
      rpcs[i] = new_hostile_rpc (process);
      g_signal_connect (rpcs[i], "event", G_CALLBACK (count_event_cb), &n_events);
    }
  while (n_events < N_WORKERS)
    g_main_context_iteration (NULL, TRUE);

  others_begin (&others);
  others_await (&others);
  others_end (&others);
  for (guint i = 0; i < N_WORKERS; i++)
    {
      end_rpc (rpcs[i], AFORK_ERROR_SIGNALED);
      g_object_unref (rpcs[i]);
    }
}

/* A child of the worker keeps the socket of the worker, and goes on sending after the worker has
 * exited. The events of the worker arrive before its exit is reported. The events of the child do
 * not prevent this report. */
static void
test_child (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;
  Others others;

  step_frames (process, 'b', OK_EVENT, 2000);
  step (process, "k");
  send_events (process);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  others_begin (&others);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_EXITED, "status 0");
  others_end (&others);
  g_assert_cmpuint (n_events, >=, 2000);
}

/* Calls to another worker are answered: asynchronous and blocking calls. */
static void
test_others (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(AForkRpc) neighbour = new_rpc ("calls_echo");
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;
  guint n_events = 0;

  send_events (process);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  while (n_events < 100000)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < 100; i++)
    {
      g_autoptr(GAsyncResult) result = NULL;

      afork_rpc_call_async (neighbour, g_variant_new_uint32 (i), NULL, store_result_cb, &result);
      expect_uint32 (neighbour, &result, i);
    }
  answer = afork_rpc_call (neighbour, g_variant_new_uint32 (7), NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 7);

  end_rpc (rpc, AFORK_ERROR_SIGNALED);
  close_rpc (neighbour);
}

/* A blocking call to a worker that sends many events before its answer: the call handles these
 * events while it waits. */
static void
test_blocking (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;
  guint n_events = 0;

  step (process, "w");
  step (process, "*100");
  step_frames (process, 'b', OK_EVENT, 1000);
  step_frames (process, 'b', FRAME (RESULT, .number = 1, .type = "u",
                                    .data = (const guint8 *) "\5\0\0\0", .size = 4), 1);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  answer = afork_rpc_call (rpc, NULL, NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 5);
  g_assert_cmpuint (n_events, ==, 100 * 1000);
  close_rpc (rpc);
}

/* A handler waits in a nested main loop for other sources, while more events come than there is
 * time for. */
static void
wait_once_cb (AForkRpc *rpc,
              GVariant *event,
              gpointer  data)
{
  g_signal_handlers_disconnect_by_func (rpc, wait_once_cb, data);
  others_await (data);
}

static void
test_nested (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;
  Others others;

  send_events (process);
  rpc = new_hostile_rpc (process);
  others_begin (&others);
  g_signal_connect (rpc, "event", G_CALLBACK (wait_once_cb), &others);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  while (others.n_idles < 40)
    g_main_context_iteration (NULL, TRUE);
  others_end (&others);
  g_assert_cmpuint (n_events, >, 0);
  end_rpc (rpc, AFORK_ERROR_SIGNALED);
}

/* Blobs. */

/* Iterates the main context until N_EVENTS events have come. */
static void
await_events (AForkProcess *process,
              gboolean      trusted,
              guint         n_events)
{
  g_autoptr(AForkRpc) rpc = g_object_new (AFORK_TYPE_RPC,
                                          "process", process, "function", "any",
                                          "forward-stderr", FALSE, "trusted", trusted,
                                          NULL);
  guint n_came = 0, n_closed = 0;
  Others others;

  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_came);
  g_signal_connect (rpc, "closed", G_CALLBACK (count_closed_cb), &n_closed);
  others_begin (&others);
  while (n_came < n_events && n_closed == 0)
    g_main_context_iteration (NULL, TRUE);
  others_end (&others);
  g_assert_cmpuint (n_came, ==, n_events);
  close_rpc (rpc);
}

/* The worker announces the same large segment and ends it, again and again. */
static void
test_segments (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const gsize size = 64 * 1024 * 1024;
  g_autofree char *make = g_strdup_printf ("m%" G_GSIZE_FORMAT, size);

  for (guint i = 0; i < 100; i++)
    {
      add_frame (bytes, FRAME (SEGMENT, .number = 7, .n_fds = 1, .segment_size = size));
      add_frame (bytes, FRAME (SEGMENT_END, .number = 7));
    }
  step (process, make);
  step (process, "d100");
  step (process, "*10");
  step_bytes (process, 'b', bytes->data, bytes->len);
  step_frame (process, OK_EVENT);
  await_events (process, TRUE, 1);
}

/* The worker sends the same large sealed blob again and again. */
static void
test_sealed (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const gsize size = 128 * 1024 * 1024;
  g_autofree char *make = g_strdup_printf ("M%" G_GSIZE_FORMAT, size);

  for (guint i = 0; i < 100; i++)
    {
      guint start;

      add_frame (bytes, FRAME (FDS, .n_fds = 1));
      start = bytes->len;
      add_frame (bytes, FRAME (EVENT, .n_blobs = 1, .type = "s",
                               .data = (const guint8 *) "ok", .size = 3));
      afork_call_frame_set_blob (bytes->data + start, 0, AFORK_BLOB_SEALED, size);
    }
  step (process, make);
  step (process, "d100");
  step (process, "*2");
  step_bytes (process, 'b', bytes->data, bytes->len);
  await_events (process, FALSE, 200);
}

/* A worker uses its segment again and again, although the caller never releases the segment. */
static void
test_reused (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;

  step (process, "m4096");
  step (process, "d1");
  step_frame (process, FRAME (SEGMENT, .number = 7, .n_fds = 1, .segment_size = 4096));
  for (guint i = 0; i < 100; i++)
    {
      guint start = bytes->len;

      add_frame (bytes, FRAME (EVENT, .n_blobs = 1, .type = "s",
                               .data = (const guint8 *) "ok", .size = 3));
      afork_call_frame_set_blob (bytes->data + start, 0, 7, 4096);
    }
  step_bytes (process, 'f', bytes->data, bytes->len);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_PROTOCOL, "no segment that is its own");
}

/* Values. */

/* Adds an event with an array of N_VALUES variants. Each variant has TYPE and consists of SIZE
 * zeros. */
static void
add_variants (GByteArray *bytes,
              const char *type,
              gsize       size,
              guint       n_values)
{
  g_autofree guint8 *zeros = g_malloc0 (size + 1);
  GVariantBuilder builder;
  g_autoptr(GVariant) value = NULL;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < n_values; i++)
    g_variant_builder_add (&builder, "v",
                           g_variant_new_from_data (G_VARIANT_TYPE (type), zeros, size, TRUE,
                                                    NULL, NULL));
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  add_frame (bytes, FRAME (EVENT, .type = "av", .data = g_variant_get_data (value),
                           .size = g_variant_get_size (value)));
}

/* Values that GLib takes long to check: arrays of more and more small values, and arrays of fewer
 * values with deeply nested types. */
static void
test_values (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree char *deep = g_strdup_printf ("m%*sy%*s", 100, "", 100, "");

  memset (deep + 1, '(', 100);
  memset (deep + 102, ')', 100);
  for (guint n = 1; n < 500000; n *= 8)
    {
      add_variants (bytes, "()", 1, n);
      add_variants (bytes, "(yu)", 8, n);
      add_variants (bytes, deep, 0, n / 64 + 1);
    }
  step_bytes (process, 'b', bytes->data, bytes->len);
  await_events (process, TRUE, 21);
}

/* Each value has a different type from the one before, so GLib does not know the type yet. */
static void
test_types (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree guint8 *zeros = g_malloc0 (2000);

  for (guint i = 0; i < 500; i++)
    {
      const int depth = 100, length = 1500 + (int) i % 2;
      g_autofree char *type = g_strdup_printf ("%*s%*s%*s", depth, "", length, "", depth, "");

      memset (type, '(', depth);
      memset (type + depth, 'y', length);
      memset (type + depth + length, ')', depth);
      add_frame (bytes, FRAME (EVENT, .type = type, .data = zeros, .size = length));
    }
  step_bytes (process, 'b', bytes->data, bytes->len);
  await_events (process, TRUE, 500);
}

/* Messages behind a large value wait until the value was checked, and an error at the end of a
 * value is found. */
static void
test_order (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;

  add_variants (bytes, "()", 1, 100000);
  add_frame (bytes, OK_EVENT);
  add_frame (bytes, FRAME (RESULT, .number = 1, .type = "u", .data = (const guint8 *) "\5\0\0\0",
                           .size = 4));
  add_variants (bytes, "()", 1, 100000);
  bytes->data[bytes->len - 1] ^= 1;
  bytes->data[bytes->len - 9] ^= 1;
  add_frame (bytes, OK_EVENT);
  step (process, "w");
  step_bytes (process, 'b', bytes->data, bytes->len);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_uint32 (rpc, &result, 5);
  g_assert_cmpuint (n_events, ==, 2);
  close_rpc_error (rpc, AFORK_ERROR_PROTOCOL);
  g_assert_cmpuint (n_events, ==, 2);
}

/* A long error text is converted to valid UTF-8 in steps. */
static void
test_error (void)
{
  const gsize size = 4 * 1024 * 1024;
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autofree char *text = g_malloc (size + 1);
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;
  Others others;

  for (gsize i = 0; i < size; i++)
    text[i] = i % 1000 < 500 ? '\xff' : "ä"[i % 2];
  memset (text + size - 3, 'x', 3);
  text[size] = '\0';
  step (process, "w");
  step_frame (process, FRAME (FAILED, .number = 1, .string = { "none", text }));
  rpc = new_hostile_rpc (process);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  others_begin (&others);
  await_result (&result);
  others_end (&others);
  g_assert_null (afork_rpc_call_finish (rpc, result, &error));
  g_assert_error (error, AFORK_ERROR, AFORK_ERROR_FAILED);
  g_clear_pointer (&text, g_free);
  text = g_utf8_make_valid (error->message, -1);
  g_assert_cmpstr (error->message, ==, text);
  g_assert_true (g_str_has_suffix (text, "xxx"));
  close_rpc (rpc);
}

/* Many forks of one template. */

enum { MAX_FORKS = 2000 };

/* How many forks are made of a template. */
static guint n_forks;

typedef struct
{
  guint n_pending;
  guint n_failed;
} Ends;

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  Ends *ends = data;
  g_autoptr(GSocketConnection) connection = NULL;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, NULL);
  if (connection == NULL)
    ends->n_failed++;
  else
    g_object_set_data_full (object, "connection", g_steal_pointer (&connection), g_object_unref);
  ends->n_pending--;
}

static void
waited_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  Ends *ends = data;

  if (!afork_process_wait_finish (AFORK_PROCESS (object), result, NULL))
    ends->n_failed++;
  ends->n_pending--;
}

/* Forks TEMPLATE many times and runs all forks. */
static GPtrArray *
run_forks (AForkProcess *template,
           Ends         *ends)
{
  GPtrArray *forks = g_ptr_array_new_with_free_func (g_object_unref);

  ends->n_pending = n_forks;
  for (guint i = 0; i < ends->n_pending; i++)
    {
      AForkProcess *fork = afork_process_fork (template);

      g_ptr_array_add (forks, fork);
      afork_process_run_async (fork, "until_closed", NULL, run_cb, ends);
    }
  return forks;
}

static void
await_ends (Ends *ends)
{
  Others others;

  others_begin (&others);
  while (ends->n_pending > 0)
    g_main_context_iteration (NULL, TRUE);
  others_end (&others);
}

static void
wait_for_all (GPtrArray *forks,
              Ends      *ends)
{
  ends->n_pending = forks->len;
  for (guint i = 0; i < forks->len; i++)
    afork_process_wait_async (forks->pdata[i], NULL, waited_cb, ends);
}

/* All forks are started in one iteration of the main loop, and all exit in one iteration. */
static void
test_forks (void)
{
  g_autoptr(AForkProcess) template = new_module_process ("lifecycle");
  g_autoptr(GPtrArray) forks = NULL;
  Ends ends = { 0 };

  forks = run_forks (template, &ends);
  await_ends (&ends);
  g_assert_cmpuint (ends.n_failed, ==, 0);

  wait_for_all (forks, &ends);
  for (guint i = 0; i < forks->len; i++)
    g_object_set_data (forks->pdata[i], "connection", NULL);
  await_ends (&ends);
  g_assert_cmpuint (ends.n_failed, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  watch_iterations ();
  meter_prepare_memory ();
  n_forks = is_instrumented () ? 100 : allow_forks (MAX_FORKS);

  add_test ("/floods/events", test_events);
  add_test ("/floods/stderr", test_stderr);
  add_test ("/floods/child", test_child);
  add_test ("/floods/others", test_others);
  add_test ("/floods/blocking", test_blocking);
  add_test ("/floods/nested", test_nested);
  add_test ("/floods/segments", test_segments);
  add_test ("/floods/sealed", test_sealed);
  add_test ("/floods/reused", test_reused);
  add_test ("/floods/values", test_values);
  add_test ("/floods/types", test_types);
  add_test ("/floods/order", test_order);
  add_test ("/floods/error", test_error);
  add_test ("/floods/forks", test_forks);

  return g_test_run ();
}
