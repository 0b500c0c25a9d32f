/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture-end.h"

/* The bytes of a string literal, without the NUL that the compiler adds. */
#define BYTES(literal) (const guchar *) literal, sizeof literal - 1

#define PNG_START "\211PNG\r\n\032\n" "\0\0\0\004" "IHDR" "sizecrc!"
#define PNG_CRC   "\256B`\202"
#define PNG_END   "\0\0\0\0" "IEND" PNG_CRC

/* The end of the small picture in an Exif block is not the end of the picture. */
#define JPEG_START "\377\330" "\377\341\0\010" "Ex\377\331if" "\377\332\0\004" "ab"
#define JPEG_DATA  "pixels\377\0pixels\377\320pixels\377\377\304\0\003c" "pixels"
#define JPEG_END   "\377\331"

/* The result is the same, however the bytes are divided. */
static gboolean
is_missing (const guchar *bytes,
            gsize         size)
{
  gboolean missing = FALSE;

  for (gsize step = 1; step <= size + 1; step++)
    {
      PictureEnd end;

      picture_end_init (&end);
      for (gsize i = 0; i < size; i += step)
        picture_end_feed (&end, bytes + i, MIN (step, size - i));

      if (step == 1)
        missing = picture_end_is_missing (&end);
      g_assert_cmpint (missing, ==, picture_end_is_missing (&end));
    }

  return missing;
}

static void
test_whole (void)
{
  g_assert_false (is_missing (BYTES (PNG_START PNG_END)));
  g_assert_false (is_missing (BYTES (PNG_START PNG_END "and more")));
  g_assert_false (is_missing (BYTES (JPEG_START JPEG_DATA JPEG_END)));
  g_assert_false (is_missing (BYTES (JPEG_START JPEG_DATA JPEG_END "and more")));
}

static void
test_cut_short (void)
{
  const guchar png[] = PNG_START PNG_END;
  const guchar jpeg[] = JPEG_START JPEG_DATA JPEG_END;

  for (gsize size = 2; size < sizeof png - sizeof PNG_CRC; size++)
    g_assert_true (is_missing (png, size));
  for (gsize size = 2; size < sizeof jpeg - 1; size++)
    g_assert_true (is_missing (jpeg, size));
}

static void
test_other_kinds (void)
{
  g_assert_false (is_missing (BYTES ("")));
  g_assert_false (is_missing (BYTES ("G")));
  g_assert_false (is_missing (BYTES ("GIF89a")));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/picture-end/whole", test_whole);
  g_test_add_func ("/picture-end/cut-short", test_cut_short);
  g_test_add_func ("/picture-end/other-kinds", test_other_kinds);

  return g_test_run ();
}
