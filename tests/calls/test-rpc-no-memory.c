/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that send more than their caller has memory for: the calls fail with
 * AFORK_ERROR_OUT_OF_MEMORY, and the caller goes on. Each test has a process of its own. */

#include <string.h>

#include "test-hostile-util.h"
#include "test-limits.h"

enum
{
  MIB = 1024 * 1024,
  /* The caller gets no more memory than this. */
  MORE_MEMORY = 16 * MIB,
};

static void
mark_cb (AForkRpc *rpc,
         GVariant *event,
         gpointer  data)
{
  *(gboolean *) data = TRUE;
}

/* The caller has little memory when the worker, after an event, does STEPS. */
static void
check (void (*steps) (AForkProcess *process))
{
  g_autoptr(AForkProcess) process = new_hostile_process ();
  g_autoptr(AForkRpc) neighbour = new_rpc ("calls_echo");
  GAsyncResult *results[2] = { NULL };
  g_autoptr(AForkRpc) rpc = NULL;
  gboolean is_there = FALSE;

  step_frame (process, OK_EVENT);
  step (process, "w");
  step (process, "w");
  steps (process);
  rpc = new_hostile_rpc (process);
  g_signal_connect (rpc, "event", G_CALLBACK (mark_cb), &is_there);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[0]);
  while (!is_there)
    g_main_context_iteration (NULL, TRUE);
  afork_rpc_call_async (neighbour, g_variant_new_uint32 (1), NULL, store_result_cb, &results[1]);
  expect_uint32 (neighbour, &results[1], 1);

  limit_memory (MORE_MEMORY);
  afork_rpc_call_async (rpc, NULL, NULL, store_result_cb, &results[1]);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    expect_error (rpc, &results[i], AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY, "no memory");
  /* Calls to another worker are answered nevertheless. */
  afork_rpc_call_async (neighbour, g_variant_new_uint32 (2), NULL, store_result_cb, &results[0]);
  expect_uint32 (neighbour, &results[0], 2);
  unlimit_memory ();

  close_rpc_error (rpc, AFORK_ERROR_OUT_OF_MEMORY);
  close_rpc (neighbour);
}

/* A header announces a large frame. */
static void
step_header (AForkProcess   *process,
             AForkCallFrame  frame)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const guint32 size = GUINT32_TO_LE (256 * MIB);

  add_frame (bytes, frame);
  memcpy (bytes->data, &size, sizeof size);
  g_byte_array_set_size (bytes, AFORK_CALL_FRAME_HEADER_SIZE);
  step_bytes (process, 'b', bytes->data, bytes->len);
}

static void
send_large_value (AForkProcess *process)
{
  step_header (process, FRAME (RESULT, .number = 1, .type = "s"));
}

static void
send_large_blob (AForkProcess *process)
{
  step_header (process, FRAME (BLOB));
}

/* A blob in small pieces. */
static void
send_pieces (AForkProcess *process)
{
  g_autofree guint8 *piece = g_malloc0 (MIB / 32);

  step (process, "*4000");
  step_frames (process, 'b', FRAME (BLOB, .flags = AFORK_CALL_FRAME_MORE, .data = piece,
                                    .size = MIB / 32), 1);
}

/* Many small blobs. */
static void
send_blobs (AForkProcess *process)
{
  g_autofree guint8 *piece = g_malloc0 (60 * 1024);

  step (process, "*1000");
  step_frame (process, FRAME (BLOB, .data = piece, .size = 60 * 1024));
}

/* Shared memory cannot be mapped. */
static void
send_segment (AForkProcess *process)
{
  step (process, "m67108864");
  step (process, "d1");
  step_frame (process, FRAME (SEGMENT, .number = 1, .n_fds = 1, .segment_size = 64 * MIB));
}

/* An error has a long text, which becomes longer, because it is not UTF-8. */
static void
send_text (AForkProcess *process)
{
  g_autofree char *text = g_malloc (5 * MIB - 99);

  memset (text, 0xff, 5 * MIB - 100);
  text[5 * MIB - 100] = '\0';
  step_frame (process, FRAME (FAILED, .number = 1, .string = { "none", text }));
}

static void (*const all_steps[]) (AForkProcess *process) = {
  send_large_value, send_large_blob, send_pieces, send_blobs, send_segment, send_text,
};

static void
test_no_memory (gconstpointer data)
{
  const guint index = GPOINTER_TO_UINT (data);

  if (is_instrumented ())
    {
      g_test_skip ("What instruments a program needs memory of its own");
      return;
    }
  if (!is_own_program ())
    return;
  check (all_steps[index]);
}

int
main (int    argc,
      char **argv)
{
  static const char *const names[] = {
    "large-value", "large-blob", "pieces", "blobs", "segment", "text",
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_strdup_printf ("/rpc-no-memory/%s", names[i]);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_no_memory);
    }

  return g_test_run ();
}
