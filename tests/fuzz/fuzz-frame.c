/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Parses any bytes as a sequence of frames. A frame must be within bounds, and must have the same
 * bytes when it is written again. */

#include <stdlib.h>
#include <string.h>

#include <afork/wire/afork-frame.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (bool condition)
{
  if (!condition)
    abort ();
}

/* Reads STRINGS to their end, where no bytes may be left. */
static void
check_strings (AForkStrings strings)
{
  uint32_t n_strings = 0;
  uint32_t n_expected = strings.n_strings;
  const char *string;

  while ((string = afork_strings_next (&strings)) != NULL)
    {
      check (strlen (string) < AFORK_FRAME_MAX_PAYLOAD);
      n_strings++;
    }

  check (n_strings == n_expected);
  check (strings.n_bytes == 0);
}

static void
check_frame (const AForkFrame *frame,
             const uint8_t    *bytes,
             size_t            size)
{
  uint8_t *written;

  check (afork_frame_kind_name (frame->kind) != NULL);
  check (frame->n_fds <= AFORK_FRAME_MAX_FDS);
  check ((frame->flags & ~(AFORK_FRAME_MORE | AFORK_FRAME_STRING)) == 0);
  check (frame->n_bytes <= size);
  check_strings (frame->strings);

  check (afork_frame_size (frame) == size);
  written = malloc (size);
  check (written != NULL);
  afork_frame_write (frame, written);
  check (memcmp (written, bytes, size) == 0);
  free (written);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  AForkFrame frame;
  const char *why;
  size_t size;

  for (;;)
    switch (afork_frame_parse (bytes, n_bytes, &frame, &size, &why))
      {
      case AFORK_FRAME_OK:
        check (why == NULL);
        check (size >= AFORK_FRAME_HEADER_SIZE && size <= n_bytes);
        check_frame (&frame, bytes, size);
        bytes += size;
        n_bytes -= size;
        break;

      case AFORK_FRAME_TRUNCATED:
        check (why == NULL);
        check (size > n_bytes);
        check (size <= AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD);
        return 0;

      case AFORK_FRAME_INVALID:
        check (why != NULL && *why != '\0');
        return 0;
      }
}
