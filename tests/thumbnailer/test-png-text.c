/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "png-text.h"

#include "auto-fd.h"

#include <gio/gio.h>
#include <sys/mman.h>

#define SIGNATURE "\211PNG\r\n\032\n"
#define HEADER    "\0\0\0\002" "IHDR" "ab" "crc!"
#define TEXT      "\0\0\0\007" "tEXt" "key\0abc" "crc!"
#define OTHER     "\0\0\0\011" "tEXt" "other\0def" "crc!"
#define PICTURE   "\0\0\0\001" "IDAT" "x" "crc!"

#define BYTES(literal) literal, sizeof literal - 1

static GHashTable *
read_bytes (const char *bytes,
            gsize       size)
{
  g_auto(AutoFd) fd = memfd_create ("png", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, bytes, size), ==, size);
  return png_text_read (fd);
}

static void
assert_refused (const char *bytes,
                gsize       size)
{
  g_autoptr(GHashTable) texts = read_bytes (bytes, size);

  g_assert_null (texts);
}

static void
test_texts (void)
{
  g_autoptr(GHashTable) texts = read_bytes (BYTES (SIGNATURE HEADER TEXT OTHER PICTURE));

  g_assert_cmpuint (g_hash_table_size (texts), ==, 2);
  g_assert_cmpstr (g_hash_table_lookup (texts, "key"), ==, "abc");
  g_assert_cmpstr (g_hash_table_lookup (texts, "other"), ==, "def");
}

/* Bytes after the picture are not read. */
static void
test_only_in_front (void)
{
  g_autoptr(GHashTable) texts = read_bytes (BYTES (SIGNATURE HEADER PICTURE TEXT));

  g_assert_cmpuint (g_hash_table_size (texts), ==, 0);
}

static void
test_cut_short (void)
{
  const char whole[] = SIGNATURE HEADER TEXT "\0\0\0\001" "IDAT";

  for (gsize size = 0; size < sizeof whole - 1; size++)
    assert_refused (whole, size);
}

static void
test_malformed (void)
{
  assert_refused (BYTES ("GIF89a" HEADER TEXT PICTURE));
  assert_refused (BYTES (SIGNATURE "\0\0\0\003" "tEXt" "key" "crc!" PICTURE));
  assert_refused (BYTES (SIGNATURE "\0\0\0\0" "tEXt" "crc!" PICTURE));
  assert_refused (BYTES (SIGNATURE "\377\377\377\377" "tEXt" "key\0abc" "crc!" PICTURE));
  assert_refused (BYTES (SIGNATURE "\377\377\377\377" "IHDR" "ab" "crc!" PICTURE));
}

/* At most this many are read. */
static void
test_too_much (void)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) BYTES (SIGNATURE));
  for (guint i = 0; i < 1000; i++)
    g_byte_array_append (bytes, (const guint8 *) BYTES (TEXT));
  g_byte_array_append (bytes, (const guint8 *) BYTES (PICTURE));
  assert_refused ((const char *) bytes->data, bytes->len);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/png-text/texts", test_texts);
  g_test_add_func ("/png-text/only-in-front", test_only_in_front);
  g_test_add_func ("/png-text/cut-short", test_cut_short);
  g_test_add_func ("/png-text/malformed", test_malformed);
  g_test_add_func ("/png-text/too-much", test_too_much);

  return g_test_run ();
}
