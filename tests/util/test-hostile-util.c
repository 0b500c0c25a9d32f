/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "test-hostile-util.h"

#include <string.h>

AForkProcess *
new_hostile_process (void)
{
  AForkProcess *process = new_module_process ("hostile-calls");

  step_frames (process, 'b', FRAME (STARTED), 1);
  return process;
}

AForkRpc *
new_hostile_rpc (AForkProcess *process)
{
  return g_object_new (AFORK_TYPE_RPC,
                       "process", process, "function", "any", "forward-stderr", FALSE, NULL);
}

void
step (AForkProcess *process,
      const char   *text)
{
  g_autoptr(GBytes) item = g_bytes_new (text, strlen (text));

  afork_process_send_bytes (process, item);
}

void
step_bytes (AForkProcess *process,
            char          letter,
            GByteArray   *bytes)
{
  g_autoptr(GBytes) item = NULL;

  g_byte_array_prepend (bytes, (guint8 *) &letter, 1);
  item = g_bytes_new (bytes->data, bytes->len);
  afork_process_send_bytes (process, item);
}

void
step_frames (AForkProcess   *process,
             char            letter,
             AForkCallFrame  frame,
             guint           n)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  for (guint i = 0; i < n; i++)
    add_frame (bytes, frame);
  step_bytes (process, letter, bytes);
}

void
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
