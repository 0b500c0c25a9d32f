/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that give their caller work without end. Its main loop gets to all other sources as often
 * as they need it, and each message is still handled once and in order. The worker is
 * modules/hostile-calls.c, and does the steps that a test gives it. */

#include <string.h>
#include <time.h>

#include "afork/wire/afork-call-frame.h"
#include "test-rpc-util.h"

#define FRAME(KIND, ...) ((AForkCallFrame) { .kind = AFORK_CALL_FRAME_ ## KIND, __VA_ARGS__ })
#define STEP(TEXT) step (process, TEXT, strlen (TEXT))

enum
{
  /* GTK draws its windows at this priority. */
  REDRAW_PRIORITY = G_PRIORITY_HIGH_IDLE + 20,
  /* In milliseconds. */
  REDRAW_INTERVAL = 16,
  IDLE_INTERVAL = 20,
  /* The main loop may be kept so long at a time, in milliseconds on a CPU: what other programs
   * have of that does not count. */
  MAX_GAP = 30,
  N_WORKERS = 4,
};

static void
step (AForkProcess *process,
      const char   *bytes,
      gsize         size)
{
  g_autoptr(GBytes) item = g_bytes_new (bytes, size);

  afork_process_send_bytes (process, item);
}

static void
add_frame (GByteArray     *bytes,
           AForkCallFrame  frame)
{
  gsize head_size = afork_call_frame_head_size (&frame);
  gsize padding = afork_call_frame_padding (&frame);
  guint start = bytes->len;

  g_byte_array_set_size (bytes, start + (guint) (head_size + frame.size + padding));
  memset (bytes->data + start, 0, bytes->len - start);
  afork_call_frame_write (&frame, bytes->data + start);
  if (frame.size > 0)
    memcpy (bytes->data + start + head_size, frame.data, frame.size);
}

/* A step of sending N times FRAME; LETTER says how. */
static void
step_frames (AForkProcess   *process,
             char            letter,
             AForkCallFrame  frame,
             guint           n)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (guint8 *) &letter, 1);
  for (guint i = 0; i < n; i++)
    add_frame (bytes, frame);
  step (process, (char *) bytes->data, bytes->len);
}

static AForkProcess *
new_hostile_process (void)
{
  AForkProcess *process = new_module_process ("hostile-calls");

  step_frames (process, 'b', FRAME (STARTED), 1);
  return process;
}

static AForkRpc *
new_hostile_rpc (AForkProcess *process)
{
  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", "any", "forward-stderr", FALSE, NULL);
}

/* What else a program has in its main loop. */

typedef struct
{
  GSource parent;
  gint64  last;
  gint64  longest;              /* between two iterations, in microseconds on a CPU */
} Meter;

typedef struct
{
  Meter   *meter;
  GSource *redraw;
  GSource *idle;
  guint    n_redraws;
  guint    n_idles;
} Others;

static gint64
get_own_time (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

static gboolean
meter_prepare (GSource *source,
               int     *timeout)
{
  Meter *self = (Meter *) source;
  gint64 now = get_own_time ();

  if (self->last > 0)
    self->longest = MAX (self->longest, now - self->last);
  self->last = now;
  *timeout = -1;
  return FALSE;
}

static GSourceFuncs meter_funcs = { .prepare = meter_prepare };

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
  self->meter = (Meter *) g_source_new (&meter_funcs, sizeof (Meter));
  g_source_set_priority (&self->meter->parent, G_PRIORITY_HIGH);
  g_source_attach (&self->meter->parent, NULL);
  self->redraw = add_timeout (REDRAW_INTERVAL, REDRAW_PRIORITY, &self->n_redraws);
  self->idle = add_timeout (IDLE_INTERVAL, G_PRIORITY_DEFAULT_IDLE, &self->n_idles);
}

static void
others_end (Others *self)
{
  g_test_message ("the longest time without a turn was %.1f ms", self->meter->longest / 1e3);
  if (!is_instrumented ())
    g_assert_cmpint (self->meter->longest, <, MAX_GAP * 1000);

  g_source_destroy (&self->meter->parent);
  g_source_unref (&self->meter->parent);
  g_source_destroy (self->redraw);
  g_source_unref (self->redraw);
  g_source_destroy (self->idle);
  g_source_unref (self->idle);
}

/* Iterates the main context until the other sources have been dispatched often. */
static void
others_await (Others *self)
{
  while (self->n_redraws < 30 || self->n_idles < 20)
    g_main_context_iteration (NULL, TRUE);
}

/* Messages. */

static void
count_event_cb (AForkRpc *rpc,
                GVariant *event,
                gpointer  data)
{
  ++*(guint *) data;
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

/* What STEPS, after the beginning, have several workers send without end. */
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
    while (n_events[i] == 0)
      g_main_context_iteration (NULL, TRUE);

  others_begin (&others);
  others_await (&others);
  others_end (&others);

  /* None is left out for another one. */
  memset (n_events, 0, sizeof n_events);
  for (guint i = 0; i < N_WORKERS; i++)
    while (n_events[i] < 100)
      g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < N_WORKERS; i++)
    {
      end_rpc (rpcs[i], AFORK_ERROR_SIGNALED);
      g_object_unref (rpcs[i]);
    }
}

static void
send_events (AForkProcess *process)
{
  step_frames (process, 'f', FRAME (EVENT, .type = "s", .data = (guint8 *) "ok", .size = 3), 1000);
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

      step_frames (process, 'b', FRAME (EVENT, .type = "s", .data = (guint8 *) "ok", .size = 3), 1);
      STEP ("e");
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

/* A child of the worker has its socket, and goes on when the worker has ended. What the worker sent
 * comes before its end; what the child sends does not keep that from being seen. */
static void
test_child (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;
  Others others;

  step_frames (process, 'b', FRAME (EVENT, .type = "s", .data = (guint8 *) "ok", .size = 3), 2000);
  STEP ("k");
  send_events (process);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  others_begin (&others);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_EXITED, "status 0");
  others_end (&others);
  g_assert_cmpuint (n_events, >=, 2000);
}

/* Calls to others are answered, by the main loop and by blocking. */
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

/* A blocking call to the worker itself: what comes before its answer is handled meanwhile. */
static void
test_blocking (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GError) error = NULL;
  guint n_events = 0;

  STEP ("w");
  STEP ("*100");
  step_frames (process, 'b', FRAME (EVENT, .type = "s", .data = (guint8 *) "ok", .size = 3), 1000);
  step_frames (process, 'b', FRAME (RESULT, .number = 1, .type = "u",
                                    .data = (guint8 *) "\5\0\0\0", .size = 4), 1);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  answer = afork_rpc_call (rpc, NULL, NULL, &error);
  g_assert_no_error (error);
  assert_uint32 (answer, 5);
  g_assert_cmpuint (n_events, ==, 100 * 1000);
  close_rpc (rpc);
}

/* A handler waits in the main loop for other sources, while more comes than there is time for. */
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

static void
step_bytes (AForkProcess *process,
            GByteArray   *bytes)
{
  g_byte_array_prepend (bytes, (guint8 *) "b", 1);
  step (process, (char *) bytes->data, bytes->len);
}

/* Iterates the main context until so many events have come. */
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

/* The same large segment is announced and ends, again and again. */
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
  STEP (make);
  STEP ("d100");
  STEP ("*10");
  step_bytes (process, bytes);
  step_frames (process, 'b', FRAME (EVENT, .type = "s", .data = (guint8 *) "ok", .size = 3), 1);
  await_events (process, TRUE, 1);
}

/* So is a sealed blob. */
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
                               .data = (guint8 *) "ok", .size = 3));
      afork_call_frame_set_blob (bytes->data + start, 0, AFORK_BLOB_SEALED, size);
    }
  STEP (make);
  STEP ("d100");
  STEP ("*2");
  step_bytes (process, bytes);
  await_events (process, FALSE, 200);
}

/* A worker uses its segment again and again, and is never told that it may. */
static void
test_reused (void)
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(AForkRpc) rpc = NULL;
  guint n_events = 0;

  STEP ("m4096");
  STEP ("d1");
  step_frames (process, 'b', FRAME (SEGMENT, .number = 7, .n_fds = 1, .segment_size = 4096), 1);
  for (guint i = 0; i < 100; i++)
    {
      guint start = bytes->len;

      add_frame (bytes, FRAME (EVENT, .n_blobs = 1, .type = "s",
                               .data = (guint8 *) "ok", .size = 3));
      afork_call_frame_set_blob (bytes->data + start, 0, 7, 4096);
    }
  g_byte_array_prepend (bytes, (guint8 *) "f", 1);
  step (process, (char *) bytes->data, bytes->len);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (count_event_cb), &n_events);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &result);
  expect_error (rpc, &result, AFORK_ERROR, AFORK_ERROR_PROTOCOL, "no segment that is its own");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/floods/events", test_events, run_with_census);
  g_test_add_data_func ("/floods/stderr", test_stderr, run_with_census);
  g_test_add_data_func ("/floods/child", test_child, run_with_census);
  g_test_add_data_func ("/floods/others", test_others, run_with_census);
  g_test_add_data_func ("/floods/blocking", test_blocking, run_with_census);
  g_test_add_data_func ("/floods/nested", test_nested, run_with_census);
  g_test_add_data_func ("/floods/segments", test_segments, run_with_census);
  g_test_add_data_func ("/floods/sealed", test_sealed, run_with_census);
  g_test_add_data_func ("/floods/reused", test_reused, run_with_census);

  return g_test_run ();
}
