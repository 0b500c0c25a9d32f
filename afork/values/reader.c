/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The format is that of the GVariant specification. A value is read depth first. The position of
 * the reader is a stack of levels, one for each container that is open. */

#include "config.h"

#include "reader.h"

#include <string.h>

#include "base/value-part.h"

enum
{
  /* A smaller GVariant is copied, so that it does not keep all of the value. */
  MIN_SHARED_VARIANT = 4096,
};

/* A value that is to be read. */
typedef struct
{
  AForkValuePart part;
  gboolean       is_envelope;   /* if it is a variant, the value inside is meant */
  gboolean       is_entry;      /* of a dictionary, so it is no event itself */
} Value;

typedef struct
{
  AForkValueContainer container;
  gboolean            is_entry;
} Level;

struct _AForkValueReader
{
  GVariant            *variant;         /* or NULL, if all variants are entered */
  AForkValueEventKind  state;           /* FINISHED or an error; else END */

  AForkValueType       type;            /* of the whole value */
  Value                root;
  gboolean             is_begun;
  AForkValuePart       inner_variant;   /* of the last event */
  Level                levels[AFORK_VALUE_MAX_DEPTH];
  AForkValueType       inner_types[AFORK_VALUE_MAX_DEPTH + 1];  /* of each level */
  guint                n_levels;
};

static void
fail (AForkValueReader    *self,
      AForkValueEventKind  error)
{
  self->state = error;
}

/* Sets the event, and returns TRUE. */
static gboolean
emit (AForkValueEvent     *event,
      AForkValueEventKind  kind)
{
  event->kind = kind;
  return TRUE;
}

/* Notes an error. Returns whether there is none. */
static gboolean
take_result (AForkValueReader     *self,
             AForkValuePartResult  result)
{
  switch (result)
    {
    case AFORK_VALUE_PART_FOUND:
    case AFORK_VALUE_PART_END:
      return TRUE;
    case AFORK_VALUE_PART_NESTED_TOO_DEEPLY:
      fail (self, AFORK_VALUE_NESTED_TOO_DEEPLY);
      return FALSE;
    case AFORK_VALUE_PART_TYPE_TOO_COMPLEX:
      fail (self, AFORK_VALUE_TYPE_TOO_COMPLEX);
      return FALSE;
    case AFORK_VALUE_PART_NO_MEMORY:
      fail (self, AFORK_VALUE_OUT_OF_MEMORY);
      return FALSE;
    default:
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }
}

/* Variants and maybes. */

/* Replaces VALUE, a variant, by the value in it. Returns false if it is invalid. */
static gboolean
enter_variant (AForkValueReader *self,
               Value            *value)
{
  AForkValueType *type = &self->inner_types[self->n_levels];

  value->is_envelope = self->variant == NULL;
  value->is_entry = FALSE;
  return take_result (self, _afork_value_part_enter_variant (&value->part, type));
}

/* Replaces VALUE, a maybe that is not empty, by the value in it. Returns false if it is invalid. */
static gboolean
enter_maybe (AForkValueReader *self,
             Value            *value)
{
  value->is_envelope = TRUE;
  return take_result (self, _afork_value_part_enter_maybe (&value->part));
}

/* Basic values. */

static gboolean
read_text (AForkValueReader     *self,
           const AForkValuePart *part,
           AForkValueEvent      *event)
{
  const char *text = (const char *) part->data;
  const char kind = part->nodes[part->type].kind;

  if (part->size == 0 || text[part->size - 1] != '\0'
      || !g_utf8_validate_len (text, part->size - 1, NULL)
      || (kind == 'o' && !g_variant_is_object_path (text))
      || (kind == 'g' && !g_variant_is_signature (text)))
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  event->bytes.data = text;
  event->bytes.size = part->size - 1;
  return emit (event, AFORK_VALUE_STRING);
}

static gboolean
read_boolean (AForkValueReader     *self,
              const AForkValuePart *part,
              AForkValueEvent      *event)
{
  if (part->data[0] > 1)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  event->boolean = part->data[0];
  return emit (event, AFORK_VALUE_BOOLEAN);
}

/* Reads a number. The data of a value need not be aligned in memory. */
static gboolean
read_number (const AForkValuePart *part,
             AForkValueEvent      *event)
{
  union { guint8 y; gint16 n; guint16 q; gint32 i; guint32 u; guint64 t; } number = { 0 };

  if (part->nodes[part->type].kind == 'd')
    {
      memcpy (&event->number, part->data, sizeof event->number);
      return emit (event, AFORK_VALUE_DOUBLE);
    }

  memcpy (&number, part->data, part->size);
  switch (part->nodes[part->type].kind)
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

/* Opens a level for VALUE. Its depth is checked before: see enter_variant(). Returns NULL if it is
 * invalid. */
static AForkValueContainer *
push (AForkValueReader *self,
      const Value      *value)
{
  Level *level = &self->levels[self->n_levels++];

  g_assert (self->n_levels <= G_N_ELEMENTS (self->levels));
  level->is_entry = value->is_entry;
  if (!take_result (self, _afork_value_container_open (&level->container, &value->part)))
    return NULL;
  return &level->container;
}

static gboolean
begin_tuple (AForkValueReader *self,
             const Value      *value,
             AForkValueEvent  *event)
{
  AForkValueContainer *container = push (self, value);
  AForkValuePart none;

  if (container == NULL)
    return FALSE;
  event->n_items = _afork_value_container_count (container);
  if (event->n_items > 0 || value->part.depth > 0)
    return emit (event, AFORK_VALUE_TUPLE);

  self->n_levels--;
  return take_result (self, _afork_value_container_next (container, &none))
    && emit (event, AFORK_VALUE_NOTHING);
}

static gboolean
begin_array (AForkValueReader *self,
             const Value      *value,
             AForkValueEvent  *event)
{
  const AForkValueNode *element = &value->part.nodes[value->part.type + 1];
  AForkValueContainer *container;

  if (element->kind == 'y')
    {
      event->bytes.data = (const char *) value->part.data;
      event->bytes.size = value->part.size;
      return emit (event, AFORK_VALUE_BYTES);
    }

  container = push (self, value);
  if (container == NULL)
    return FALSE;
  event->n_items = _afork_value_container_count (container);
  return emit (event, element->kind == '{' ? AFORK_VALUE_DICTIONARY : AFORK_VALUE_LIST);
}

/* Reads a value, or its beginning. Returns whether that is an event. */
static gboolean
read_value (AForkValueReader *self,
            Value            *value,
            AForkValueEvent  *event)
{
  const AForkValuePart *part = &value->part;
  const AForkValueNode *node = &part->nodes[part->type];

  while (node->kind == 'm' || (node->kind == 'v' && value->is_envelope))
    {
      if (node->kind == 'm' && part->size == 0)
        return emit (event, AFORK_VALUE_NOTHING);
      if (!(node->kind == 'v' ? enter_variant (self, value) : enter_maybe (self, value)))
        return FALSE;
      node = &part->nodes[part->type];
    }

  if (node->fixed_size > 0 && part->size != node->fixed_size)
    {
      fail (self, AFORK_VALUE_NOT_NORMAL);
      return FALSE;
    }

  switch (node->kind)
    {
    case 'b':
      return read_boolean (self, part, event);
    case 's':
    case 'o':
    case 'g':
      return read_text (self, part, event);
    case 'v':
      self->inner_variant = *part;
      /* That it has a value is checked now, and the value is not. */
      return enter_variant (self, value) && emit (event, AFORK_VALUE_VARIANT);
    case 'a':
      return begin_array (self, value, event);
    case '(':
    case '{':
      if (!value->is_entry)
        return begin_tuple (self, value, event);
      push (self, value);
      return FALSE;
    default:
      return read_number (part, event);
    }
}

/* Levels. */

/* Reads the next child of the innermost container, or its end. */
static gboolean
go_on_with_container (AForkValueReader *self,
                      AForkValueEvent  *event)
{
  Level *level = &self->levels[self->n_levels - 1];
  const AForkValuePart *part = &level->container.part;
  const char kind = part->nodes[part->type].kind;
  Value child = { .is_envelope = kind != '(' || self->variant == NULL };
  const AForkValuePartResult result = _afork_value_container_next (&level->container,
                                                                   &child.part);

  if (result == AFORK_VALUE_PART_END)
    {
      self->n_levels--;
      return !level->is_entry && emit (event, AFORK_VALUE_END);
    }
  if (!take_result (self, result))
    return FALSE;

  child.is_entry = kind == 'a' && child.part.nodes[child.part.type].kind == '{';
  return read_value (self, &child, event);
}

static gboolean
go_on (AForkValueReader *self,
       AForkValueEvent  *event)
{
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

  return go_on_with_container (self, event);
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
  AForkValuePartResult result;

  self->variant = variant;
  self->state = AFORK_VALUE_END;
  result = _afork_value_type_read (&self->type, type, strlen (type));
  /* A type that is nested too deeply is not valid for GLib, which makes values of it all the
   * same. GLib allows a valid type one level more than a value in a variant. */
  if (result == AFORK_VALUE_PART_NOT_NORMAL
      || (result == AFORK_VALUE_PART_FOUND && depth > 0
          && depth + self->type.nodes[0].depth > AFORK_VALUE_MAX_DEPTH))
    result = AFORK_VALUE_PART_NESTED_TOO_DEEPLY;
  if (take_result (self, result) && data == NULL && size > 0)
    fail (self, AFORK_VALUE_NOT_NORMAL);
  self->root = (Value) {
    .part = {
      .nodes = self->type.nodes,
      .depth = depth,
      .data = data != NULL ? data : (gconstpointer) "",
      .size = size,
    },
    .is_envelope = variant == NULL,
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
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner_types); i++)
    _afork_value_type_clear (&self->inner_types[i]);
  _afork_value_type_clear (&self->type);
  g_clear_pointer (&self->variant, g_variant_unref);
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
  AForkValueContainer *array;
  const AForkValueNode *type;

  if (self->n_levels == 0 || self->state != AFORK_VALUE_END)
    return 0;
  array = &self->levels[self->n_levels - 1].container;
  type = &array->part.nodes[array->part.type];
  if (type->kind != 'a' || (type[1].kind != 'x' && type[1].kind != 'd'))
    return 0;

  /* The size is a multiple of 8, and these numbers are always in normal form. */
  n = MIN (n, (array->part.size - array->offset) / 8);
  memcpy (numbers, array->part.data + array->offset, n * 8);
  array->offset += n * 8;
  *kind = type[1].kind == 'x' ? AFORK_VALUE_INT64 : AFORK_VALUE_DOUBLE;
  return n;
}

GVariant *
_afork_value_reader_dup_variant (AForkValueReader *self)
{
  const AForkValuePart *part = &self->inner_variant;
  g_autoptr(GBytes) all = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GVariant) outer = NULL;

  g_assert (part->nodes != NULL);

  if (part->size < MIN_SHARED_VARIANT)
    bytes = g_bytes_new (part->data, part->size);
  else
    {
      all = g_variant_get_data_as_bytes (self->variant);
      bytes = g_bytes_new_from_bytes (all, (gsize) (part->data - self->root.part.data), part->size);
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
