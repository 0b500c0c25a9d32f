/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Parses any bytes as a sequence of frames between a relay and an agent. A frame must be within
 * bounds, and must have the same bytes when it is written again. */

#include <stdlib.h>
#include <string.h>

#include <afork/wire/afork-mux-frame.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (bool condition)
{
  if (!condition)
    abort ();
}

static void
check_frame (const AForkMuxFrame *frame,
             const uint8_t       *bytes,
             size_t               size)
{
  uint8_t written[AFORK_MUX_HEADER_SIZE + AFORK_MUX_MAX_PAYLOAD];

  check (afork_mux_kind_name (frame->kind) != NULL);
  check (frame->n_bytes <= AFORK_MUX_MAX_PAYLOAD);
  check ((frame->kind == AFORK_MUX_DATA) == (frame->n_bytes > 0));
  for (int i = 0; i < 2; i++)
    check (frame->string[i] == NULL || strlen (frame->string[i]) <= AFORK_MUX_MAX_STRING);

  check (afork_mux_frame_size (frame) == size);
  afork_mux_frame_write (frame, written);
  check (memcmp (written, bytes, size) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  AForkMuxFrame frame;
  const char *why;
  size_t size;

  for (;;)
    switch (afork_mux_frame_parse (bytes, n_bytes, &frame, &size, &why))
      {
      case AFORK_MUX_OK:
        check (why == NULL);
        check (size >= AFORK_MUX_HEADER_SIZE && size <= n_bytes);
        check_frame (&frame, bytes, size);
        bytes += size;
        n_bytes -= size;
        break;

      case AFORK_MUX_TRUNCATED:
        check (why == NULL);
        check (size > n_bytes);
        check (size <= AFORK_MUX_HEADER_SIZE + AFORK_MUX_MAX_PAYLOAD);
        return 0;

      default:
        check (why != NULL && *why != '\0');
        return 0;
      }
}
