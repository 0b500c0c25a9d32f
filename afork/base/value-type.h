/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the GVariant specification says about types and framing offsets. */

enum
{
  /* A value and a type may be nested in at most this many levels, with the value itself. */
  AFORK_VALUE_MAX_DEPTH = 128,
  /* The longest type of a value. Messages and GLib have the same limit. */
  AFORK_VALUE_MAX_TYPE = 65534,
  /* The time that GLib takes to parse a type grows with its length times its levels of nesting. In
   * messages this product is at most this: about 2 ms. */
  AFORK_VALUE_MAX_TYPE_COMPLEXITY = 256 * 1024,
};

/* Describes the type that begins at a character of a type string. The nodes of a type string form
 * an array with the same indices as the string. */
typedef struct
{
  char    kind;                 /* the character */
  guint8  alignment;            /* minus one */
  guint8  depth;                /* levels of nesting, from 1 */
  guint8  is_any;               /* all bytes of the right size are in normal form */
  guint32 fixed_size;           /* in bytes, or 0 */
  guint32 end;                  /* the index of the node after the type */
} AForkValueNode;

/* Returns the node of a type of one character, or NULL if there is no such type. */
const AForkValueNode *_afork_value_node_get_basic (char                  kind);

/* Fills in the nodes of TYPE, of LENGTH bytes. Returns false if TYPE is not one definite type.
 * There must be room for LENGTH nodes. */
gboolean              _afork_value_nodes_read     (AForkValueNode       *nodes,
                                                   const char           *type,
                                                   gsize                 length);

/* Whether a type of this LENGTH and DEPTH has at most AFORK_VALUE_MAX_TYPE_COMPLEXITY. */
static inline gboolean
_afork_value_type_is_simple (gsize length,
                             gsize depth)
{
  return length * depth <= AFORK_VALUE_MAX_TYPE_COMPLEXITY;
}

/* ALIGNMENT is minus one. */
static inline gsize
_afork_value_align (gsize  offset,
                    guint8 alignment)
{
  return (offset + alignment) & ~(gsize) alignment;
}

/* Returns the size of a framing offset in a container of SIZE bytes. */
static inline guint
_afork_value_get_offset_size (gsize size)
{
  return size > G_MAXUINT32 ? 8 : size > G_MAXUINT16 ? 4 : size > G_MAXUINT8 ? 2 : size > 0;
}

/* Returns the size of a container with SIZE bytes of children and N framing offsets. */
static inline gsize
_afork_value_get_framed_size (gsize size,
                              gsize n)
{
  for (guint offset_size = 1; offset_size < 8; offset_size *= 2)
    if (_afork_value_get_offset_size (size + n * offset_size) <= offset_size)
      return size + n * offset_size;

  return size + n * 8;
}

static inline gsize
_afork_value_read_offset (const guint8 *bytes,
                          guint         size)
{
  guint64 offset = 0;

  for (guint i = size; i > 0; i--)
    offset = offset << 8 | bytes[i - 1];
  return (gsize) offset;
}

static inline void
_afork_value_write_offset (guint8 *bytes,
                           guint   size,
                           gsize   offset)
{
  for (guint i = 0; i < size; i++)
    bytes[i] = (guint8) ((guint64) offset >> 8 * i);
}

G_END_DECLS
