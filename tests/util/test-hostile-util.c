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

  step_frame (process, FRAME (STARTED));
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
step_bytes (AForkProcess  *process,
            char           letter,
            gconstpointer  bytes,
            gsize          size)
{
  g_autoptr(GByteArray) array = g_byte_array_new ();
  g_autoptr(GBytes) item = NULL;

  g_byte_array_append (array, (const guint8 *) &letter, 1);
  g_byte_array_append (array, bytes, (guint) size);
  item = g_byte_array_free_to_bytes (g_steal_pointer (&array));
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
  step_bytes (process, letter, bytes->data, bytes->len);
}

void
step_frame (AForkProcess   *process,
            AForkCallFrame  frame)
{
  step_frames (process, 'b', frame, 1);
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
