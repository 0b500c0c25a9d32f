/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Parses any bytes as a picture. Whether its end is missing must not depend on the pieces in which
 * it comes, and an end that was found must stay found. */

#include "picture-end.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (gboolean condition)
{
  if (!condition)
    abort ();
}

/* The first two bytes say what kind of picture it is, and whether that has an end to wait for. Each
 * piece is at the end of its block, so that a tool sees reads beyond it. */
static gboolean
feed_in_pieces (const uint8_t *bytes,
                size_t         n_bytes,
                size_t         piece_size)
{
  g_autofree guchar *block = g_malloc (piece_size);
  gboolean was_missing = FALSE;
  PictureEnd end;

  picture_end_init (&end);
  for (size_t i = 0; i < n_bytes; i += piece_size)
    {
      size_t size = MIN (piece_size, n_bytes - i);

      memcpy (block + piece_size - size, bytes + i, size);
      picture_end_feed (&end, block + piece_size - size, size);
      check (i < 2 || was_missing || !picture_end_is_missing (&end));
      was_missing = picture_end_is_missing (&end);
    }

  return picture_end_is_missing (&end);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  gboolean missing = feed_in_pieces (bytes, n_bytes, MAX (n_bytes, 1));

  check (feed_in_pieces (bytes, n_bytes, 1) == missing);
  check (feed_in_pieces (bytes, n_bytes, 2) == missing);
  check (feed_in_pieces (bytes, n_bytes, 7) == missing);

  return 0;
}
