/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Values of languages: random ones are written as GLib writes them, and are read as they were.
 * Other values are read as GLib reads them. */

#include <string.h>

#include "afork/stream/normal-check.h"
#include "afork/values/reader.h"
#include "afork/values/writer.h"

/* The model: a value of a language, with its own conversion to a GVariant. */

typedef enum
{
  NOTHING,
  BOOLEAN,
  INTEGER,
  LARGE_INTEGER,                /* from 2^63 */
  DOUBLE,
  STRING,
  BYTES,
  VARIANT,
  LIST,
  TUPLE,
  DICTIONARY,
  N_KINDS,
} Kind;

typedef struct
{
  Kind       kind;
  guint64    bits;              /* of a boolean or number */
  GString   *text;              /* of a string or bytes */
  GVariant  *variant;
  GPtrArray *items;             /* of Model */
  GPtrArray *keys;              /* of a dictionary: of strings */
} Model;

static void
model_free (Model *self)
{
  g_clear_pointer (&self->variant, g_variant_unref);
  g_clear_pointer (&self->items, g_ptr_array_unref);
  g_clear_pointer (&self->keys, g_ptr_array_unref);
  if (self->text != NULL)
    g_string_free (self->text, TRUE);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Model, model_free)

static Model *
model_new (Kind kind)
{
  Model *self = g_new0 (Model, 1);

  self->kind = kind;
  if (kind >= LIST)
    self->items = g_ptr_array_new_with_free_func ((GDestroyNotify) model_free);
  if (kind == DICTIONARY)
    self->keys = g_ptr_array_new_with_free_func (g_free);
  return self;
}

static GString *
random_text (GRand *rand)
{
  static const char *const parts[] = { "", "a", "text", "ä€𝄞", "\n", "0123456789abcdef" };
  GString *text = g_string_new (NULL);
  int n = g_rand_int_range (rand, 0, 4);

  /* Some are so long that framing offsets have two bytes. */
  if (g_rand_int_range (rand, 0, 40) == 0)
    n = g_rand_int_range (rand, 0, 100);
  while (n-- > 0)
    g_string_append (text, parts[g_rand_int_range (rand, 0, G_N_ELEMENTS (parts))]);
  return text;
}

static guint64
random_bits (GRand *rand)
{
  const guint64 bits = (guint64) g_rand_int (rand) << 32 | g_rand_int (rand);

  return bits >> g_rand_int_range (rand, 0, 64);
}

static GVariant *
random_variant (GRand *rand)
{
  static const char *const texts[] = {
    "1", "'a'", "<<1>>", "(1, 'a', [<2>])", "@a{sv} {}", "@ay []", "(byte 1, int16 2, 3.5)",
    "{'k': <@mv nothing>}", "just 'x'", "()", "objectpath '/a'", "@a(yx) []", "[(byte 1, int64 2)]",
  };

  return g_variant_parse (NULL, texts[g_rand_int_range (rand, 0, G_N_ELEMENTS (texts))],
                          NULL, NULL, NULL);
}

static Model *
random_model (GRand *rand,
              int    depth,
              Kind   kind)
{
  Model *self = model_new (kind);
  Kind only = N_KINDS;
  int n_items;

  switch (kind)
    {
    case BOOLEAN:
      self->bits = g_rand_boolean (rand);
      break;
    case INTEGER:
      self->bits = g_rand_boolean (rand) ? random_bits (rand) : -random_bits (rand);
      if (g_rand_boolean (rand))
        self->bits &= G_MAXINT64;
      break;
    case LARGE_INTEGER:
      self->bits = random_bits (rand) | G_GUINT64_CONSTANT (1) << 63;
      break;
    case DOUBLE:
      self->bits = random_bits (rand);
      break;
    case STRING:
    case BYTES:
      self->text = random_text (rand);
      if (kind == BYTES)
        for (gsize i = 0; i < self->text->len; i += 3)
          self->text->str[i] = (char) g_rand_int (rand);
      break;
    case VARIANT:
      self->variant = random_variant (rand);
      break;
    case LIST:
    case TUPLE:
    case DICTIONARY:
      /* Lists are often uniform, or are at first. */
      n_items = g_rand_int_range (rand, 0, 6);
      if (g_rand_int_range (rand, 0, 3) == 0)
        only = g_rand_int_range (rand, 0, LIST);
      for (int i = 0; i < n_items; i++)
        {
          int deepest = depth > 0 ? N_KINDS : LIST;

          if (only != N_KINDS && i == n_items - 1 && g_rand_int_range (rand, 0, 3) == 0)
            only = N_KINDS;
          g_ptr_array_add (self->items,
                           random_model (rand, depth - 1,
                                         only != N_KINDS ? only
                                         : (Kind) g_rand_int_range (rand, 0, deepest)));
          if (kind == DICTIONARY)
            {
              g_autoptr(GString) key = random_text (rand);

              g_string_append_printf (key, "%d", i);
              g_ptr_array_add (self->keys, g_strdup (key->str));
            }
        }
      break;
    default:
      break;
    }

  return self;
}

/* As the table in writer.h has it, by GLib's functions. */

static GVariant *model_to_variant (const Model *self,
                                   gboolean     is_whole);

static gboolean
has_only (const Model *self,
          Kind         kind)
{
  for (guint i = 0; i < self->items->len; i++)
    if (((const Model *) g_ptr_array_index (self->items, i))->kind != kind)
      return FALSE;

  return self->items->len > 0;
}

static GVariant *
list_to_variant (const Model *self)
{
  const char *type = has_only (self, INTEGER) ? "ax" : has_only (self, DOUBLE) ? "ad"
    : has_only (self, STRING) ? "as" : "av";
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (type));
  for (guint i = 0; i < self->items->len; i++)
    {
      GVariant *item = model_to_variant (g_ptr_array_index (self->items, i), FALSE);

      g_variant_builder_add_value (&builder, type[1] == 'v' ? g_variant_new_variant (item) : item);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
model_to_variant (const Model *self,
                  gboolean     is_whole)
{
  GVariantBuilder builder;
  double number;

  switch (self->kind)
    {
    case NOTHING:
      return is_whole ? g_variant_new_tuple (NULL, 0)
                      : g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL);
    case BOOLEAN:
      return g_variant_new_boolean (self->bits != 0);
    case INTEGER:
      return g_variant_new_int64 ((gint64) self->bits);
    case LARGE_INTEGER:
      return g_variant_new_uint64 (self->bits);
    case DOUBLE:
      memcpy (&number, &self->bits, sizeof number);
      return g_variant_new_double (number);
    case STRING:
      return g_variant_new_string (self->text->str);
    case BYTES:
      return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, self->text->str, self->text->len, 1);
    case VARIANT:
      return g_variant_new_variant (self->variant);
    case LIST:
      return list_to_variant (self);
    case TUPLE:
      if (is_whole && self->items->len == 0)
        return g_variant_new_maybe (NULL, g_variant_new_tuple (NULL, 0));
      g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
      for (guint i = 0; i < self->items->len; i++)
        g_variant_builder_add_value (&builder, model_to_variant (g_ptr_array_index (self->items, i),
                                                                 FALSE));
      return g_variant_builder_end (&builder);
    default:
      g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
      for (guint i = 0; i < self->items->len; i++)
        g_variant_builder_add (&builder, "{sv}", g_ptr_array_index (self->keys, i),
                               model_to_variant (g_ptr_array_index (self->items, i), FALSE));
      return g_variant_builder_end (&builder);
    }
}

static void
write_model (AForkValueWriter *writer,
             const Model      *self)
{
  AForkValueStatus status;
  double number;

  switch (self->kind)
    {
    case NOTHING:
      status = _afork_value_writer_add_nothing (writer);
      break;
    case BOOLEAN:
      status = _afork_value_writer_add_boolean (writer, self->bits != 0);
      break;
    case INTEGER:
      status = (self->bits & 1) && self->bits <= G_MAXINT64
        ? _afork_value_writer_add_uint64 (writer, self->bits)
        : _afork_value_writer_add_int64 (writer, (gint64) self->bits);
      break;
    case LARGE_INTEGER:
      status = _afork_value_writer_add_uint64 (writer, self->bits);
      break;
    case DOUBLE:
      memcpy (&number, &self->bits, sizeof number);
      status = _afork_value_writer_add_double (writer, number);
      break;
    case STRING:
      status = _afork_value_writer_add_string (writer, self->text->str, self->text->len);
      break;
    case BYTES:
      status = _afork_value_writer_add_bytes (writer, self->text->str, self->text->len);
      break;
    case VARIANT:
      status = _afork_value_writer_add_variant (writer, self->variant);
      break;
    default:
      status = self->kind == LIST ? _afork_value_writer_begin_list (writer)
        : self->kind == TUPLE ? _afork_value_writer_begin_tuple (writer)
        : _afork_value_writer_begin_dictionary (writer);
      for (guint i = 0; i < self->items->len; i++)
        {
          g_assert_cmpint (status, ==, AFORK_VALUE_WRITTEN);
          if (self->kind == DICTIONARY)
            {
              const char *key = g_ptr_array_index (self->keys, i);

              status = _afork_value_writer_add_key (writer, key, strlen (key));
              g_assert_cmpint (status, ==, AFORK_VALUE_WRITTEN);
            }
          write_model (writer, g_ptr_array_index (self->items, i));
        }
      status = _afork_value_writer_end (writer);
      break;
    }
  g_assert_cmpint (status, ==, AFORK_VALUE_WRITTEN);
}

static void
assert_model (const Model      *self,
              AForkValueReader *reader,
              const AForkValueEvent *event)
{
  AForkValueEvent inner;

  switch (self->kind)
    {
    case NOTHING:
      g_assert_cmpint (event->kind, ==, AFORK_VALUE_NOTHING);
      break;
    case BOOLEAN:
      g_assert_cmpint (event->kind, ==, AFORK_VALUE_BOOLEAN);
      g_assert_cmpint (event->boolean, ==, self->bits);
      break;
    case INTEGER:
      g_assert_cmpint (event->kind, ==, AFORK_VALUE_INT64);
      g_assert_cmpint (event->int64, ==, (gint64) self->bits);
      break;
    case LARGE_INTEGER:
      g_assert_cmpint (event->kind, ==, AFORK_VALUE_UINT64);
      g_assert_cmpuint (event->uint64, ==, self->bits);
      break;
    case DOUBLE:
      g_assert_cmpint (event->kind, ==, AFORK_VALUE_DOUBLE);
      g_assert_cmpmem (&event->number, 8, &self->bits, 8);
      break;
    case STRING:
    case BYTES:
      g_assert_cmpint (event->kind, ==,
                       self->kind == STRING ? AFORK_VALUE_STRING : AFORK_VALUE_BYTES);
      g_assert_cmpmem (event->bytes.data, event->bytes.size, self->text->str, self->text->len);
      break;
    case VARIANT:
      {
        g_autoptr(GVariant) variant = _afork_value_reader_dup_variant (reader);

        g_assert_cmpint (event->kind, ==, AFORK_VALUE_VARIANT);
        g_assert_cmpvariant (variant, self->variant);
      }
      break;
    default:
      g_assert_cmpint (event->kind, ==, self->kind == LIST ? AFORK_VALUE_LIST
                       : self->kind == TUPLE ? AFORK_VALUE_TUPLE : AFORK_VALUE_DICTIONARY);
      g_assert_cmpuint (event->n_items, ==, self->items->len);
      for (guint i = 0; i < self->items->len; i++)
        {
          _afork_value_reader_next (reader, &inner);
          if (self->kind == DICTIONARY)
            {
              g_assert_cmpint (inner.kind, ==, AFORK_VALUE_STRING);
              g_assert_cmpstr (inner.bytes.data, ==, g_ptr_array_index (self->keys, i));
              _afork_value_reader_next (reader, &inner);
            }
          assert_model (g_ptr_array_index (self->items, i), reader, &inner);
        }
      _afork_value_reader_next (reader, &inner);
      /* The empty tuple is m() if it is the whole value, which is read as a tuple. */
      g_assert_cmpint (inner.kind, ==, AFORK_VALUE_END);
      break;
    }
}

static GVariant *
write_whole (const Model *model)
{
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();

  write_model (writer, model);
  return _afork_value_writer_finish (writer);
}

/* VALUE is what GLib writes for MODEL. */
static void
assert_written (GVariant    *value,
                const Model *model)
{
  g_autoptr(GVariant) expected = g_variant_ref_sink (model_to_variant (model, TRUE));
  g_autoptr(GVariant) untrusted = NULL;
  g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();
  const gsize size = g_variant_get_size (expected);
  g_autofree guint8 *bytes = g_malloc0 (size + 8);
  g_autofree guint8 *expected_bytes = g_malloc0 (size + 8);

  g_assert_false (g_variant_is_floating (value));
  g_assert_cmpstr (g_variant_get_type_string (value), ==, g_variant_get_type_string (expected));
  g_assert_cmpuint (g_variant_get_size (value), ==, size);
  g_variant_store (value, bytes);
  g_variant_store (expected, expected_bytes);
  g_assert_cmpmem (bytes, size, expected_bytes, size);

  untrusted = g_variant_new_from_data (g_variant_get_type (value), bytes, size, FALSE, NULL, NULL);
  g_variant_ref_sink (untrusted);
  g_assert_true (g_variant_is_normal_form (untrusted));
  g_assert_cmpint (_afork_normal_check_run (check, g_variant_get_type_string (value), bytes, size),
                   ==, AFORK_NORMAL_CHECK_NORMAL);
}

static void
assert_read (GVariant    *value,
             const Model *model)
{
  g_autoptr(AForkValueReader) reader = _afork_value_reader_new (value);
  AForkValueEvent event;

  _afork_value_reader_next (reader, &event);
  assert_model (model, reader, &event);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (_afork_value_reader_next (reader, &event), ==, AFORK_VALUE_FINISHED);
}

static void
test_random (void)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());

  for (guint i = 0; i < 5000; i++)
    {
      g_autoptr(Model) model = random_model (rand, g_rand_int_range (rand, 0, 5),
                                             (Kind) g_rand_int_range (rand, 0, N_KINDS));
      g_autoptr(GVariant) value = write_whole (model);
      g_autoptr(GVariant) by_glib = g_variant_ref_sink (model_to_variant (model, TRUE));

      assert_written (value, model);
      assert_read (value, model);
      assert_read (by_glib, model);
    }
}

/* So many items that framing offsets have two and four bytes, in lists that are uniform or become
 * variants late, in tuples and in dictionaries. */
static void
test_large (void)
{
  static const struct { Kind kind; Kind item; guint n; gboolean is_mixed; } cases[] = {
    { LIST, INTEGER, 100, FALSE }, { LIST, INTEGER, 100, TRUE },
    { LIST, INTEGER, 20000, FALSE }, { LIST, INTEGER, 20000, TRUE },
    { LIST, DOUBLE, 20000, TRUE },
    { LIST, STRING, 100, FALSE }, { LIST, STRING, 100, TRUE },
    { LIST, STRING, 20000, FALSE }, { LIST, STRING, 20000, TRUE },
    { LIST, TUPLE, 20000, FALSE }, { LIST, NOTHING, 20000, FALSE },
    { TUPLE, STRING, 100, FALSE }, { TUPLE, INTEGER, 20000, TRUE }, { TUPLE, STRING, 20000, TRUE },
    { DICTIONARY, STRING, 100, TRUE }, { DICTIONARY, INTEGER, 20000, TRUE },
  };
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(Model) model = model_new (cases[i].kind);
      g_autoptr(GVariant) value = NULL;

      for (guint n = 0; n < cases[i].n; n++)
        {
          const gboolean is_last = n == cases[i].n - 1;

          g_ptr_array_add (model->items,
                           random_model (rand, 0, is_last && cases[i].is_mixed ? BOOLEAN
                                                                               : cases[i].item));
          if (cases[i].kind == DICTIONARY)
            g_ptr_array_add (model->keys, g_strdup_printf ("%u", n));
        }
      value = write_whole (model);
      assert_written (value, model);
      assert_read (value, model);
    }
}

/* Begins N containers, one inside another. */
static AForkValueStatus
nest (AForkValueWriter *writer,
      Kind              kind,
      guint             n)
{
  AForkValueStatus status = AFORK_VALUE_WRITTEN;

  for (guint i = 0; i < n && status == AFORK_VALUE_WRITTEN; i++)
    {
      if (kind == LIST)
        status = _afork_value_writer_begin_list (writer);
      else if (kind == TUPLE)
        status = _afork_value_writer_begin_tuple (writer);
      else
        status = _afork_value_writer_begin_dictionary (writer);
      if (kind == DICTIONARY && status == AFORK_VALUE_WRITTEN && i < n - 1)
        status = _afork_value_writer_add_key (writer, "k", 1);
    }
  return status;
}

/* The writer accepts as many levels as a message can have, and no more. */
static void
test_depth (void)
{
  /* A list adds two levels, and a dictionary three. */
  static const struct { Kind kind; guint most; guint n_left; } cases[] = {
    { LIST, 64, 0 }, { TUPLE, 128, 0 }, { DICTIONARY, 42, 2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();
      g_autoptr(AForkValueWriter) deeper = _afork_value_writer_new ();
      g_autoptr(AForkNormalCheck) check = _afork_normal_check_new ();
      g_autoptr(GVariant) value = NULL;
      const char *type;

      g_assert_cmpint (nest (writer, cases[i].kind, cases[i].most), ==, AFORK_VALUE_WRITTEN);
      for (guint n = 0; n < cases[i].most; n++)
        g_assert_cmpint (_afork_value_writer_end (writer), ==, AFORK_VALUE_WRITTEN);
      value = _afork_value_writer_finish (writer);
      type = g_variant_get_type_string (value);
      g_assert_true (g_variant_type_string_is_valid (type));
      g_assert_cmpint (_afork_normal_check_run (check, type, g_variant_get_data (value),
                                                g_variant_get_size (value)),
                       ==, AFORK_NORMAL_CHECK_NORMAL);
      g_assert_cmpint (_afork_value_check (type, g_variant_get_data (value),
                                           g_variant_get_size (value), cases[i].n_left),
                       ==, AFORK_VALUE_FINISHED);
      g_assert_cmpint (_afork_value_check (type, g_variant_get_data (value),
                                           g_variant_get_size (value), cases[i].n_left + 1),
                       ==, AFORK_VALUE_NESTED_TOO_DEEPLY);

      g_assert_cmpint (nest (deeper, cases[i].kind, cases[i].most + 1), ==, AFORK_VALUE_TOO_DEEP);
      /* The status stays. */
      g_assert_cmpint (_afork_value_writer_add_boolean (deeper, TRUE), ==, AFORK_VALUE_TOO_DEEP);
    }
}

/* A list that has few levels of nesting left may not become one of variants. */
static void
test_depth_spread (void)
{
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();

  g_assert_cmpint (nest (writer, TUPLE, 126), ==, AFORK_VALUE_WRITTEN);
  g_assert_cmpint (_afork_value_writer_begin_list (writer), ==, AFORK_VALUE_WRITTEN);
  g_assert_cmpint (_afork_value_writer_add_int64 (writer, 1), ==, AFORK_VALUE_WRITTEN);
  g_assert_cmpint (_afork_value_writer_add_boolean (writer, TRUE), ==, AFORK_VALUE_TOO_DEEP);
}

static void
test_depth_variant (void)
{
  g_autoptr(GVariant) deep = g_variant_ref_sink (g_variant_new_int32 (1));

  for (guint i = 0; i < 127; i++)
    {
      GVariant *deeper = g_variant_ref_sink (g_variant_new_variant (deep));

      g_variant_unref (deep);
      deep = deeper;
      for (guint outer = 0; outer < 3; outer++)
        {
          g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();

          g_assert_cmpint (nest (writer, TUPLE, outer), ==, AFORK_VALUE_WRITTEN);
          /* One for the variant itself, and one for the number. */
          g_assert_cmpint (_afork_value_writer_add_variant (writer, deep), ==,
                           outer + 1 + (i + 1) + 1 <= 128 ? AFORK_VALUE_WRITTEN
                                                          : AFORK_VALUE_TOO_DEEP);
        }
    }
}

/* Writes N booleans in DEPTH tuples. */
static AForkValueStatus
write_members (AForkValueWriter *writer,
               guint             depth,
               guint             n)
{
  AForkValueStatus status = nest (writer, TUPLE, depth);

  for (guint i = 0; i < n && status == AFORK_VALUE_WRITTEN; i++)
    status = _afork_value_writer_add_boolean (writer, TRUE);
  for (guint i = 0; i < depth && status == AFORK_VALUE_WRITTEN; i++)
    status = _afork_value_writer_end (writer);
  return status;
}

/* A tuple has no more items than the type of a message permits. */
static void
test_many_members (void)
{
  for (guint depth = 1; depth < 8; depth++)
    {
      const guint most = MIN (65534, 256 * 1024 / (depth + 1)) - 2 * depth;
      g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();
      g_autoptr(AForkValueWriter) longer = _afork_value_writer_new ();
      g_autoptr(GVariant) value = NULL;

      g_assert_cmpint (write_members (writer, depth, most), ==, AFORK_VALUE_WRITTEN);
      value = _afork_value_writer_finish (writer);
      g_assert_cmpint (_afork_value_check (g_variant_get_type_string (value),
                                           g_variant_get_data (value), g_variant_get_size (value),
                                           0),
                       ==, AFORK_VALUE_FINISHED);
      g_assert_cmpint (write_members (longer, depth, most + 1), ==, AFORK_VALUE_TOO_COMPLEX);
    }
}

/* More memory than there can be. Nothing is read from the bytes then. */
static void
test_no_memory (void)
{
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();

  g_assert_cmpint (_afork_value_writer_begin_list (writer), ==, AFORK_VALUE_WRITTEN);
  g_assert_cmpint (_afork_value_writer_add_bytes (writer, "", G_MAXSSIZE), ==,
                   AFORK_VALUE_NO_MEMORY);
  g_assert_cmpint (_afork_value_writer_add_int64 (writer, 1), ==, AFORK_VALUE_NO_MEMORY);
  g_assert_cmpint (_afork_value_writer_end (writer), ==, AFORK_VALUE_NO_MEMORY);
}

/* Numbers of a list are taken many at a time, or one at a time, or in turn. */
static void
test_numbers (void)
{
  static const char *const types[] = { "ax", "ad", "at", "ai", "a(x)", "(xx)" };
  const guint64 numbers[] = { 1, 2, 3, 4, 5, 6, 7 };

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      const gboolean is_list = i < 2;
      const gsize n_all = i == 3 ? 14 : i == 5 ? 2 : 7;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(AForkValueReader) reader = NULL;
      AForkValueEventKind kind = AFORK_VALUE_END;
      AForkValueEvent event;
      guint64 taken[8];

      value = g_variant_new_from_data ((const GVariantType *) types[i], numbers,
                                       i == 5 ? 16 : sizeof numbers, TRUE, NULL, NULL);
      g_variant_ref_sink (value);
      reader = _afork_value_reader_new (value);
      g_assert_cmpuint (_afork_value_reader_take_numbers (reader, taken, 8, &kind), ==, 0);
      _afork_value_reader_next (reader, &event);
      g_assert_cmpuint (event.n_items, ==, n_all);
      g_assert_cmpuint (_afork_value_reader_take_numbers (reader, taken, 2, &kind), ==,
                        is_list ? 2 : 0);
      if (!is_list)
        continue;

      g_assert_cmpint (kind, ==, i == 0 ? AFORK_VALUE_INT64 : AFORK_VALUE_DOUBLE);
      g_assert_cmpmem (taken, 16, numbers, 16);
      g_assert_cmpint (_afork_value_reader_next (reader, &event), ==, kind);
      g_assert_cmpmem (&event.int64, 8, &numbers[2], 8);
      g_assert_cmpuint (_afork_value_reader_take_numbers (reader, taken, 8, &kind), ==, 4);
      g_assert_cmpmem (taken, 32, &numbers[3], 32);
      g_assert_cmpuint (_afork_value_reader_take_numbers (reader, taken, 8, &kind), ==, 0);
      g_assert_cmpint (_afork_value_reader_next (reader, &event), ==, AFORK_VALUE_END);
      g_assert_cmpint (_afork_value_reader_next (reader, &event), ==, AFORK_VALUE_FINISHED);
      g_assert_cmpuint (_afork_value_reader_take_numbers (reader, taken, 8, &kind), ==, 0);
    }
}

/* A GVariant that is not in normal form is written as its normal form. */
static void
test_not_normal (void)
{
  const guint8 bytes[] = { 2 };
  g_autoptr(GVariant) wrong = NULL;
  g_autoptr(GVariant) normal = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) inner = NULL;
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();

  wrong = g_variant_new_from_data (G_VARIANT_TYPE_BOOLEAN, bytes, 1, FALSE, NULL, NULL);
  g_variant_ref_sink (wrong);
  normal = g_variant_get_normal_form (wrong);
  g_assert_cmpint (_afork_value_writer_add_variant (writer, wrong), ==, AFORK_VALUE_WRITTEN);
  value = _afork_value_writer_finish (writer);
  inner = g_variant_get_variant (value);
  g_assert_cmpvariant (inner, normal);
  g_assert_true (g_variant_is_normal_form (inner));
}

/* Reading what others have written. */

static char *
read_as_text (GVariant *value)
{
  static const char *const ends = ")";
  g_autoptr(AForkValueReader) reader = _afork_value_reader_new (value);
  g_autoptr(GString) text = g_string_new (NULL);
  AForkValueEvent event;

  while (_afork_value_reader_next (reader, &event) < AFORK_VALUE_FINISHED)
    switch (event.kind)
      {
      case AFORK_VALUE_NOTHING:
        g_string_append (text, "nothing ");
        break;
      case AFORK_VALUE_BOOLEAN:
        g_string_append (text, event.boolean ? "true " : "false ");
        break;
      case AFORK_VALUE_INT64:
        g_string_append_printf (text, "%" G_GINT64_FORMAT " ", event.int64);
        break;
      case AFORK_VALUE_UINT64:
        g_string_append_printf (text, "%" G_GUINT64_FORMAT "u ", event.uint64);
        break;
      case AFORK_VALUE_DOUBLE:
        g_string_append_printf (text, "%g ", event.number);
        break;
      case AFORK_VALUE_STRING:
        g_assert_cmpuint (strlen (event.bytes.data), ==, event.bytes.size);
        g_string_append_printf (text, "'%s' ", event.bytes.data);
        break;
      case AFORK_VALUE_BYTES:
        g_string_append_printf (text, "%" G_GSIZE_FORMAT " bytes ", event.bytes.size);
        break;
      case AFORK_VALUE_VARIANT:
        {
          g_autoptr(GVariant) variant = _afork_value_reader_dup_variant (reader);
          g_autofree char *printed = g_variant_print (variant, TRUE);

          g_string_append_printf (text, "<%s> ", printed);
        }
        break;
      case AFORK_VALUE_LIST:
      case AFORK_VALUE_TUPLE:
      case AFORK_VALUE_DICTIONARY:
        g_string_append_printf (text, "%s%" G_GSIZE_FORMAT "( ",
                                event.kind == AFORK_VALUE_LIST ? "list"
                                : event.kind == AFORK_VALUE_TUPLE ? "tuple" : "dictionary",
                                event.n_items);
        break;
      default:
        g_string_append_printf (text, "%s ", ends);
        break;
      }

  g_assert_cmpint (event.kind, ==, AFORK_VALUE_FINISHED);
  return g_strchomp (g_string_free (g_steal_pointer (&text), FALSE));
}

static void
test_others (void)
{
  static const struct { const char *value; const char *text; } cases[] = {
    { "()", "nothing" },
    { "((),)", "tuple1( tuple0( ) )" },
    { "@m() just ()", "tuple0( )" },
    { "@m() nothing", "nothing" },
    { "@mmv just nothing", "nothing" },
    { "@mmv just just <1>", "1" },
    { "@mmv just just <<1>>", "<1>" },
    { "true", "true" },
    { "byte 255", "255" },
    { "int16 -1", "-1" },
    { "uint16 65535", "65535" },
    { "-1", "-1" },
    { "uint32 4294967295", "4294967295" },
    { "handle 3", "3" },
    { "int64 -9223372036854775808", "-9223372036854775808" },
    { "uint64 1", "1u" },
    { "uint64 18446744073709551615", "18446744073709551615u" },
    { "1.5", "1.5" },
    { "'a'", "'a'" },
    { "objectpath '/a/b'", "'/a/b'" },
    { "signature 'a{sv}'", "'a{sv}'" },
    { "b'abc'", "4 bytes" },
    { "@ay []", "0 bytes" },
    { "[b'a', b'']", "list2( 2 bytes 1 bytes )" },
    { "<1>", "<1>" },
    { "<<'a'>>", "<<'a'>>" },
    { "[<1>, <<'a'>>]", "list2( 1 <'a'> )" },
    { "(1, <'a'>)", "tuple2( 1 <'a'> )" },
    { "[1, 2]", "list2( 1 2 )" },
    { "[(byte 1, 'a'), (2, 'b')]", "list2( tuple2( 1 'a' ) tuple2( 2 'b' ) )" },
    { "[(byte 1, int64 5)]", "list1( tuple2( 1 5 ) )" },
    { "@a(yx) []", "list0( )" },
    { "[true, false]", "list2( true false )" },
    { "@a{sv} {}", "dictionary0( )" },
    { "{'a': <1>, 'b': <<2>>}", "dictionary2( 'a' 1 'b' <2> )" },
    { "{'a': (1, <2>)}", "dictionary1( 'a' tuple2( 1 <2> ) )" },
    { "{1: 'a', 2: 'b'}", "dictionary2( 1 'a' 2 'b' )" },
    { "{byte 1: byte 2}", "dictionary1( 1 2 )" },
    { "{'a': <{'b': <@av []>}>}", "dictionary1( 'a' dictionary1( 'b' list0( ) ) )" },
    { "[@mi nothing, just 1]", "list2( nothing 1 )" },
    { "[@ms nothing, just '']", "list2( nothing '' )" },
    { "{'a', 1}", "tuple2( 'a' 1 )" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = g_variant_parse (NULL, cases[i].value, NULL, NULL, &error);
      g_autoptr(GVariant) serialized = NULL;
      g_autoptr(GBytes) bytes = NULL;
      g_autofree char *text = NULL;

      g_assert_no_error (error);
      bytes = g_variant_get_data_as_bytes (value);
      serialized = g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE);
      g_variant_ref_sink (serialized);
      text = read_as_text (serialized);
      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

/* A large GVariant inside is a part of the value, and outlives it. */
static void
test_inner_variant (void)
{
  g_autofree char *long_text = g_strnfill (10000, 'x');
  GVariant *items[] = { g_variant_new_boolean (TRUE),
                        g_variant_new_variant (g_variant_new ("(is)", 7, long_text)) };
  GVariant *value = g_variant_ref_sink (g_variant_new_tuple (items, 2));
  AForkValueReader *reader = _afork_value_reader_new (value);
  g_autoptr(GVariant) inner = NULL;
  AForkValueEvent event;
  const char *text;
  int number;

  for (guint i = 0; i < 3; i++)
    _afork_value_reader_next (reader, &event);
  g_assert_cmpint (event.kind, ==, AFORK_VALUE_VARIANT);
  inner = _afork_value_reader_dup_variant (reader);
  _afork_value_reader_free (reader);
  g_variant_unref (value);

  g_variant_get (inner, "(i&s)", &number, &text);
  g_assert_cmpint (number, ==, 7);
  g_assert_cmpstr (text, ==, long_text);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/values/random", test_random);
  g_test_add_func ("/values/large", test_large);
  g_test_add_func ("/values/depth/limits", test_depth);
  g_test_add_func ("/values/depth/spread", test_depth_spread);
  g_test_add_func ("/values/depth/variant", test_depth_variant);
  g_test_add_func ("/values/many-members", test_many_members);
  g_test_add_func ("/values/no-memory", test_no_memory);
  g_test_add_func ("/values/numbers", test_numbers);
  g_test_add_func ("/values/not-normal", test_not_normal);
  g_test_add_func ("/values/others", test_others);
  g_test_add_func ("/values/inner-variant", test_inner_variant);

  return g_test_run ();
}
