/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "afork-call-outbox.h"

#include <string.h>

_Static_assert (sizeof (AForkCallOutboxHeader) == AFORK_CALL_OUTBOX_HEADER_SIZE,
                "the header has its size on every machine");

/* The size of a frame is a multiple of this. */
enum { FRAME_ALIGNMENT = 8 };

bool
afork_call_outbox_parse (const AForkCallOutboxHeader  *header,
                         size_t                        size,
                         uint64_t                      n_received,
                         AForkCallOutboxRest          *rest,
                         const char                  **why)
{
  uint64_t n_there;

  memset (rest, 0, sizeof *rest);
  if (header->in_use == 0)
    return true;

  rest->in_use = true;
  rest->begun = header->begun;
  if (header->size == 0)
    return true;

  if (header->size > size - AFORK_CALL_OUTBOX_HEADER_SIZE)
    {
      *why = "its outbox has more bytes than it has room for";
      return false;
    }
  if ((header->base + header->size) % FRAME_ALIGNMENT != 0)
    {
      *why = "its outbox does not end with a frame";
      return false;
    }
  if (header->base > n_received)
    {
      *why = "its outbox begins after the bytes that were sent";
      return false;
    }

  n_there = n_received - header->base;
  if (n_there >= header->size)
    return true;

  rest->offset = AFORK_CALL_OUTBOX_HEADER_SIZE + (size_t) n_there;
  rest->size = header->size - (size_t) n_there;
  return true;
}
