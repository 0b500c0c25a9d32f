/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Functions that are named by the object which has them, and their offset in it. The names and
 * offsets that a process gets may be those of another program, or wrong. */

#include "config.h"

#include <string.h>

#include <glib.h>

#include "afork/server/objects.h"

static int data = 1;

static void
function (void)
{
  data++;
}

/* How the function is named. This must work for the tests below. */
static void
describe (char      id[AFORK_OBJECT_ID_SIZE],
          guint64  *offset)
{
  g_assert_true (afork_object_describe ((const void *) function, id, offset));
  g_assert_cmpuint (strlen (id), >, 0);
  g_assert_true (afork_object_find (id, *offset) == (void *) function);
}

static void
test_there_and_back (void)
{
  char id[AFORK_OBJECT_ID_SIZE];
  guint64 offset;

  describe (id, &offset);
  g_assert_cmpuint (strspn (id, "0123456789abcdef"), ==, strlen (id));
}

/* Each library has its own name. */
static void
test_library (void)
{
  char own[AFORK_OBJECT_ID_SIZE], library[AFORK_OBJECT_ID_SIZE];
  guint64 own_offset, offset;

  describe (own, &own_offset);
  g_assert_true (afork_object_describe ((const void *) g_strdup, library, &offset));
  g_assert_cmpstr (library, !=, own);
  g_assert_true (afork_object_find (library, offset) == (void *) g_strdup);
}

static void
test_no_code (void)
{
  char id[AFORK_OBJECT_ID_SIZE];
  g_autofree char *memory = g_malloc (1);
  guint64 offset;

  g_assert_false (afork_object_describe (&data, id, &offset));
  g_assert_false (afork_object_describe (memory, id, &offset));
  g_assert_false (afork_object_describe (NULL, id, &offset));
}

/* The object is loaded, but has no code at that offset. */
static void
test_other_place (void)
{
  char id[AFORK_OBJECT_ID_SIZE];
  guint64 offset;

  describe (id, &offset);
  g_assert_null (afork_object_find (id, offset + ((char *) &data - (char *) function)));
  g_assert_null (afork_object_find (id, offset + G_MAXUINT32));
  g_assert_null (afork_object_find (id, G_MAXUINT64));
}

/* Another build of the same program has its functions at other offsets. */
static void
test_other_object (void)
{
  char id[AFORK_OBJECT_ID_SIZE], other[2 * AFORK_OBJECT_ID_SIZE];
  guint64 offset;

  describe (id, &offset);
  g_strlcpy (other, id, sizeof other);
  other[0] = id[0] == '0' ? '1' : '0';
  g_assert_null (afork_object_find (other, offset));
  g_assert_null (afork_object_find ("", offset));
  g_assert_null (afork_object_find ("nonsense", offset));

  g_strlcpy (other, id, sizeof other);
  g_strlcat (other, "00", sizeof other);
  g_assert_null (afork_object_find (other, offset));
  other[strlen (id) - 1] = '\0';
  g_assert_null (afork_object_find (other, offset));
  memset (other, '0', sizeof other - 1);
  other[sizeof other - 1] = '\0';
  g_assert_null (afork_object_find (other, offset));
}

/* Addresses as text, and text that is none. */
static void
test_text (void)
{
  static const char * const cases[][2] = {
    { "@", "@" }, { "@ab", "@ab" }, { "@+", "@+" }, { "@ab+1", "@ab+1" }, { "@ab+x y", "@ab+x y" },
    { "@+0 name", "name" }, { "@ab+1f a name", "a name" }, { "@ab+1f ", "" },
  };
  g_autofree char *long_id = g_strnfill (AFORK_OBJECT_ID_SIZE, 'a');
  g_autofree char *long_text = g_strconcat ("@", long_id, "+1 name", NULL);
  char id[AFORK_OBJECT_ID_SIZE];
  guint64 offset;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpstr (afork_address_parse (cases[i][0], id, &offset), ==, cases[i][1]);

  afork_address_parse ("@ab+1f a name", id, &offset);
  g_assert_cmpstr (id, ==, "ab");
  g_assert_cmpuint (offset, ==, 0x1f);
  g_assert_true (afork_address_parse (long_text, id, &offset) == long_text);
  g_assert_cmpstr (id, ==, "");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/objects/there-and-back", test_there_and_back);
  g_test_add_func ("/objects/library", test_library);
  g_test_add_func ("/objects/no-code", test_no_code);
  g_test_add_func ("/objects/other-place", test_other_place);
  g_test_add_func ("/objects/other-object", test_other_object);

  g_test_add_func ("/objects/text", test_text);

  return g_test_run ();
}
