/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A GVariant that came from another process is read as values of a language. The input is a type
 * string, a NUL, and the serialized value.
 *
 * All of it must be read exactly if GLib finds it in normal form. What has been read is written
 * again: it must then be in normal form, and be read as the same values. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <afork/base/value-type.h>
#include <afork/values/reader.h>
#include <afork/values/writer.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  /* GLib takes long to look at values whose types are complex. */
  MAX_TYPE = 256,
};

static void
check (bool        condition,
       const char *what)
{
  if (condition)
    return;

  fprintf (stderr, "%s\n", what);
  abort ();
}

static GVariant *
new_value (const char    *type,
           gconstpointer  data,
           gsize          size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  return g_variant_ref_sink (g_variant_new_from_bytes ((const GVariantType *) type, bytes, FALSE));
}

/* Writes an event. Returns false if that cannot be. IS_KEY: it is a key of a dictionary. */
static bool
write_event (AForkValueWriter      *writer,
             AForkValueReader      *reader,
             const AForkValueEvent *event,
             bool                   is_key,
             AForkValueStatus      *status)
{
  if (is_key && event->kind != AFORK_VALUE_STRING)
    return false;

  switch (event->kind)
    {
    case AFORK_VALUE_NOTHING:
      *status = _afork_value_writer_add_nothing (writer);
      break;
    case AFORK_VALUE_BOOLEAN:
      *status = _afork_value_writer_add_boolean (writer, event->boolean);
      break;
    case AFORK_VALUE_INT64:
      *status = _afork_value_writer_add_int64 (writer, event->int64);
      break;
    case AFORK_VALUE_UINT64:
      *status = _afork_value_writer_add_uint64 (writer, event->uint64);
      break;
    case AFORK_VALUE_DOUBLE:
      *status = _afork_value_writer_add_double (writer, event->number);
      break;
    case AFORK_VALUE_STRING:
      check (event->bytes.data[event->bytes.size] == '\0', "the text does not end");
      *status = is_key
        ? _afork_value_writer_add_key (writer, event->bytes.data, event->bytes.size)
        : _afork_value_writer_add_string (writer, event->bytes.data, event->bytes.size);
      break;
    case AFORK_VALUE_BYTES:
      *status = _afork_value_writer_add_bytes (writer, event->bytes.data, event->bytes.size);
      break;
    case AFORK_VALUE_VARIANT:
      {
        g_autoptr(GVariant) variant = _afork_value_reader_dup_variant (reader);

        *status = _afork_value_writer_add_variant (writer, variant);
      }
      break;
    case AFORK_VALUE_LIST:
      *status = _afork_value_writer_begin_list (writer);
      break;
    case AFORK_VALUE_TUPLE:
      *status = _afork_value_writer_begin_tuple (writer);
      break;
    case AFORK_VALUE_DICTIONARY:
      *status = _afork_value_writer_begin_dictionary (writer);
      break;
    default:
      *status = _afork_value_writer_end (writer);
      break;
    }
  return *status == AFORK_VALUE_WRITTEN;
}

/* Sets EVENT to the next one. Numbers may also be taken together. */
static AForkValueEventKind
take_event (AForkValueReader *reader,
            gsize             n_left,
            AForkValueEvent  *event)
{
  if (n_left % 3 == 1
      && _afork_value_reader_take_numbers (reader, &event->int64, 1, &event->kind) == 1)
    return event->kind;

  return _afork_value_reader_next (reader, event);
}

typedef struct
{
  AForkValueEventKind kind;
  gsize               n_left;   /* events of children that will come */
  bool                is_key;   /* the next child is a key */
} Level;

/* Reads VALUE to its end. Returns what has been written of it, or NULL. */
static GVariant *
read_value (GVariant            *value,
            AForkValueEventKind *end)
{
  g_autoptr(AForkValueReader) reader = _afork_value_reader_new (value);
  g_autoptr(AForkValueWriter) writer = _afork_value_writer_new ();
  AForkValueStatus status = AFORK_VALUE_WRITTEN;
  Level levels[AFORK_VALUE_MAX_DEPTH + 1] = { { AFORK_VALUE_LIST, 1, false } };
  bool is_written = true;
  AForkValueEvent event;
  gsize n_levels = 1;

  while (take_event (reader, levels[n_levels - 1].n_left, &event) < AFORK_VALUE_FINISHED)
    {
      Level *level = &levels[n_levels - 1];
      const bool is_key = level->is_key && event.kind != AFORK_VALUE_END;

      is_written = is_written && write_event (writer, reader, &event, is_key, &status);
      if (event.kind == AFORK_VALUE_END)
        {
          check (n_levels > 1 && level->n_left == 0 && (level->kind != AFORK_VALUE_DICTIONARY
                                                        || level->is_key), "it ends too early");
          n_levels--;
          continue;
        }

      check (level->n_left-- > 0, "there are more items than were announced");
      if (level->kind == AFORK_VALUE_DICTIONARY)
        level->is_key = !level->is_key;
      if (event.kind >= AFORK_VALUE_LIST)
        {
          const bool is_dictionary = event.kind == AFORK_VALUE_DICTIONARY;

          check (n_levels < G_N_ELEMENTS (levels), "there are too many levels");
          levels[n_levels++] = (Level) {
            event.kind, event.n_items * (is_dictionary ? 2 : 1), is_dictionary,
          };
        }
    }

  *end = event.kind;
  check (_afork_value_reader_next (reader, &event) == *end, "the end does not stay");
  if (*end != AFORK_VALUE_FINISHED)
    return NULL;
  check (n_levels == 1 && levels[0].n_left == 0, "a part is missing");
  return is_written ? _afork_value_writer_finish (writer) : NULL;
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  const uint8_t *type_end = memchr (bytes, '\0', MIN (n_bytes, MAX_TYPE));
  const char *type = (const char *) bytes;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) written = NULL;
  g_autoptr(GVariant) again = NULL;
  AForkValueEventKind end, all;
  gboolean is_normal;

  if (type_end == NULL || !g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite ((const GVariantType *) type))
    return 0;

  value = new_value (type, type_end + 1, n_bytes - (gsize) (type_end + 1 - bytes));
  all = _afork_value_check (type, g_variant_get_data (value), g_variant_get_size (value), 0);
  written = read_value (value, &end);
  is_normal = g_variant_is_normal_form (value);
  if (all != AFORK_VALUE_TYPE_TOO_COMPLEX)
    check ((all == AFORK_VALUE_FINISHED) == is_normal, "GLib sees it otherwise");
  /* The contents of variants that stay so are not read. */
  if (is_normal && all == AFORK_VALUE_FINISHED)
    check (end == AFORK_VALUE_FINISHED, "it cannot be read");
  if (written == NULL)
    return 0;

  again = new_value (g_variant_get_type_string (written), g_variant_get_data (written),
                     g_variant_get_size (written));
  check (g_variant_is_normal_form (again), "what was written is not in normal form");
  g_variant_unref (value);
  value = g_steal_pointer (&again);
  again = read_value (value, &end);
  check (again != NULL, "what was written cannot be read");
  /* g_variant_equal() would take NaNs for different. */
  check (strcmp (g_variant_get_type_string (again), g_variant_get_type_string (written)) == 0
         && g_variant_get_size (again) == g_variant_get_size (written)
         && (g_variant_get_size (written) == 0
             || memcmp (g_variant_get_data (again), g_variant_get_data (written),
                        g_variant_get_size (written)) == 0), "what was written is read otherwise");
  return 0;
}
