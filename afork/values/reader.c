/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The format is that of the GVariant specification. A value is read depth first. The position of
 * the reader is a stack of levels, one for each container that is open. */

#define _GNU_SOURCE             /* memrchr() */

#include "config.h"

#include "reader.h"

#include <string.h>

#include "base/value-type.h"

enum
{
  /* A smaller GVariant is copied, so that it does not keep all of the value. */
  MIN_SHARED_VARIANT = 4096,
};

/* A value that is to be read. */
typedef struct
{
  const AForkValueNode *nodes;  /* of the whole type string */
  guint32               type;   /* the index of the node of this value's type */
  guint                 depth;  /* levels of nesting around it */
  gboolean              is_envelope;    /* if it is a variant, the value inside is meant */
  gboolean              is_entry;       /* of a dictionary, so it is no event itself */
  const guint8         *data;
  gsize                 size;
} Value;

typedef struct
{
  Value   value;
  gsize   offset;               /* where the bytes begin that were not read */
  gsize   end;                  /* where the data of the children must end */
  guint   offset_size;          /* the size of a framing offset */
  gsize   next;                 /* the next framing offset of an array */
  guint32 member;               /* the node of the next member of a tuple */
} Level;

/* The last type of a variant at a level. It is kept because the next one is often the same. */
typedef struct
{
  const char     *string;       /* in the data of the value */
  gsize           length;
  AForkValueNode *nodes;
  gsize           n_nodes;      /* allocated nodes */
} InnerType;

struct _AForkValueReader
{
  GVariant            *variant;         /* or NULL, if all variants are entered */
  AForkValueEventKind  state;           /* FINISHED or an error; else END */

  AForkValueNode      *nodes;           /* of the whole value's type */
  Value                root;
  gboolean             is_begun;
  Value                inner_variant;   /* of the last event */
  Level                levels[AFORK_VALUE_MAX_DEPTH];
  InnerType            inner[AFORK_VALUE_MAX_DEPTH + 1];        /* of each level */
  guint                n_levels;
};

static void
fail (AForkValueReader    *self,
      AForkValueEventKind  error)
{
  self->state = error;
}

static gboolean
has_failed (const AForkValueReader *self)
{
  return self->state > AFORK_VALUE_FINISHED;
}

/* Sets the event. Returns whether there is one. */

static gboolean
emit (AForkValueEvent     *event,
      AForkValueEventKind  kind)
{
  event->kind = kind;
  return TRUE;
}

/* Variants and maybes. */

/* Returns the nodes of the type of a variant, at the level that is opened next, or NULL. */
static const AForkValueNode *
read_inner_type (AForkValueReader *self,
                 const char       *type,
                 gsize             length)
{
  InnerType *inner = &self->inner[self->n_levels];

  if (length == 1)
    {
      const AForkValueNode *node = _afork_value_node_get_basic (*type);

      if (node == NULL)
        fail (self, AFORK_VALUE_NOT_NORMAL);
      return node;
    }
  if (inner->length == length && memcmp (inner->string, type, length) == 0)
    return inner->nodes;

  inner->length = 0;
  if (length > inner->n_nodes)
    {
      AForkValueNode *nodes = g_try_realloc_n (inner->nodes, length, sizeof *nodes);

      if (nodes == NULL)
        {
          fail (self, AFORK_VALUE_OUT_OF_MEMORY);
          return NULL;
        }
      inner->nodes = nodes;
      inner->n_nodes = length;
    }
  if (!_afork_value_nodes_read (inner->nodes, type, length))
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return NULL;
    }
  if (!_afork_value_type_is_simple (length, inner->nodes[0].depth))
    {
      fail (self, AFORK_VALUE_TYPE_TOO_COMPLEX);
      return NULL;
    }

  inner->string = type;
  inner->length = length;
  return inner->nodes;
}

/* Replaces VALUE, a variant, by the value in it. Returns false if it is invalid. */
static gboolean
enter_variant (AForkValueReader *self,
               Value            *value)
{
  const gsize max_length = MIN (value->size, (gsize) AFORK_VALUE_MAX_TYPE + 1);
  const guint8 *end = value->data + value->size;
  const guint8 *separator = memrchr (end - max_length, '\0', max_length);
  const AForkValueNode *nodes;

  if (separator == NULL || separator == end - 1)
    {
      fail (self, max_length < value->size && separator == NULL
                  ? AFORK_VALUE_TYPE_TOO_COMPLEX : AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  nodes = read_inner_type (self, (const char *) separator + 1, (gsize) (end - separator) - 1);
  if (nodes == NULL)
    return FALSE;
  if (value->depth + nodes[0].depth >= AFORK_VALUE_MAX_DEPTH)
    {
      fail (self, AFORK_VALUE_NESTED_TOO_DEEPLY);
      return FALSE;
    }

  *value = (Value) {
    .nodes = nodes,
    .depth = value->depth + 1,
    .is_envelope = self->variant == NULL,
    .data = value->data,
    .size = (gsize) (separator - value->data),
  };
  return TRUE;
}

/* Replaces VALUE, a maybe that is not empty, by the value in it. Returns false if it is invalid. */
static gboolean
enter_maybe (AForkValueReader *self,
             Value            *value)
{
  const AForkValueNode *element = &value->nodes[value->type + 1];

  value->type++;
  value->depth++;
  value->is_envelope = TRUE;
  if (element->fixed_size > 0)
    return TRUE;

  /* A zero follows the value, so that its size is not 0. */
  value->size--;
  if (value->data[value->size] != 0)
    fail (self, AFORK_VALUE_NOT_NORMAL);
  return !has_failed (self);
}

/* Basic values. */

static gboolean
read_text (AForkValueReader *self,
           const Value      *value,
           AForkValueEvent  *event)
{
  const char *text = (const char *) value->data;
  const char kind = value->nodes[value->type].kind;

  if (value->size == 0 || text[value->size - 1] != '\0'
      || !g_utf8_validate_len (text, value->size - 1, NULL)
      || (kind == 'o' && !g_variant_is_object_path (text))
      || (kind == 'g' && !g_variant_is_signature (text)))
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  event->bytes.data = text;
  event->bytes.size = value->size - 1;
  return emit (event, AFORK_VALUE_STRING);
}

static gboolean
read_boolean (AForkValueReader *self,
              const Value      *value,
              AForkValueEvent  *event)
{
  if (value->data[0] > 1)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  event->boolean = value->data[0];
  return emit (event, AFORK_VALUE_BOOLEAN);
}

/* Reads a number. The data of a value need not be aligned in memory. */
static gboolean
read_number (const Value     *value,
             AForkValueEvent *event)
{
  union { guint8 y; gint16 n; guint16 q; gint32 i; guint32 u; guint64 t; } number = { 0 };

  if (value->nodes[value->type].kind == 'd')
    {
      memcpy (&event->number, value->data, sizeof event->number);
      return emit (event, AFORK_VALUE_DOUBLE);
    }

  memcpy (&number, value->data, value->size);
  switch (value->nodes[value->type].kind)
    {
    case 'y':
      event->int64 = number.y;
      break;
    case 'n':
      event->int64 = number.n;
      break;
    case 'q':
      event->int64 = number.q;
      break;
    case 'i':
    case 'h':
      event->int64 = number.i;
      break;
    case 'u':
      event->int64 = number.u;
      break;
    case 't':
      event->uint64 = number.t;
      return emit (event, AFORK_VALUE_UINT64);
    default:
      event->int64 = (gint64) number.t;
      break;
    }
  return emit (event, AFORK_VALUE_INT64);
}

/* Containers. */

/* Opens a level for VALUE. Its depth is checked before: see enter_variant(). */
static Level *
push (AForkValueReader *self,
      const Value      *value)
{
  Level *level = &self->levels[self->n_levels++];

  g_assert (self->n_levels <= G_N_ELEMENTS (self->levels));
  *level = (Level) {
    .value = *value,
    .end = value->size,
    .offset_size = _afork_value_get_offset_size (value->size),
  };
  return level;
}

static Level *
push_tuple (AForkValueReader *self,
            const Value      *value)
{
  Level *level = push (self, value);

  level->member = value->type + 1;
  return level;
}

static gboolean
begin_tuple (AForkValueReader *self,
             const Value      *value,
             AForkValueEvent  *event)
{
  const AForkValueNode *nodes = value->nodes;

  event->n_items = 0;
  for (guint32 member = value->type + 1; member < nodes[value->type].end - 1;
       member = nodes[member].end)
    event->n_items++;

  /* The empty tuple is a zero. */
  if (event->n_items == 0 && value->data[0] != 0)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }
  if (event->n_items == 0 && value->depth == 0)
    return emit (event, AFORK_VALUE_NOTHING);

  push_tuple (self, value);
  return emit (event, AFORK_VALUE_TUPLE);
}

/* Reads how many elements of no fixed size are in the array of LEVEL. Offsets of the elements' ends
 * follow the elements. */
static gboolean
read_n_elements (Level *level,
                 gsize *n_items)
{
  const guint8 *data = level->value.data;
  const gsize size = level->value.size;
  gsize end;

  *n_items = 0;
  if (size == 0)
    return TRUE;

  end = _afork_value_read_offset (data + size - level->offset_size, level->offset_size);
  if (end >= size || (size - end) % level->offset_size != 0)
    return FALSE;

  level->end = end;
  level->next = end;
  *n_items = (size - end) / level->offset_size;
  return _afork_value_get_framed_size (end, *n_items) == size;
}

static gboolean
begin_array (AForkValueReader *self,
             const Value      *value,
             AForkValueEvent  *event)
{
  const AForkValueNode *element = &value->nodes[value->type + 1];
  gboolean is_right;
  Level *level;

  if (element->kind == 'y')
    {
      event->bytes.data = (const char *) value->data;
      event->bytes.size = value->size;
      return emit (event, AFORK_VALUE_BYTES);
    }

  level = push (self, value);
  if (element->fixed_size > 0)
    {
      event->n_items = value->size / element->fixed_size;
      is_right = value->size % element->fixed_size == 0;
    }
  else
    is_right = read_n_elements (level, &event->n_items);

  if (!is_right)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }
  return emit (event, element->kind == '{' ? AFORK_VALUE_DICTIONARY : AFORK_VALUE_LIST);
}

/* Reads a value, or its beginning. Returns whether that is an event. */
static gboolean
read_value (AForkValueReader *self,
            Value            *value,
            AForkValueEvent  *event)
{
  const AForkValueNode *node = &value->nodes[value->type];

  while (node->kind == 'm' || (node->kind == 'v' && value->is_envelope))
    {
      if (node->kind == 'm' && value->size == 0)
        return emit (event, AFORK_VALUE_NOTHING);
      if (!(node->kind == 'v' ? enter_variant (self, value) : enter_maybe (self, value)))
        return FALSE;
      node = &value->nodes[value->type];
    }

  if (node->fixed_size > 0 && value->size != node->fixed_size)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  switch (node->kind)
    {
    case 'b':
      return read_boolean (self, value, event);
    case 's':
    case 'o':
    case 'g':
      return read_text (self, value, event);
    case 'v':
      self->inner_variant = *value;
      /* That it has a value is checked now, and the value is not. */
      return enter_variant (self, value) && emit (event, AFORK_VALUE_VARIANT);
    case 'a':
      return begin_array (self, value, event);
    case '(':
    case '{':
      if (!value->is_entry)
        return begin_tuple (self, value, event);
      push_tuple (self, value);
      return FALSE;
    default:
      return read_number (value, event);
    }
}

/* Levels. */

/* Checks that the bytes from the offset of LEVEL to the next aligned offset are zeros. */
static gboolean
skip_padding (AForkValueReader *self,
              Level            *level,
              guint8            alignment,
              gsize             end)
{
  const gsize aligned = _afork_value_align (level->offset, alignment);

  if (aligned > end)
    fail (self, AFORK_VALUE_NOT_NORMAL);
  else
    while (level->offset < aligned)
      if (level->value.data[level->offset++] != 0)
        fail (self, AFORK_VALUE_NOT_NORMAL);

  return !has_failed (self);
}

/* Reads the next child, which ends at END and has the type at TYPE. */
static gboolean
read_child (AForkValueReader *self,
            Level            *level,
            guint32           type,
            gsize             end,
            gboolean          is_envelope,
            AForkValueEvent  *event)
{
  const AForkValueNode *outer = &level->value.nodes[level->value.type];
  const gsize offset = level->offset;
  Value child;

  if (end < offset || end > level->end)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  level->offset = end;
  child = (Value) {
    .nodes = level->value.nodes,
    .type = type,
    .depth = level->value.depth + 1,
    .is_envelope = is_envelope || self->variant == NULL,
    .is_entry = outer->kind == 'a' && level->value.nodes[type].kind == '{',
    .data = level->value.data + offset,
    .size = end - offset,
  };
  return read_value (self, &child, event);
}

static gboolean
go_on_with_array (AForkValueReader *self,
                  Level            *level,
                  AForkValueEvent  *event)
{
  const guint32 type = level->value.type + 1;
  const AForkValueNode *element = &level->value.nodes[type];
  gsize end;

  if (element->fixed_size > 0 ? level->offset == level->value.size
      : level->next == level->value.size || level->value.size == 0)
    {
      self->n_levels--;
      return emit (event, AFORK_VALUE_END);
    }

  if (element->fixed_size > 0)
    end = level->offset + element->fixed_size;
  else
    {
      end = _afork_value_read_offset (level->value.data + level->next, level->offset_size);
      level->next += level->offset_size;
      /* What follows the elements is no padding, wherever this element is said to end. */
      if (!skip_padding (self, level, element->alignment, MIN (end, level->end)))
        return FALSE;
    }
  return read_child (self, level, type, end, TRUE, event);
}

/* Whether a tuple of no fixed size has no longer framing offsets than it needs, and no other bytes
 * than its members and these. */
static gboolean
is_well_framed (const Level *level)
{
  const gsize size = level->value.size;
  const gsize n_offsets = level->offset_size > 0 ? (size - level->end) / level->offset_size : 0;

  return level->offset == level->end
    && _afork_value_get_framed_size (level->end, n_offsets) == size;
}

static gboolean
end_tuple (AForkValueReader *self,
           Level            *level,
           AForkValueEvent  *event)
{
  const AForkValueNode *tuple = &level->value.nodes[level->value.type];
  gboolean is_right;

  /* A tuple of fixed size is padded to its alignment, and the empty one has one zero. */
  if (tuple->fixed_size == 0)
    is_right = is_well_framed (level);
  else if (tuple->end == level->value.type + 2)
    is_right = TRUE;
  else
    is_right = skip_padding (self, level, tuple->alignment, level->end)
      && level->offset == level->end;

  if (!is_right)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }
  self->n_levels--;
  return !level->value.is_entry && emit (event, AFORK_VALUE_END);
}

/* A tuple ends with the offsets of the ends of its members, in reverse order. There is none for a
 * member of fixed size and for the last member. */
static gboolean
go_on_with_tuple (AForkValueReader *self,
                  Level            *level,
                  AForkValueEvent  *event)
{
  const AForkValueNode *nodes = level->value.nodes;
  const AForkValueNode *tuple = &nodes[level->value.type];
  const AForkValueNode *member = &nodes[level->member];
  const guint32 type = level->member;
  gsize end;

  if (level->member == tuple->end - 1)
    return end_tuple (self, level, event);
  if (!skip_padding (self, level, member->alignment, level->end))
    return FALSE;

  level->member = member->end;
  if (member->fixed_size > 0)
    end = level->offset + member->fixed_size;
  else if (level->member == tuple->end - 1)
    end = level->end;
  else if (level->end - level->offset < level->offset_size)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }
  else
    {
      level->end -= level->offset_size;
      end = _afork_value_read_offset (level->value.data + level->end, level->offset_size);
    }
  return read_child (self, level, type, end, tuple->kind == '{', event);
}

static gboolean
go_on (AForkValueReader *self,
       AForkValueEvent  *event)
{
  Level *level;

  if (!self->is_begun)
    {
      Value root = self->root;

      self->is_begun = TRUE;
      return read_value (self, &root, event);
    }
  if (self->n_levels == 0)
    {
      self->state = AFORK_VALUE_FINISHED;
      return FALSE;
    }

  level = &self->levels[self->n_levels - 1];
  if (level->value.nodes[level->value.type].kind == 'a')
    return go_on_with_array (self, level, event);
  return go_on_with_tuple (self, level, event);
}

/* The reader. */

static AForkValueReader *
new_for_data (GVariant      *variant,
              const char    *type,
              gconstpointer  data,
              gsize          size,
              guint          depth)
{
  AForkValueReader *self = g_new0 (AForkValueReader, 1);
  const gsize length = strlen (type);

  self->variant = variant;
  self->state = AFORK_VALUE_END;
  if (length > AFORK_VALUE_MAX_TYPE)
    {
      fail (self, AFORK_VALUE_TYPE_TOO_COMPLEX);
      return self;
    }
  self->nodes = g_try_new (AForkValueNode, length);
  if (self->nodes == NULL)
    {
      fail (self, AFORK_VALUE_OUT_OF_MEMORY);
      return self;
    }

  /* A type that is nested too deeply is not valid for GLib, which makes values of it all the
   * same. GLib allows a valid type one level more than a value in a variant. */
  if (!_afork_value_nodes_read (self->nodes, type, length)
      || (depth > 0 && depth + self->nodes[0].depth > AFORK_VALUE_MAX_DEPTH))
    fail (self, AFORK_VALUE_NESTED_TOO_DEEPLY);
  else if (!_afork_value_type_is_simple (length, self->nodes[0].depth))
    fail (self, AFORK_VALUE_TYPE_TOO_COMPLEX);
  else if (data == NULL && size > 0)
    fail (self, AFORK_VALUE_NOT_NORMAL);
  self->root = (Value) {
    .nodes = self->nodes,
    .depth = depth,
    .is_envelope = variant == NULL,
    .data = data != NULL ? data : (gconstpointer) "",
    .size = size,
  };
  return self;
}

AForkValueReader *
_afork_value_reader_new (GVariant *value)
{
  return new_for_data (g_variant_ref_sink (value), g_variant_get_type_string (value),
                       g_variant_get_data (value), g_variant_get_size (value), 0);
}

void
_afork_value_reader_free (AForkValueReader *self)
{
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner); i++)
    g_free (self->inner[i].nodes);
  g_clear_pointer (&self->variant, g_variant_unref);
  g_free (self->nodes);
  g_free (self);
}

AForkValueEventKind
_afork_value_reader_next (AForkValueReader *self,
                          AForkValueEvent  *event)
{
  while (self->state == AFORK_VALUE_END)
    if (go_on (self, event))
      return event->kind;

  return event->kind = self->state;
}

gsize
_afork_value_reader_take_numbers (AForkValueReader    *self,
                                  gpointer             numbers,
                                  gsize                n,
                                  AForkValueEventKind *kind)
{
  Level *level = self->n_levels > 0 ? &self->levels[self->n_levels - 1] : NULL;
  const AForkValueNode *type;

  if (level == NULL || self->state != AFORK_VALUE_END)
    return 0;
  type = &level->value.nodes[level->value.type];
  if (type->kind != 'a' || (type[1].kind != 'x' && type[1].kind != 'd'))
    return 0;

  /* The size is a multiple of 8, and these numbers are always in normal form. */
  n = MIN (n, (level->value.size - level->offset) / 8);
  memcpy (numbers, level->value.data + level->offset, n * 8);
  level->offset += n * 8;
  *kind = type[1].kind == 'x' ? AFORK_VALUE_INT64 : AFORK_VALUE_DOUBLE;
  return n;
}

GVariant *
_afork_value_reader_dup_variant (AForkValueReader *self)
{
  const Value *value = &self->inner_variant;
  g_autoptr(GBytes) all = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GVariant) outer = NULL;

  g_assert (value->nodes != NULL);

  if (value->size < MIN_SHARED_VARIANT)
    bytes = g_bytes_new (value->data, value->size);
  else
    {
      all = g_variant_get_data_as_bytes (self->variant);
      bytes = g_bytes_new_from_bytes (all, (gsize) (value->data - self->root.data), value->size);
    }
  outer = g_variant_new_from_bytes (G_VARIANT_TYPE_VARIANT, bytes, FALSE);
  g_variant_ref_sink (outer);
  return g_variant_get_variant (outer);
}

AForkValueEventKind
_afork_value_check (const char    *type,
                    gconstpointer  data,
                    gsize          size,
                    guint          depth)
{
  g_autoptr(AForkValueReader) reader = new_for_data (NULL, type, data, size, depth);
  AForkValueEvent event;

  while (_afork_value_reader_next (reader, &event) < AFORK_VALUE_FINISHED)
    continue;
  return event.kind;
}
