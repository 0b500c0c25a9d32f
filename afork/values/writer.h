/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Writes the values of a programming language as one serialized GVariant, in normal form and in the
 * byte order of this machine. The program walks its own value, depth first, and calls a function
 * for each part. The writer chooses the types:
 *
 *   nothing                     (), and mv inside other values
 *   boolean                     b
 *   integer                     x, or t from 2^63 on
 *   double                      d
 *   string                      s
 *   bytes                       ay
 *   list of integers below 2^63, of doubles, or of strings    ax, ad or as
 *   any other list              av; the empty list, too
 *   tuple                       a tuple; the empty one is m() if it is the whole value
 *   dictionary                  a{sv}
 *   GVariant                    v
 *
 * So each value has one type only, from which reader.h makes the same value again. An element of av
 * and a value of a{sv} is what stands inside the variant; a variant that stands elsewhere is a
 * GVariant of the program.
 *
 * After a failure, all functions return the same status, and the only thing left to do is to free
 * the writer. A writer is used by one thread at a time. */
typedef struct _AForkValueWriter AForkValueWriter;

typedef enum
{
  AFORK_VALUE_WRITTEN,
  /* The value would have more than 128 levels of nesting. A list or a dictionary inside a list or
   * a dictionary adds two levels or three. */
  AFORK_VALUE_TOO_DEEP,
  /* The value has a tuple whose type is too long for a message: with more than about 65 000 items,
   * or fewer if they are nested. A GVariant may have one, too. */
  AFORK_VALUE_TOO_COMPLEX,
  AFORK_VALUE_NO_MEMORY,
} AForkValueStatus;

AForkValueWriter *_afork_value_writer_new              (void);
void              _afork_value_writer_free             (AForkValueWriter *self);

AForkValueStatus  _afork_value_writer_add_nothing      (AForkValueWriter *self);
AForkValueStatus  _afork_value_writer_add_boolean      (AForkValueWriter *self,
                                                        gboolean          value);
AForkValueStatus  _afork_value_writer_add_int64        (AForkValueWriter *self,
                                                        gint64            value);
AForkValueStatus  _afork_value_writer_add_uint64       (AForkValueWriter *self,
                                                        guint64           value);
AForkValueStatus  _afork_value_writer_add_double       (AForkValueWriter *self,
                                                        double            value);
/* TEXT is UTF-8 without NUL bytes, which the caller has checked, and need not end with one. */
AForkValueStatus  _afork_value_writer_add_string       (AForkValueWriter *self,
                                                        const char       *text,
                                                        gsize             length);
AForkValueStatus  _afork_value_writer_add_bytes        (AForkValueWriter *self,
                                                        gconstpointer     data,
                                                        gsize             size);
/* VALUE is written in normal form, and otherwise untouched. */
AForkValueStatus  _afork_value_writer_add_variant      (AForkValueWriter *self,
                                                        GVariant         *value);

AForkValueStatus  _afork_value_writer_begin_list       (AForkValueWriter *self);
AForkValueStatus  _afork_value_writer_begin_tuple      (AForkValueWriter *self);
AForkValueStatus  _afork_value_writer_begin_dictionary (AForkValueWriter *self);
/* Adds the key of the value that is added next. TEXT is as for a string. Keys must differ, which
 * the caller has checked. */
AForkValueStatus  _afork_value_writer_add_key          (AForkValueWriter *self,
                                                        const char       *text,
                                                        gsize             length);
/* Ends the list, tuple or dictionary that was begun last. */
AForkValueStatus  _afork_value_writer_end              (AForkValueWriter *self);

/* Returns the value, whose reference the caller owns and which is not floating. To be called once,
 * when one value was written and ended. Returns NULL if there is no memory. */
GVariant         *_afork_value_writer_finish           (AForkValueWriter *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkValueWriter, _afork_value_writer_free)

G_END_DECLS
