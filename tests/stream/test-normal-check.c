/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The check of serialized values gives the same result as GLib's, for right values and wrong
 * ones. */

#include <string.h>

#include "afork/stream/normal-check.h"

/* Random values. */

static char *
random_type (GRand *rand,
             int    depth)
{
  static const char basic[] = "ybnqiuxthdsogv";
  g_autofree char *inner = NULL;
  g_autoptr(GString) tuple = NULL;
  int kind = g_rand_int_range (rand, 0, 10);

  if (depth == 0 || kind < 4)
    return g_strndup (basic + g_rand_int_range (rand, 0, sizeof basic - 1), 1);
  if (kind == 4)
    {
      inner = random_type (rand, depth - 1);
      return g_strdup_printf ("m%s", inner);
    }
  if (kind < 7)
    {
      inner = random_type (rand, depth - 1);
      return g_strdup_printf ("a%s", inner);
    }
  if (kind == 7)
    {
      inner = random_type (rand, depth - 1);
      return g_strdup_printf ("a{%c%s}", basic[g_rand_int_range (rand, 0, 13)], inner);
    }

  tuple = g_string_new ("(");
  for (int n = g_rand_int_range (rand, 0, 4); n > 0; n--)
    {
      g_autofree char *member = random_type (rand, depth - 1);

      g_string_append (tuple, member);
    }
  g_string_append_c (tuple, ')');
  return g_string_free (g_steal_pointer (&tuple), FALSE);
}

static GVariant *random_value (GRand              *rand,
                               const GVariantType *type,
                               int                 depth);

static GVariant *
random_container (GRand              *rand,
                  const GVariantType *type,
                  int                 depth)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, type);
  if (g_variant_type_is_array (type) || g_variant_type_is_maybe (type))
    for (int n = g_rand_int_range (rand, 0, g_variant_type_is_maybe (type) ? 2 : 6); n > 0; n--)
      g_variant_builder_add_value (&builder, random_value (rand, g_variant_type_element (type),
                                                           depth));
  else
    for (const GVariantType *member = g_variant_type_first (type); member != NULL;
         member = g_variant_type_next (member))
      g_variant_builder_add_value (&builder, random_value (rand, member, depth));
  return g_variant_builder_end (&builder);
}

static GVariant *
random_text (GRand *rand,
             char   kind)
{
  static const char *const strings[] = { "", "a", "some text", "ä€𝄞", "/" };
  static const char *const paths[] = { "/", "/a", "/org/example_1/B", "/0" };
  static const char *const signatures[] = { "", "y", "a{sv}", "(ii)as", "a(sog)ay" };

  if (kind == 's')
    return g_variant_new_string (strings[g_rand_int_range (rand, 0, G_N_ELEMENTS (strings))]);
  if (kind == 'o')
    return g_variant_new_object_path (paths[g_rand_int_range (rand, 0, G_N_ELEMENTS (paths))]);
  return g_variant_new_signature (signatures[g_rand_int_range (rand, 0,
                                                               G_N_ELEMENTS (signatures))]);
}

static GVariant *
random_value (GRand              *rand,
              const GVariantType *type,
              int                 depth)
{
  const char kind = *g_variant_type_peek_string (type);
  g_autofree char *inner = NULL;
  gpointer bytes;
  guint64 number;

  switch (kind)
    {
    case 'a':
    case 'm':
    case '(':
    case '{':
      return random_container (rand, type, depth);
    case 's':
    case 'o':
    case 'g':
      return random_text (rand, kind);
    case 'v':
      inner = random_type (rand, MAX (depth - 1, 0));
      return g_variant_new_variant (random_value (rand, G_VARIANT_TYPE (inner), depth - 1));
    case 'b':
      return g_variant_new_boolean (g_rand_boolean (rand));
    default:
      number = (guint64) g_rand_int (rand) << 32 | g_rand_int (rand);
      bytes = g_memdup2 (&number, sizeof number);
      return g_variant_new_from_data (type, bytes,
                                      kind == 'y' ? 1 : strchr ("nq", kind) != NULL ? 2
                                      : strchr ("iuh", kind) != NULL ? 4 : 8,
                                      TRUE, g_free, bytes);
    }
}

/* Comparing. */

static gboolean
glib_says (const char    *type,
           gconstpointer  data,
           gsize          size)
{
  /* GLib 2.74 itself reads a byte beyond the end of some values that are not in normal form. */
  g_autofree char *copy = g_malloc0 (size + 1);
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GVariant) value = NULL;

  memcpy (copy, data, size);
  bytes = g_bytes_new_static (copy, size);
  value = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  return g_variant_is_normal_form (value);
}

static gboolean
compare (AForkNormalCheck *check,
         const char       *type,
         gconstpointer     data,
         gsize             size)
{
  /* Sanitizers and valgrind see reads beyond the end. */
  g_autofree guint8 *copy = g_memdup2 (data, size);
  AForkNormalCheckResult result = _afork_normal_check_run (check, type, copy, size);
  gboolean expected = glib_says (type, data, size);

  if ((result == AFORK_NORMAL_CHECK_NORMAL) != expected)
    {
      g_autoptr(GString) text = g_string_new (NULL);

      for (gsize i = 0; i < size; i++)
        g_string_append_printf (text, "%02x ", ((const guint8 *) data)[i]);
      g_test_message ("%s: %s", type, text->str);
    }
  g_assert_cmpint (result == AFORK_NORMAL_CHECK_NORMAL, ==, expected);
  return expected;
}

static void
mutate (GRand  *rand,
        guint8 *bytes,
        gsize  *size)
{
  static const guint8 usual[] = { 0, 1, 2, 3, 4, 7, 8, 0xff, '(', ')', 'a', 's', 'v', '/' };
  gsize at;

  if (*size == 0)
    return;

  at = (gsize) g_rand_int_range (rand, 0, (gint32) *size);
  switch (g_rand_int_range (rand, 0, 5))
    {
    case 0:
      bytes[at] = (guint8) g_rand_int (rand);
      break;
    case 1:
      bytes[at] = usual[g_rand_int_range (rand, 0, sizeof usual)];
      break;
    case 2:
      bytes[at] = (guint8) (bytes[at] + (g_rand_boolean (rand) ? 1 : -1));
      break;
    case 3:
      memmove (bytes + at, bytes + at + 1, *size - at - 1);
      --*size;
      break;
    default:
      memmove (bytes + at + 1, bytes + at, *size - at);
      ++*size;
      break;
    }
}

static void
test_random (void)
{
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());
  guint n_right = 0, n_wrong = 0;

  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *type = random_type (rand, 4);
      g_autoptr(GVariant) value = NULL;
      g_autofree guint8 *bytes = NULL;
      gsize size;

      value = g_variant_ref_sink (random_value (rand, G_VARIANT_TYPE (type), 3));
      size = g_variant_get_size (value);
      bytes = g_malloc0 (size + 16);
      g_variant_store (value, bytes);
      g_assert_true (compare (check, type, bytes, size));

      for (guint n = 0; n < 16; n++)
        {
          mutate (rand, bytes, &size);
          if (compare (check, type, bytes, size))
            n_right++;
          else
            n_wrong++;
        }
    }

  g_test_message ("%u changed values were right, %u wrong", n_right, n_wrong);
  g_assert_cmpuint (n_right, >, 0);
  g_assert_cmpuint (n_wrong, >, 0);
}

/* Values of up to three bytes of a few types: all values of one byte, and many others. */
static void
test_short (void)
{
  const guint32 strides[] = { 1, 1, 61, 16411 };
  static const char *const types[] = {
    "b", "s", "o", "g", "v", "()", "(b)", "(yb)", "(ny)", "(ay)", "(ayas)", "(sy)", "as", "aay",
    "av", "ab", "a()", "a(b)", "ms", "mb", "mms", "m()", "mv", "a{sb}", "a{yv}", "(nas)", "an",
  };
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (gsize size = 0; size <= 3; size++)
      for (guint32 number = 0; number < 1u << (8 * size); number += strides[size])
        {
          const guint32 bytes = GUINT32_TO_LE (number);

          compare (check, types[i], &bytes, size);
        }
}

/* The elements of an array end beyond it: nothing there is read. Sanitizers and valgrind see it. */
static void
test_beyond (void)
{
  static const guint8 array[] = { 0, 0xb7, 1 }, arrays[] = { 0, 1, 0xb7, 'i', 0, 0, 1 };
  static const char *const types[] = { "aav", "aax", "aaav", "aa(yx)", "av", "a(vy)", "a{sv}" };
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_assert_false (compare (check, types[i], array, sizeof array));
      g_assert_false (compare (check, types[i], arrays, sizeof arrays));
    }
}

/* Values with texts of SIZE bytes in all, the last ones empty, and framing offsets of OFFSET_SIZE
 * bytes: these are in normal form only if no shorter offsets would do. Returns whether it is. */
static gboolean
compare_framing (AForkNormalCheck *check,
                 const char       *type,
                 guint             n_texts,
                 guint             size,
                 guint             offset_size)
{
  const gboolean is_array = type[0] == 'a';
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  g_byte_array_set_size (bytes, size);
  memset (bytes->data, 'x', size);
  memset (bytes->data + size - n_texts, '\0', n_texts);
  for (guint i = 1; i < n_texts + is_array; i++)
    {
      /* The offsets of a tuple are in reverse order. */
      const guint n_after = is_array ? n_texts - i : i;
      const guint32 offset = GUINT32_TO_LE (size - n_after);

      g_byte_array_append (bytes, (const guint8 *) &offset, offset_size);
    }
  return compare (check, type, bytes->data, bytes->len);
}

static void
test_framing (void)
{
  static const struct
  {
    const char *type;
    guint       n_texts;
  } values[] = { { "as", 1 }, { "as", 2 }, { "as", 3 }, { "(ss)", 2 }, { "(sss)", 3 } };
  static const guint limits[] = { G_MAXUINT8, G_MAXUINT16 };
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    for (gsize limit = 0; limit < G_N_ELEMENTS (limits); limit++)
      {
        guint n_right = 0, n_wrong = 0;

        for (guint size = limits[limit] - 12; size <= limits[limit] + 2; size++)
          for (guint offset_size = 1; offset_size <= 4; offset_size *= 2)
            if (compare_framing (check, values[i].type, values[i].n_texts, size, offset_size))
              n_right++;
            else
              n_wrong++;
        g_assert_cmpuint (n_right, >, 0);
        g_assert_cmpuint (n_wrong, >, 0);
      }
}

/* Values that are nested as deeply as GLib reads them, and a little less or more. */
static void
test_deep (void)
{
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();

  for (guint n = 120; n < 132; n++)
    {
      g_autoptr(GByteArray) variants = g_byte_array_new ();
      g_autoptr(GString) type = g_string_new (NULL);
      guint zero = 0;

      g_byte_array_append (variants, (guint8 *) "\1\0y", 3);
      for (guint i = 1; i < n; i++)
        g_byte_array_append (variants, (guint8 *) "\0v", 2);
      compare (check, "v", variants->data, variants->len);
      compare (check, "(v)", variants->data, variants->len);
      compare (check, "mv", (g_byte_array_append (variants, (guint8 *) "\0", 1)->data),
               variants->len);

      for (guint i = 0; i < n; i++)
        g_string_append_c (type, 'a');
      g_string_append_c (type, 'y');
      if (g_variant_type_string_is_valid (type->str))
        compare (check, type->str, &zero, 0);
      /* GLib accepts an empty array of 128 levels in a variant, although it is nested too
       * deeply. */
      for (const char *letters = "am"; n < 128 && *letters != '\0'; letters++)
        {
          g_autoptr(GByteArray) inner = g_byte_array_new ();

          memset (type->str, *letters, n);
          g_byte_array_append (inner, (guint8 *) "\0", 1);
          g_byte_array_append (inner, (guint8 *) type->str, (guint) type->len);
          compare (check, "v", inner->data, inner->len);
        }
    }
}

/* Long text is checked in parts, wherever it is cut. */
static void
test_text (void)
{
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();
  const gsize size = 100 * 1000;
  g_autofree char *bytes = g_malloc (size);

  for (gsize shift = 0; shift < 3; shift++)
    {
      memset (bytes, 'x', shift);
      for (gsize i = shift; i + 3 <= size; i += 3)
        memcpy (bytes + i, "€", 3);
      memset (bytes + shift + (size - shift) / 3 * 3, 0, (size - shift) % 3);
      for (gsize end = size - 4; end <= size; end++)
        compare (check, "s", bytes, end);
      for (gsize at = 16 * 1024 - 8; at < 16 * 1024 + 8; at++)
        {
          const char old = bytes[at];

          bytes[size - 1] = '\0';
          bytes[at] = '\0';
          g_assert_false (compare (check, "s", bytes, size));
          bytes[at] = '\x80';
          compare (check, "s", bytes, size);
          bytes[at] = old;
        }
    }

  for (gsize i = 0; i < size; i++)
    bytes[i] = i % 3 == 0 ? '/' : 'a';
  bytes[size - 1] = '\0';
  g_assert_true (compare (check, "o", bytes, size));
  g_assert_false (compare (check, "o", bytes, size - 1));
  bytes[size - 2] = '/';
  g_assert_false (compare (check, "o", bytes, size));

  for (gsize i = 0; i < size; i++)
    bytes[i] = "(ii)a{sv}"[i % 9];
  bytes[size / 9 * 9] = '\0';
  g_assert_true (compare (check, "g", bytes, size / 9 * 9 + 1));
  bytes[size / 9 * 9 - 1] = '\0';
  g_assert_false (compare (check, "g", bytes, size / 9 * 9));
  bytes[20000 / 9 * 9] = 'm';
  g_assert_false (compare (check, "g", bytes, size / 9 * 9));
}

/* The types of values inside values are limited. */
static void
check_inner (AForkNormalCheck       *check,
             gsize                   length,
             gsize                   depth,
             AForkNormalCheckResult  expected)
{
  g_autofree char *type = g_malloc0 (length + 1);
  g_autofree char *bytes = NULL;
  gsize n_bytes = length - 2 * depth;

  memset (type, '(', depth);
  memset (type + depth, 'y', n_bytes);
  memset (type + depth + n_bytes, ')', depth);
  g_assert_cmpint (_afork_type_is_simple (type), ==, length * (depth + 1) <= 256 * 1024);

  bytes = g_malloc0 (n_bytes + 1 + length);
  memcpy (bytes + n_bytes + 1, type, length);
  g_assert_cmpint (_afork_normal_check_run (check, "v", bytes, n_bytes + 1 + length), ==, expected);
}

static void
test_complex (void)
{
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();

  check_inner (check, 65534, 1, AFORK_NORMAL_CHECK_NORMAL);
  check_inner (check, 65535, 1, AFORK_NORMAL_CHECK_TOO_COMPLEX);
  check_inner (check, 65534, 3, AFORK_NORMAL_CHECK_NORMAL);
  check_inner (check, 65534, 4, AFORK_NORMAL_CHECK_TOO_COMPLEX);
  check_inner (check, 2048, 120, AFORK_NORMAL_CHECK_NORMAL);
  check_inner (check, 4096, 120, AFORK_NORMAL_CHECK_TOO_COMPLEX);

  /* Siblings do not count as levels. */
  {
    g_autoptr(GString) type = g_string_new ("(");

    for (guint i = 0; i < 10000; i++)
      g_string_append (type, "a(s)");
    g_string_append_c (type, ')');
    g_assert_true (_afork_type_is_simple (type->str));
  }
}

/* Large values are checked in many steps, none of which takes long. */
static void
test_steps (void)
{
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();
  g_autoptr(GVariant) value = NULL;
  AForkNormalCheckResult result;
  GVariantBuilder builder;
  guint n_steps = 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sv}"));
  for (guint i = 0; i < 50000; i++)
    g_variant_builder_add (&builder, "{sv}", "key", g_variant_new ("(si)", "text", i));
  value = g_variant_ref_sink (g_variant_builder_end (&builder));

  _afork_normal_check_begin (check, "a{sv}", g_variant_get_data (value),
                             g_variant_get_size (value));
  do
    {
      result = _afork_normal_check_go_on (check);
      n_steps++;
    }
  while (result == AFORK_NORMAL_CHECK_UNFINISHED);
  g_assert_cmpint (result, ==, AFORK_NORMAL_CHECK_NORMAL);
  g_assert_cmpuint (n_steps, >=, 50);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/normal-check/random", test_random);
  g_test_add_func ("/normal-check/short", test_short);
  g_test_add_func ("/normal-check/beyond", test_beyond);
  g_test_add_func ("/normal-check/framing", test_framing);
  g_test_add_func ("/normal-check/deep", test_deep);
  g_test_add_func ("/normal-check/text", test_text);
  g_test_add_func ("/normal-check/complex", test_complex);
  g_test_add_func ("/normal-check/steps", test_steps);

  return g_test_run ();
}
