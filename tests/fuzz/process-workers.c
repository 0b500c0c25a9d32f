/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The other ends of the sockets of calls: workers that answer correctly or incorrectly. */

#include <string.h>

#include <afork/wire/afork-call-frame.h>

#include "process-target.h"

enum { MAX_PUT_CALL = 64 * 1024 };

static const char * const types[] = { "u", "s", "v", "(h)", "au", "(((", "", "*" };

bool
take_call_frame (Link   *link,
                 size_t *start)
{
  AForkCallFrame frame;
  const char *why;
  size_t size;

  switch (afork_call_frame_parse (link->input + *start, link->n_input - *start, &frame, &size,
                                  &why))
    {
    case AFORK_CALL_FRAME_TRUNCATED:
      return false;
    case AFORK_CALL_FRAME_INVALID:
      die ("the library sends a call that is nonsense: %s", why);
    case AFORK_CALL_FRAME_OK:
    default:
      break;
    }

  if (frame.kind >= AFORK_CALL_FRAME_STARTED && frame.kind < AFORK_CALL_FRAME_FDS)
    die ("the library sends %s", afork_call_frame_kind_name (frame.kind));
  if ((frame.kind == AFORK_CALL_FRAME_SETUP) == link->has_setup)
    die ("the library sends %s %s SETUP", afork_call_frame_kind_name (frame.kind),
         link->has_setup ? "after" : "before");

  link->has_setup = true;
  for (unsigned i = 0; i < frame.n_fds; i++)
    close (take_fd (link));
  if (frame.kind == AFORK_CALL_FRAME_CALL && link->n_calls < MAX_REQUESTS)
    link->calls[link->n_calls++] = frame.number;
  *start += size;
  return true;
}

static void
put_frame (Link           *link,
           AForkCallFrame  frame)
{
  static const uint8_t zeros[8];
  static uint8_t head[8 * 1024];
  size_t size;

  if (frame.type == NULL)
    frame.type = "";
  size = afork_call_frame_head_size (&frame);
  if (size == 0 || size > sizeof head || link->outbox.n_bytes > MAX_PUT_CALL)
    return;

  memset (head, 0, size);
  afork_call_frame_write (&frame, head);
  outbox_add_bytes (&link->outbox, head, size);
  outbox_add_bytes (&link->outbox, frame.data, frame.size);
  outbox_add_bytes (&link->outbox, zeros, afork_call_frame_padding (&frame));
}

/* Does what a worker would do now: begins, and answers each call with a number. */
void
serve_calls (Link *link)
{
  static const uint32_t number = GUINT32_TO_LE (7);

  if (!link->has_setup)
    return;

  if (!link->has_started)
    put_frame (link, (AForkCallFrame) { .kind = AFORK_CALL_FRAME_STARTED });
  link->has_started = true;
  for (size_t i = 0; i < link->n_calls; i++)
    {
      put_frame (link, (AForkCallFrame) { .kind = AFORK_CALL_FRAME_BEGUN,
                                          .number = link->calls[i] });
      put_frame (link, (AForkCallFrame) { .kind = AFORK_CALL_FRAME_RESULT,
                                          .number = link->calls[i], .type = "u",
                                          .data = (const uint8_t *) &number,
                                          .size = sizeof number });
    }
  link->n_calls = 0;
}

/* Chooses a call that waits for its answer, or any number. */
static uint32_t
choose_call (Link     *link,
             unsigned  choice)
{
  if (choice < 0xc0 && link->n_calls > 0)
    return link->calls[choice % link->n_calls];

  return choice % 16;
}

void
answer_call (Link *link,
             Step *step)
{
  static const uint8_t kinds[] = {
    AFORK_CALL_FRAME_STARTED, AFORK_CALL_FRAME_BEGUN, AFORK_CALL_FRAME_RESULT,
    AFORK_CALL_FRAME_FAILED, AFORK_CALL_FRAME_PROGRESS, AFORK_CALL_FRAME_EVENT,
    AFORK_CALL_FRAME_RETIRE, AFORK_CALL_FRAME_BLOB, AFORK_CALL_FRAME_FDS,
    AFORK_CALL_FRAME_RELEASE, AFORK_CALL_FRAME_SEGMENT_END, AFORK_CALL_FRAME_CANCEL,
    AFORK_CALL_FRAME_CALL
  };
  AForkCallFrame frame = { .kind = kinds[step_take (step) % sizeof kinds] };
  const unsigned choice = step_take (step);
  const uint32_t number = step_take_number (step);
  const bool has_value = frame.kind == AFORK_CALL_FRAME_RESULT
    || frame.kind == AFORK_CALL_FRAME_PROGRESS || frame.kind == AFORK_CALL_FRAME_EVENT
    || frame.kind == AFORK_CALL_FRAME_CALL;

  if (frame.kind != AFORK_CALL_FRAME_STARTED && frame.kind != AFORK_CALL_FRAME_EVENT
      && frame.kind != AFORK_CALL_FRAME_RETIRE && frame.kind != AFORK_CALL_FRAME_FDS
      && frame.kind != AFORK_CALL_FRAME_BLOB)
    frame.number = number < 0x80 ? choose_call (link, choice) : number;
  if (frame.kind == AFORK_CALL_FRAME_FAILED)
    {
      frame.code = (int32_t) number;
      for (unsigned i = 0; i < 2; i++)
        frame.string[i] = script_words[step_take (step) % 7];
    }
  if (has_value)
    frame.type = choice < 0x80 ? "u" : types[choice % G_N_ELEMENTS (types)];
  if (has_value || frame.kind == AFORK_CALL_FRAME_BLOB)
    {
      frame.data = choice < 0x80 ? (const uint8_t *) "1234" : step->args;
      frame.size = choice < 0x80 ? 4 : step->n_args;
    }
  if (frame.kind == AFORK_CALL_FRAME_FDS
      || (frame.kind == AFORK_CALL_FRAME_RESULT && choice % 8 == 7))
    {
      frame.n_fds = 1;
      outbox_add_fd (&link->outbox, sample);
    }
  put_frame (link, frame);
}
