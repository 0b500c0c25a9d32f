/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Sends frames to the stream, with what belongs to them or not. The target knows whether a worker
 * could have sent all of it. */

#include <string.h>

#include <afork/stream/segments.h>

#include "call-stream-target.h"

enum
{
  MAX_PUT = 160 * 1024,
  MAX_BLOBS = 1100,
  MAX_RIGHT_FDS = 500           /* in a script for the stream */
};

static const char * const types[] = {
  "u", "s", "as", "a{sv}", "v", "mmb", "ay", "ad", "(h)", "(uv)", "(((", "", "{sv}", "a", "*", "r",
};

void
put_sample (unsigned which)
{
  if (!outbox_add_fd (&world.outbox, samples[which % N_SAMPLES]))
    world.is_right = false;
  if (++world.n_fds > MAX_RIGHT_FDS)
    world.is_right = false;
}

/* Adds FRAME and its data. */
static void
put (AForkCallFrame *frame,
     const uint32_t *segments,
     const uint64_t *sizes)
{
  static const uint8_t zeros[8];
  static uint8_t head[2 * 65536];
  size_t size;

  if (frame->type == NULL)
    frame->type = "";
  size = afork_call_frame_head_size (frame);
  if (size == 0 || size > sizeof head || world.outbox.n_bytes > MAX_PUT)
    {
      world.is_right = false;
      return;
    }

  afork_call_frame_write (frame, head);
  for (unsigned i = 0; i < frame->n_blobs; i++)
    afork_call_frame_set_blob (head, i, segments[i], sizes[i]);
  outbox_add_bytes (&world.outbox, head, size);
  outbox_add_bytes (&world.outbox, frame->data, frame->size);
  outbox_add_bytes (&world.outbox, zeros, afork_call_frame_padding (frame));
}

/* Data of that many bytes, which repeat, or the rest of STEP. */
static void
fill_in_data (AForkCallFrame *frame,
              Step           *step)
{
  static uint8_t large[72 * 1024];
  unsigned how = step_take (step);

  frame->data = step->args;
  frame->size = step->n_args;
  if (how >= 0x80)
    {
      frame->data = large;
      frame->size = (how & 0x7f) * sizeof large / 0x80;
    }
}

static void
put_blob (AForkCallFrame *frame,
          Step           *step)
{
  fill_in_data (frame, step);
  if (!world.is_blob_open)
    {
      if (world.n_blobs == G_N_ELEMENTS (world.blobs))
        {
          world.is_right = false;
          return;
        }
      world.blobs[world.n_blobs++] = 0;
    }
  world.blobs[world.n_blobs - 1] += frame->size;
  world.is_blob_open = (frame->flags & AFORK_CALL_FRAME_MORE) != 0;
  put (frame, NULL, NULL);
}

/* Announces a segment: with its own size, or with any. */
static void
put_segment (AForkCallFrame *frame,
             Step           *step)
{
  unsigned choice = step_take (step);
  unsigned which = choice < 0x80 ? choice % 2 : choice % N_SAMPLES;

  frame->n_fds = 1;
  frame->segment_size = get_sample_size (which);
  if (choice >= 0xc0)
    frame->segment_size = step_take_number (step);
  if (!world.accepts || choice >= 0x80 || frame->number == 0 || frame->number > N_SEGMENTS
      || world.segments[frame->number] != SEGMENT_NONE)
    {
      world.is_right = false;
    }
  else
    {
      world.segments[frame->number] = SEGMENT_IDLE;
      world.sizes[frame->number] = get_sample_size (which);
    }

  put_sample (which);
  put (frame, NULL, NULL);
}

/* A blob that does not precede its value: in a segment, sealed, or invalid. */
static void
choose_blob (Step     *step,
             uint32_t *segment,
             uint64_t *size)
{
  unsigned choice = step_take (step);
  unsigned which = SAMPLE_SEALED + choice % 2;

  if (choice < 0x80)
    {
      *segment = choice % (N_SEGMENTS + 1);
      *size = step_take_number (step);
      if (*segment == 0 || world.segments[*segment] != SEGMENT_IDLE || *size == 0
          || *size > world.sizes[*segment])
        world.is_right = false;
      else
        world.segments[*segment] = SEGMENT_IN_USE;
    }
  else if (choice < 0xc0)
    {
      *segment = AFORK_BLOB_SEALED;
      *size = get_sample_size (which);
      put_sample (which);
      world.n_value_fds++;
    }
  else
    {
      *segment = choice % 2 == 0 ? AFORK_BLOB_SEALED : choice & 0xf;
      *size = step_take_number (step);
      world.is_right = false;
      if (choice % 4 == 0)
        {
          put_sample (step_take (step));
          world.n_value_fds++;
        }
    }
}

static void
put_value (AForkCallFrame *frame,
           unsigned        n_more_fds,
           Step           *step)
{
  static uint32_t segments[MAX_BLOBS];
  static uint64_t sizes[MAX_BLOBS];
  unsigned which = step_take (step);
  unsigned n_blobs = step_take (step);
  unsigned n_before = world.n_value_fds;
  unsigned n = 0;

  /* Mostly none. */
  n_blobs = n_blobs < 0x40 ? 0 : n_blobs < 0xf0 ? 1 + n_blobs % 4 : (n_blobs & 0xf) * 70;
  for (unsigned i = 0; i < n_blobs && n < MAX_BLOBS; i++, n++)
    choose_blob (step, &segments[n], &sizes[n]);
  for (unsigned i = 0; i < world.n_blobs && n < MAX_BLOBS; i++, n++)
    {
      segments[n] = AFORK_BLOB_INLINE;
      sizes[n] = world.blobs[i];
    }

  frame->n_blobs = (uint16_t) n;
  frame->n_fds = (uint16_t) (n_more_fds + world.n_value_fds - n_before);
  if (which < 0x80)
    {
      GVariant *value = values[which % G_N_ELEMENTS (values)];

      frame->type = g_variant_get_type_string (value);
      frame->data = g_variant_get_data (value);
      frame->size = g_variant_get_size (value);
    }
  else
    {
      frame->type = types[which % G_N_ELEMENTS (types)];
      fill_in_data (frame, step);
      world.is_right = false;
    }

  if (world.is_blob_open || n > AFORK_CALL_MAX_BLOBS
      || (frame->kind != AFORK_CALL_FRAME_RESULT && frame->kind != AFORK_CALL_FRAME_CALL
          && frame->n_fds > 0))
    world.is_right = false;
  put (frame, segments, sizes);
  world.n_right++;
  world.n_value_fds = world.n_blobs = 0;
  world.is_blob_open = false;
}

static bool
carries_value (AForkCallFrameKind kind)
{
  return kind == AFORK_CALL_FRAME_RESULT || kind == AFORK_CALL_FRAME_PROGRESS
    || kind == AFORK_CALL_FRAME_EVENT || kind == AFORK_CALL_FRAME_CALL;
}

/* A frame that has neither value nor data. */
static void
put_small (AForkCallFrame *frame,
           Step           *step)
{
  switch ((int) frame->kind)
    {
    case AFORK_CALL_FRAME_FDS:
      if (frame->n_fds == 0)
        world.is_right = false;
      break;
    case AFORK_CALL_FRAME_SEGMENT_END:
      if (frame->number > N_SEGMENTS || world.segments[frame->number] != SEGMENT_IDLE)
        world.is_right = false;
      else
        world.segments[frame->number] = SEGMENT_NONE;
      break;
    case AFORK_CALL_FRAME_RELEASE:
      if (frame->number >= G_N_ELEMENTS (world.answered)
          || world.answered[frame->number] != SEGMENT_IN_USE)
        world.is_right = false;
      else
        world.answered[frame->number] = SEGMENT_IDLE;
      break;
    default:
      frame->code = (int32_t) step_take_number (step);
      for (unsigned i = 0; i < G_N_ELEMENTS (frame->string); i++)
        frame->string[i] = script_words[step_take (step) % N_WORDS];
      if (world.n_value_fds > 0 || world.n_blobs > 0)
        world.is_right = false;
      world.n_right++;
      break;
    }
  put (frame, NULL, NULL);
}

void
put_frame (Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_CALL_FRAME_RESULT, AFORK_CALL_FRAME_PROGRESS, AFORK_CALL_FRAME_EVENT,
    AFORK_CALL_FRAME_BEGUN, AFORK_CALL_FRAME_STARTED, AFORK_CALL_FRAME_FAILED,
    AFORK_CALL_FRAME_BLOB, AFORK_CALL_FRAME_FDS, AFORK_CALL_FRAME_SEGMENT,
    AFORK_CALL_FRAME_SEGMENT_END, AFORK_CALL_FRAME_RELEASE, AFORK_CALL_FRAME_CALL,
    AFORK_CALL_FRAME_SETUP, AFORK_CALL_FRAME_CANCEL,
  };
  AForkCallFrame frame = { .kind = kinds[step_take (step) % sizeof kinds] };
  unsigned flags = step_take (step);
  unsigned fds = step_take (step);
  unsigned n_fds = fds < 0x80 ? fds % 4 : fds < 0xf0 ? fds % 16 : 16 * (fds & 0xf);
  bool has_number = frame.kind != AFORK_CALL_FRAME_STARTED && frame.kind != AFORK_CALL_FRAME_EVENT
    && frame.kind != AFORK_CALL_FRAME_FDS && frame.kind != AFORK_CALL_FRAME_BLOB;
  bool has_fds = frame.kind == AFORK_CALL_FRAME_RESULT || frame.kind == AFORK_CALL_FRAME_CALL
    || frame.kind == AFORK_CALL_FRAME_FDS;

  frame.number = step_take_number (step);
  if (!has_number && frame.number < 0x80)
    frame.number = 0;
  if (!has_number && frame.number != 0)
    world.is_right = false;

  if (frame.kind == AFORK_CALL_FRAME_BLOB && flags < 0x80)
    frame.flags = flags % 2 > 0 ? AFORK_CALL_FRAME_MORE : 0;
  else if (flags >= 0x80)
    frame.flags = (uint8_t) flags;
  if (flags >= 0x80)
    world.is_right = false;

  /* Sometimes fewer than it names. */
  if (!has_fds && fds < 0xf0)
    n_fds = 0;
  frame.n_fds = (uint16_t) n_fds;
  if (n_fds > 0 && (!has_fds || fds >= 0xf8))
    world.is_right = false;
  for (unsigned i = 0; i < n_fds && fds < 0xf8; i++)
    put_sample (SAMPLE_PIPE + i % 2);
  world.n_value_fds += n_fds;

  if (frame.kind == AFORK_CALL_FRAME_BLOB)
    put_blob (&frame, step);
  else if (frame.kind == AFORK_CALL_FRAME_SEGMENT)
    put_segment (&frame, step);
  else if (carries_value (frame.kind))
    put_value (&frame, n_fds, step);
  else
    put_small (&frame, step);
}
