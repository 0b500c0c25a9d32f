/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE             /* memrchr() */

#include "config.h"

#include "value-part.h"

#include <string.h>

/* Types. */

AForkValuePartResult
_afork_value_type_read (AForkValueType *self,
                        const char     *string,
                        gsize           length)
{
  if (self->string != NULL && self->length == length
      && memcmp (self->string, string, length) == 0)
    return AFORK_VALUE_PART_FOUND;

  _afork_value_type_forget (self);
  if (length > AFORK_VALUE_MAX_TYPE)
    return AFORK_VALUE_PART_TYPE_TOO_COMPLEX;
  if (length > self->n_nodes)
    {
      AForkValueNode *nodes = g_try_realloc_n (self->nodes, length, sizeof *nodes);

      if (nodes == NULL)
        return AFORK_VALUE_PART_NO_MEMORY;
      self->nodes = nodes;
      self->n_nodes = length;
    }
  if (!_afork_value_nodes_read (self->nodes, string, length))
    return AFORK_VALUE_PART_NOT_NORMAL;
  if (!_afork_value_type_is_simple (length, self->nodes[0].depth))
    return AFORK_VALUE_PART_TYPE_TOO_COMPLEX;

  self->string = string;
  self->length = length;
  return AFORK_VALUE_PART_FOUND;
}

void
_afork_value_type_forget (AForkValueType *self)
{
  self->string = NULL;
}

void
_afork_value_type_clear (AForkValueType *self)
{
  g_clear_pointer (&self->nodes, g_free);
}

/* Variants and maybes. */

/* A zero separates the value in a variant from its type, which comes last. */
AForkValuePartResult
_afork_value_part_enter_variant (AForkValuePart *part,
                                 AForkValueType *inner_type)
{
  const gsize max_length = MIN (part->size, (gsize) AFORK_VALUE_MAX_TYPE + 1);
  const guint8 *end = part->data + part->size;
  const guint8 *separator = memrchr (end - max_length, '\0', max_length);
  const AForkValueNode *nodes;
  const char *type;
  gsize length;

  if (separator == NULL && max_length < part->size)
    return AFORK_VALUE_PART_TYPE_TOO_COMPLEX;
  if (separator == NULL || separator == end - 1)
    return AFORK_VALUE_PART_NOT_NORMAL;

  type = (const char *) separator + 1;
  length = (gsize) (end - separator) - 1;
  if (length == 1)
    {
      nodes = _afork_value_node_get_basic (*type);
      if (nodes == NULL)
        return AFORK_VALUE_PART_NOT_NORMAL;
    }
  else
    {
      const AForkValuePartResult result = _afork_value_type_read (inner_type, type, length);

      if (result != AFORK_VALUE_PART_FOUND)
        return result;
      nodes = inner_type->nodes;
    }
  if (part->depth + nodes[0].depth >= AFORK_VALUE_MAX_DEPTH)
    return AFORK_VALUE_PART_NESTED_TOO_DEEPLY;

  *part = (AForkValuePart) {
    .nodes = nodes,
    .depth = part->depth + 1,
    .data = part->data,
    .size = (gsize) (separator - part->data),
  };
  return AFORK_VALUE_PART_FOUND;
}

AForkValuePartResult
_afork_value_part_enter_maybe (AForkValuePart *part)
{
  const AForkValueNode *element = &part->nodes[part->type + 1];

  part->type++;
  part->depth++;
  if (element->fixed_size > 0)
    return AFORK_VALUE_PART_FOUND;

  /* A zero follows the value, so that its size is not 0. */
  part->size--;
  return part->data[part->size] == 0 ? AFORK_VALUE_PART_FOUND : AFORK_VALUE_PART_NOT_NORMAL;
}

/* Containers. */

static const AForkValueNode *
get_node (const AForkValueContainer *self)
{
  return &self->part.nodes[self->part.type];
}

/* Whether the framing offsets are not longer than they need to be. */
static gboolean
is_well_framed (const AForkValueContainer *self,
                gsize                      n_offsets)
{
  return _afork_value_get_framed_size (self->end, n_offsets) == self->part.size;
}

/* If the elements of an array have no fixed size, the offsets of their ends follow the elements. */
static gboolean
open_array (AForkValueContainer *self)
{
  const AForkValuePart *part = &self->part;
  const AForkValueNode *element = get_node (self) + 1;

  if (element->fixed_size > 0)
    return part->size % element->fixed_size == 0;
  if (part->size == 0)
    return TRUE;

  self->end = _afork_value_read_offset (part->data + part->size - self->offset_size,
                                        self->offset_size);
  self->next = self->end;
  return self->end < part->size && (part->size - self->end) % self->offset_size == 0
    && is_well_framed (self, (part->size - self->end) / self->offset_size);
}

AForkValuePartResult
_afork_value_container_open (AForkValueContainer  *self,
                             const AForkValuePart *part)
{
  *self = (AForkValueContainer) {
    .part = *part,
    .end = part->size,
    .offset_size = _afork_value_get_offset_size (part->size),
    .member = part->type + 1,
  };
  return get_node (self)->kind != 'a' || open_array (self) ? AFORK_VALUE_PART_FOUND
                                                           : AFORK_VALUE_PART_NOT_NORMAL;
}

gsize
_afork_value_container_count (AForkValueContainer *self)
{
  const AForkValueNode *nodes = self->part.nodes;
  const AForkValueNode *node = get_node (self);
  gsize n = 0;

  if (node->kind == 'a' && node[1].fixed_size > 0)
    return self->part.size / node[1].fixed_size;
  if (node->kind == 'a')
    return self->part.size > 0 ? (self->part.size - self->end) / self->offset_size : 0;

  for (guint32 member = self->member; member < node->end - 1; member = nodes[member].end)
    n++;
  return n;
}

/* Whether the bytes from the offset to the next aligned one are zeros. These are skipped. */
static gboolean
skip_padding (AForkValueContainer *self,
              guint8               alignment,
              gsize                end)
{
  const gsize aligned = _afork_value_align (self->offset, alignment);

  if (aligned > end)
    return FALSE;

  while (self->offset < aligned)
    if (self->part.data[self->offset++] != 0)
      return FALSE;
  return TRUE;
}

static AForkValuePartResult
take_child (AForkValueContainer *self,
            guint32              type,
            gsize                end,
            AForkValuePart      *child)
{
  const gsize offset = self->offset;

  if (end < offset || end > self->end)
    return AFORK_VALUE_PART_NOT_NORMAL;

  self->offset = end;
  *child = (AForkValuePart) {
    .nodes = self->part.nodes,
    .type = type,
    .depth = self->part.depth + 1,
    .data = self->part.data + offset,
    .size = end - offset,
  };
  return AFORK_VALUE_PART_FOUND;
}

static AForkValuePartResult
take_element (AForkValueContainer *self,
              AForkValuePart      *child)
{
  const guint32 type = self->part.type + 1;
  const AForkValueNode *element = &self->part.nodes[type];
  gsize end;

  if (element->fixed_size > 0)
    return self->offset == self->part.size
      ? AFORK_VALUE_PART_END
      : take_child (self, type, self->offset + element->fixed_size, child);
  if (self->part.size == 0 || self->next == self->part.size)
    return AFORK_VALUE_PART_END;

  end = _afork_value_read_offset (self->part.data + self->next, self->offset_size);
  self->next += self->offset_size;
  /* What follows the elements is no padding, wherever this element is said to end. */
  if (!skip_padding (self, element->alignment, MIN (end, self->end)))
    return AFORK_VALUE_PART_NOT_NORMAL;
  return take_child (self, type, end, child);
}

/* A tuple of no fixed size has no other bytes than its members and their offsets. One of fixed size
 * is padded to its alignment, and the empty one has one zero. */
static gboolean
is_tuple_complete (AForkValueContainer *self)
{
  const AForkValueNode *tuple = get_node (self);

  if (tuple->fixed_size == 0)
    return self->offset == self->end
      && is_well_framed (self, self->offset_size > 0
                               ? (self->part.size - self->end) / self->offset_size : 0);
  if (tuple->end == self->part.type + 2)
    return self->part.data[0] == 0;

  return skip_padding (self, tuple->alignment, self->end) && self->offset == self->end;
}

/* A tuple ends with the offsets of the ends of its members, in reverse order. There is none for a
 * member of fixed size and for the last member. */
static AForkValuePartResult
take_member (AForkValueContainer *self,
             AForkValuePart      *child)
{
  const AForkValueNode *tuple = get_node (self);
  const AForkValueNode *member = &self->part.nodes[self->member];
  const guint32 type = self->member;
  gsize end;

  if (self->member == tuple->end - 1)
    return is_tuple_complete (self) ? AFORK_VALUE_PART_END : AFORK_VALUE_PART_NOT_NORMAL;
  if (!skip_padding (self, member->alignment, self->end))
    return AFORK_VALUE_PART_NOT_NORMAL;

  self->member = member->end;
  if (member->fixed_size > 0)
    end = self->offset + member->fixed_size;
  else if (self->member == tuple->end - 1)
    end = self->end;
  else if (self->end - self->offset < self->offset_size)
    return AFORK_VALUE_PART_NOT_NORMAL;
  else
    {
      self->end -= self->offset_size;
      end = _afork_value_read_offset (self->part.data + self->end, self->offset_size);
    }
  return take_child (self, type, end, child);
}

AForkValuePartResult
_afork_value_container_next (AForkValueContainer *self,
                             AForkValuePart      *child)
{
  return get_node (self)->kind == 'a' ? take_element (self, child) : take_member (self, child);
}
