/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Reads a GVariant as the values of a programming language: what writer.h has written, and values
 * of all other types. The program takes one event after the other, and may pause between two.
 *
 *   (), as the whole value      nothing
 *   b                           boolean
 *   y n q i u h x t             integer
 *   d                           double
 *   s o g                       string
 *   ay                          bytes
 *   other arrays                list
 *   tuples                      tuple
 *   arrays of dictionary entries  dictionary, whose keys are of any basic type
 *   maybe                       nothing, or the value inside
 *   v                           GVariant; as an element of av, as the value of an entry of a
 *                               dictionary or inside a maybe: the value inside
 *
 * The value may come from anywhere. The reader checks all that it reads, as
 * g_variant_is_normal_form() does, and reads nothing outside of the value. The contents of a
 * GVariant event are not checked.
 *
 * A reader is used by one thread at a time. */
typedef struct _AForkValueReader AForkValueReader;

typedef enum
{
  AFORK_VALUE_NOTHING,
  AFORK_VALUE_BOOLEAN,
  AFORK_VALUE_INT64,
  AFORK_VALUE_UINT64,           /* of type t; the value may be below 2^63 */
  AFORK_VALUE_DOUBLE,
  AFORK_VALUE_STRING,
  AFORK_VALUE_BYTES,
  AFORK_VALUE_VARIANT,          /* take it with _afork_value_reader_dup_variant() */
  /* The children follow, and then an end. Those of a dictionary are keys and values in turn. */
  AFORK_VALUE_LIST,
  AFORK_VALUE_TUPLE,
  AFORK_VALUE_DICTIONARY,
  AFORK_VALUE_END,
  /* The whole value has been read. */
  AFORK_VALUE_FINISHED,
  /* Errors, which stay. */
  AFORK_VALUE_NOT_NORMAL,       /* g_variant_get_normal_form() can be read */
  AFORK_VALUE_NESTED_TOO_DEEPLY,
  AFORK_VALUE_TYPE_TOO_COMPLEX,
  AFORK_VALUE_OUT_OF_MEMORY,
} AForkValueEventKind;

typedef struct
{
  AForkValueEventKind kind;
  union
  {
    gboolean          boolean;
    gint64            int64;
    guint64           uint64;
    double            number;
    gsize             n_items;  /* of a list or tuple; entries of a dictionary */
    struct
    {
      const char     *data;     /* in the value; the text of a string ends with a NUL */
      gsize           size;     /* without that NUL */
    }                 bytes;
  };
} AForkValueEvent;

/* Holds a reference to VALUE, which is serialized first if it is not. */
AForkValueReader    *_afork_value_reader_new          (GVariant            *value);
void                 _afork_value_reader_free         (AForkValueReader    *self);

/* Sets EVENT to the next event, and returns its kind. */
AForkValueEventKind  _afork_value_reader_next         (AForkValueReader    *self,
                                                       AForkValueEvent     *event);
/* Takes up to N events at once, which must be numbers of a list, all of type x or all of type d.
 * Copies the numbers to NUMBERS, of 8 bytes each, and sets KIND. Returns how many there were: 0 if
 * the next event is none of these. */
gsize                _afork_value_reader_take_numbers (AForkValueReader    *self,
                                                       gpointer             numbers,
                                                       gsize                n,
                                                       AForkValueEventKind *kind);
/* Returns the value of the event before, which was AFORK_VALUE_VARIANT. The caller owns the
 * reference. */
GVariant            *_afork_value_reader_dup_variant  (AForkValueReader    *self);

/* Reads all of a value, with the contents of all variants, of which TYPE is valid and definite.
 * DEPTH is how many levels of nesting are around it. Returns AFORK_VALUE_FINISHED or an error. */
AForkValueEventKind  _afork_value_check               (const char          *type,
                                                       gconstpointer        data,
                                                       gsize                size,
                                                       guint                depth);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkValueReader, _afork_value_reader_free)

G_END_DECLS
