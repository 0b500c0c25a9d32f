/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The format is that of the GVariant specification. A value is checked depth first. The position of
 * the check is a stack of levels, one for each container or long text that is open. */

#define _GNU_SOURCE             /* memrchr() */

#include "config.h"

#include "normal-check.h"

#include <string.h>

#include "base/value-type.h"

enum
{
  /* The work of one step: a value counts as one unit, and so do CHUNK_SIZE bytes of text. */
  STEP_UNITS = 4096,
  CHUNK_SIZE = 64,
  /* How much text is checked at a time. */
  TEXT_PART = 16 * 1024,
};

/* A value that is to be checked. */
typedef struct
{
  const AForkValueNode *nodes;  /* of the whole type string */
  guint32               type;   /* the index of the node of this value's type */
  guint                 depth;  /* levels of nesting around it */
  const guint8         *data;
  gsize                 size;
} Value;

typedef struct
{
  Value   value;
  gsize   offset;               /* where the bytes begin that were not checked */
  gsize   end;                  /* where the data of the children must end */
  guint   offset_size;          /* the size of a framing offset */
  gsize   next;                 /* the next framing offset of an array */
  guint32 member;               /* the node of the next member of a tuple */
} Level;

/* The last type of a variant at a level. It is kept because the next one is often the same. */
typedef struct
{
  const char     *string;       /* in the data of the value that is checked */
  gsize           length;
  AForkValueNode *nodes;
  gsize           n_nodes;      /* allocated nodes */
} InnerType;

struct _AForkNormalCheck
{
  AForkNormalCheckResult result;
  guint                  n_units;       /* left in this step */

  AForkValueNode        *nodes;         /* of the whole value's type */
  gsize                  n_nodes;       /* allocated nodes */
  Level                  levels[AFORK_VALUE_MAX_DEPTH + 2];
  InnerType              inner[AFORK_VALUE_MAX_DEPTH + 2];    /* of each level */
  guint                  n_levels;
};

/* Types. */

/* Returns an upper bound of the levels of nesting of a valid TYPE. */
static gsize
get_depth (const char *type)
{
  /* How deep the types inside each open bracket are. */
  gsize outer[AFORK_VALUE_MAX_DEPTH + 1] = { 0 };
  gsize n_open = 0, depth = 1, max_depth = 1;

  for (; *type != '\0'; type++)
    {
      if (*type == 'a' || *type == 'm')
        depth++;
      else if ((*type == '(' || *type == '{') && n_open < AFORK_VALUE_MAX_DEPTH)
        outer[++n_open] = ++depth;
      else if ((*type == ')' || *type == '}') && n_open > 0)
        depth = outer[--n_open];
      else
        depth = outer[n_open];
      max_depth = MAX (max_depth, depth);
    }

  return max_depth;
}

gboolean
_afork_type_is_simple (const char *type)
{
  gsize length = strlen (type);

  return _afork_value_type_is_simple (length, AFORK_VALUE_MAX_DEPTH)
    || _afork_value_type_is_simple (length, get_depth (type));
}

/* Makes room for SIZE nodes. Returns false if there is no memory. */
static gboolean
reserve_nodes (AForkValueNode **nodes,
               gsize           *n_nodes,
               gsize            size)
{
  AForkValueNode *more;

  if (size <= *n_nodes)
    return TRUE;
  more = g_try_realloc_n (*nodes, size, sizeof (AForkValueNode));
  if (more == NULL)
    return FALSE;

  *nodes = more;
  *n_nodes = size;
  return TRUE;
}

static void
charge (AForkNormalCheck *self,
        gsize             n_units)
{
  self->n_units -= (guint) MIN (self->n_units, n_units);
}

/* Whether the LENGTH characters of TEXT are all among ALLOWED. */
static gboolean
consists_of (const char *text,
             gsize       length,
             const char *allowed)
{
  for (gsize i = 0; i < length; i++)
    if (text[i] == '\0' || strchr (allowed, text[i]) == NULL)
      return FALSE;

  return TRUE;
}

/* Returns the nodes of the type of a variant, at the level that is opened next, or NULL. */
static const AForkValueNode *
read_inner_type (AForkNormalCheck *self,
                 const char       *type,
                 gsize             length)
{
  InnerType *inner = &self->inner[self->n_levels];

  if (length == 1)
    {
      const AForkValueNode *node = _afork_value_node_get_basic (*type);

      if (node == NULL)
        self->result = AFORK_NORMAL_CHECK_NOT_NORMAL;
      return node;
    }
  if (inner->length == length && inner->length > 0
      && memcmp (inner->string, type, length) == 0)
    return inner->nodes;

  charge (self, length / 8);
  inner->length = 0;
  if (!reserve_nodes (&inner->nodes, &inner->n_nodes, length))
    {
      self->result = AFORK_NORMAL_CHECK_NO_MEMORY;
      return NULL;
    }
  if (!_afork_value_nodes_read (inner->nodes, type, length))
    {
      self->result = AFORK_NORMAL_CHECK_NOT_NORMAL;
      return NULL;
    }
  if (!_afork_value_type_is_simple (length, inner->nodes[0].depth))
    {
      self->result = AFORK_NORMAL_CHECK_TOO_COMPLEX;
      return NULL;
    }
  inner->string = type;
  inner->length = length;
  return inner->nodes;
}

/* Text. */

static void
fail (AForkNormalCheck *self)
{
  self->result = AFORK_NORMAL_CHECK_NOT_NORMAL;
}

/* Each of these checks a part of TEXT, of LENGTH bytes and a NUL, from OFFSET on. It returns the
 * offset of the next part. */

static gsize
check_string (AForkNormalCheck *self,
              const char       *text,
              gsize             length,
              gsize             offset)
{
  const gsize size = MIN (length - offset, (gsize) TEXT_PART);
  const char *end;

  charge (self, size / CHUNK_SIZE);
  if (g_utf8_validate_len (text + offset, size, &end))
    return offset + size;

  /* The last character may continue in the next part. */
  if (end == text + offset || offset + size == length || end + 3 < text + offset + size)
    fail (self);
  return (gsize) (end - text);
}

static gboolean
is_in_path (const char *text,
            gsize       index)
{
  if (text[index] == '/')
    return index == 0 || text[index - 1] != '/';

  return index > 0 && (g_ascii_isalnum (text[index]) || text[index] == '_');
}

static gsize
check_path (AForkNormalCheck *self,
            const char       *text,
            gsize             length,
            gsize             offset)
{
  const gsize end = offset + MIN (length - offset, (gsize) TEXT_PART);

  charge (self, (end - offset) / CHUNK_SIZE);
  for (gsize i = offset; i < end; i++)
    if (!is_in_path (text, i))
      {
        fail (self);
        return i;
      }

  if (length == 0 || (length > 1 && text[length - 1] == '/'))
    fail (self);
  return end;
}

/* A signature is a sequence of any number of types. */
static gsize
check_signature (AForkNormalCheck *self,
                 const char       *text,
                 gsize             length,
                 gsize             offset)
{
  const gsize end = offset + MIN (length - offset, (gsize) TEXT_PART);

  while (offset < end)
    {
      const char *type = text + offset;
      const gsize size = MIN (length - offset, (gsize) AFORK_VALUE_MAX_TYPE);
      const char *type_end;

      if (!g_variant_type_string_scan (type, type + size, &type_end))
        {
          self->result = size < length - offset ? AFORK_NORMAL_CHECK_TOO_COMPLEX
                                                : AFORK_NORMAL_CHECK_NOT_NORMAL;
          break;
        }
      if (!consists_of (type, (gsize) (type_end - type), "ybnqiuxthdvasog(){}"))
        {
          fail (self);
          break;
        }
      charge (self, 1 + (gsize) (type_end - type) / 8);
      offset += (gsize) (type_end - type);
    }

  return offset;
}

static gsize
check_text (AForkNormalCheck *self,
            char              kind,
            const guint8     *data,
            gsize             size,
            gsize             offset)
{
  const char *text = (const char *) data;

  if (size == 0 || text[size - 1] != '\0')
    {
      fail (self);
      return offset;
    }

  switch (kind)
    {
    case 's':
      return check_string (self, text, size - 1, offset);
    case 'o':
      return check_path (self, text, size - 1, offset);
    default:
      return check_signature (self, text, size - 1, offset);
    }
}

/* Values. */

/* Opens a level for VALUE. There is a level for each: enter_variant() limits the depth of
 * values. */
static Level *
push (AForkNormalCheck *self,
      const Value      *value)
{
  Level *level = &self->levels[self->n_levels++];

  g_assert (self->n_levels <= G_N_ELEMENTS (self->levels));
  *level = (Level) { .value = *value, .end = value->size };
  return level;
}

static void
begin_text (AForkNormalCheck *self,
            const Value      *value)
{
  gsize offset = check_text (self, value->nodes[value->type].kind, value->data, value->size, 0);

  if (self->result == AFORK_NORMAL_CHECK_UNFINISHED && offset < value->size - 1)
    push (self, value)->offset = offset;
}

static void
begin_tuple (AForkNormalCheck *self,
             const Value      *value)
{
  Level *level = push (self, value);

  level->offset_size = _afork_value_get_offset_size (value->size);
  level->member = value->type + 1;
}

/* If the elements of an array have no fixed size, the offsets of their ends follow the elements. */
static void
begin_array (AForkNormalCheck *self,
             const Value      *value)
{
  const AForkValueNode *element = &value->nodes[value->type + 1];
  const guint offset_size = _afork_value_get_offset_size (value->size);
  Level *level;
  gsize end;

  if (value->size == 0)
    return;
  if (element->fixed_size > 0)
    {
      if (value->size % element->fixed_size != 0)
        fail (self);
      else if (!element->is_any)
        push (self, value);
      return;
    }

  end = _afork_value_read_offset (value->data + value->size - offset_size, offset_size);
  if (end >= value->size || (value->size - end) % offset_size != 0)
    {
      fail (self);
      return;
    }
  level = push (self, value);
  level->end = end;
  level->next = end;
  level->offset_size = offset_size;
}

/* Replaces VALUE, a variant, by the value in it. Returns false if it is invalid. */
static gboolean
enter_variant (AForkNormalCheck *self,
               Value            *value)
{
  const gsize max_length = MIN (value->size, (gsize) AFORK_VALUE_MAX_TYPE + 1);
  const guint8 *end = value->data + value->size;
  const guint8 *separator = memrchr (end - max_length, '\0', max_length);
  const AForkValueNode *nodes;

  if (separator == NULL || separator == end - 1)
    {
      self->result = max_length < value->size && separator == NULL
        ? AFORK_NORMAL_CHECK_TOO_COMPLEX : AFORK_NORMAL_CHECK_NOT_NORMAL;
      return FALSE;
    }

  nodes = read_inner_type (self, (const char *) separator + 1, (gsize) (end - separator) - 1);
  if (nodes == NULL)
    return FALSE;
  if (value->depth + nodes[0].depth >= AFORK_VALUE_MAX_DEPTH)
    {
      fail (self);
      return FALSE;
    }

  *value = (Value) {
    .nodes = nodes,
    .depth = value->depth + 1,
    .data = value->data,
    .size = (gsize) (separator - value->data),
  };
  return TRUE;
}

/* Replaces VALUE, a maybe, by the value in it. Returns false if it has none or is invalid. */
static gboolean
enter_maybe (AForkNormalCheck *self,
             Value            *value)
{
  const AForkValueNode *element = &value->nodes[value->type + 1];

  if (value->size == 0)
    return FALSE;

  value->type++;
  value->depth++;
  if (element->fixed_size > 0)
    return TRUE;

  /* A zero follows the value, so that its size is not 0. */
  value->size--;
  if (value->data[value->size] != 0)
    fail (self);
  return self->result == AFORK_NORMAL_CHECK_UNFINISHED;
}

/* Checks a value, or opens a level for it. */
static void
begin_value (AForkNormalCheck *self,
             Value             value)
{
  const AForkValueNode *node = &value.nodes[value.type];

  charge (self, 1);
  while (node->kind == 'v' || node->kind == 'm')
    {
      if (!(node->kind == 'v' ? enter_variant (self, &value) : enter_maybe (self, &value)))
        return;
      node = &value.nodes[value.type];
    }

  if (node->fixed_size > 0 && value.size != node->fixed_size)
    fail (self);
  else if (node->is_any)
    return;
  else if (node->kind == 'b')
    {
      if (value.data[0] > 1)
        fail (self);
    }
  else if (node->kind == 'a')
    begin_array (self, &value);
  else if (node->kind == '(' || node->kind == '{')
    begin_tuple (self, &value);
  else
    begin_text (self, &value);
}

/* Levels. */

static void
pop (AForkNormalCheck *self)
{
  self->n_levels--;
}

/* Checks that the bytes from the offset of LEVEL to the next aligned offset are zeros. */
static gboolean
skip_padding (AForkNormalCheck *self,
              Level            *level,
              guint8            alignment,
              gsize             end)
{
  const gsize aligned = _afork_value_align (level->offset, alignment);

  if (aligned > end)
    fail (self);
  else
    while (level->offset < aligned)
      if (level->value.data[level->offset++] != 0)
        fail (self);

  return self->result == AFORK_NORMAL_CHECK_UNFINISHED;
}

/* Checks the next child, which ends at END and has the type at TYPE. */
static void
begin_child (AForkNormalCheck *self,
             Level            *level,
             guint32           type,
             gsize             end)
{
  const gsize offset = level->offset;

  if (end < offset || end > level->end)
    {
      fail (self);
      return;
    }

  level->offset = end;
  begin_value (self, (Value) {
    .nodes = level->value.nodes,
    .type = type,
    .depth = level->value.depth + 1,
    .data = level->value.data + offset,
    .size = end - offset,
  });
}

static void
go_on_with_text (AForkNormalCheck *self,
                 Level            *level)
{
  level->offset = check_text (self, level->value.nodes[level->value.type].kind,
                              level->value.data, level->value.size, level->offset);
  if (level->offset >= level->value.size - 1)
    pop (self);
}

static void
go_on_with_array (AForkNormalCheck *self,
                  Level            *level)
{
  const guint32 type = level->value.type + 1;
  const AForkValueNode *element = &level->value.nodes[type];
  gsize end;

  if (element->fixed_size > 0)
    {
      if (level->offset == level->value.size)
        pop (self);
      else
        begin_child (self, level, type, level->offset + element->fixed_size);
      return;
    }

  if (level->next == level->value.size)
    {
      pop (self);
      return;
    }

  end = _afork_value_read_offset (level->value.data + level->next, level->offset_size);
  level->next += level->offset_size;
  /* What follows the elements is no padding, wherever this element is said to end. */
  if (skip_padding (self, level, element->alignment, MIN (end, level->end)))
    begin_child (self, level, type, end);
}

/* A tuple ends with the offsets of the ends of its members, in reverse order. There is none for a
 * member of fixed size and for the last member. */
static void
go_on_with_tuple (AForkNormalCheck *self,
                  Level            *level)
{
  const AForkValueNode *nodes = level->value.nodes;
  const AForkValueNode *tuple = &nodes[level->value.type];
  const AForkValueNode *member = &nodes[level->member];
  const guint32 type = level->member;
  gsize end;

  if (level->member == tuple->end - 1)
    {
      /* The empty tuple is a zero. A tuple of fixed size is padded to its alignment. */
      if (tuple->fixed_size > 0 && !skip_padding (self, level, tuple->alignment, level->end))
        return;
      if (tuple->end == level->value.type + 2 && level->value.data[level->offset++] != 0)
        fail (self);
      if (level->offset != level->end)
        fail (self);
      pop (self);
      return;
    }

  if (!skip_padding (self, level, member->alignment, level->end))
    return;

  level->member = member->end;
  if (member->fixed_size > 0)
    end = level->offset + member->fixed_size;
  else if (level->member == tuple->end - 1)
    end = level->end;
  else if (level->end - level->offset < level->offset_size)
    {
      fail (self);
      return;
    }
  else
    {
      level->end -= level->offset_size;
      end = _afork_value_read_offset (level->value.data + level->end, level->offset_size);
    }
  begin_child (self, level, type, end);
}

static void
go_on (AForkNormalCheck *self)
{
  Level *level = &self->levels[self->n_levels - 1];

  switch (level->value.nodes[level->value.type].kind)
    {
    case 'a':
      go_on_with_array (self, level);
      break;
    case '(':
    case '{':
      go_on_with_tuple (self, level);
      break;
    default:
      go_on_with_text (self, level);
      break;
    }
}

/* The check. */

AForkNormalCheck *
_afork_normal_check_new (void)
{
  return g_new0 (AForkNormalCheck, 1);
}

void
_afork_normal_check_free (AForkNormalCheck *self)
{
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner); i++)
    g_free (self->inner[i].nodes);
  g_free (self->nodes);
  g_free (self);
}

void
_afork_normal_check_begin (AForkNormalCheck *self,
                           const char       *type,
                           gconstpointer     data,
                           gsize             size)
{
  const gsize length = strlen (type);

  /* The strings of the inner types are in the data of the last value. */
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner); i++)
    self->inner[i].length = 0;
  self->n_levels = 0;
  self->n_units = STEP_UNITS;
  self->result = AFORK_NORMAL_CHECK_UNFINISHED;
  if (!reserve_nodes (&self->nodes, &self->n_nodes, length))
    {
      self->result = AFORK_NORMAL_CHECK_NO_MEMORY;
      return;
    }
  _afork_value_nodes_read (self->nodes, type, length);
  begin_value (self, (Value) {
    .nodes = self->nodes,
    .data = data != NULL ? data : (gconstpointer) "",
    .size = size,
  });
}

AForkNormalCheckResult
_afork_normal_check_go_on (AForkNormalCheck *self)
{
  self->n_units = STEP_UNITS;
  while (self->result == AFORK_NORMAL_CHECK_UNFINISHED && self->n_levels > 0 && self->n_units > 0)
    go_on (self);
  if (self->result == AFORK_NORMAL_CHECK_UNFINISHED && self->n_levels == 0)
    self->result = AFORK_NORMAL_CHECK_NORMAL;

  return self->result;
}

AForkNormalCheckResult
_afork_normal_check_run (AForkNormalCheck *self,
                         const char       *type,
                         gconstpointer     data,
                         gsize             size)
{
  AForkNormalCheckResult result;

  _afork_normal_check_begin (self, type, data, size);
  do
    result = _afork_normal_check_go_on (self);
  while (result == AFORK_NORMAL_CHECK_UNFINISHED);

  return result;
}
