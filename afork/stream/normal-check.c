/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The format is that of the GVariant specification. A value is checked depth first. The position of
 * the check is a stack of levels, one for each container or long text that is open. */

#include "config.h"

#include "normal-check.h"

#include <string.h>

#include "base/value-part.h"

enum
{
  /* The work of one step: a value counts as one unit, and so do CHUNK_SIZE bytes of text. */
  STEP_UNITS = 4096,
  CHUNK_SIZE = 64,
  /* How much text is checked at a time. */
  TEXT_PART = 16 * 1024,
};

/* A container, or a long text. */
typedef struct
{
  AForkValueContainer container;
  gsize               text_offset;      /* where the text begins that was not checked */
} Level;

struct _AForkNormalCheck
{
  AForkNormalCheckResult result;
  guint                  n_units;       /* left in this step */

  AForkValueType         type;          /* of the whole value */
  Level                  levels[AFORK_VALUE_MAX_DEPTH + 2];
  AForkValueType         inner_types[AFORK_VALUE_MAX_DEPTH + 2];      /* of each level */
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

/* Notes an error. Returns whether there is none. */
static gboolean
take_result (AForkNormalCheck     *self,
             AForkValuePartResult  result)
{
  switch (result)
    {
    case AFORK_VALUE_PART_FOUND:
    case AFORK_VALUE_PART_END:
      return TRUE;
    case AFORK_VALUE_PART_TYPE_TOO_COMPLEX:
      self->result = AFORK_NORMAL_CHECK_TOO_COMPLEX;
      return FALSE;
    case AFORK_VALUE_PART_NO_MEMORY:
      self->result = AFORK_NORMAL_CHECK_NO_MEMORY;
      return FALSE;
    default:
      fail (self);
      return FALSE;
    }
}

/* Opens a level. There is one for each: enter_variant() limits the depth of values. */
static Level *
push (AForkNormalCheck *self)
{
  Level *level = &self->levels[self->n_levels++];

  g_assert (self->n_levels <= G_N_ELEMENTS (self->levels));
  return level;
}

static void
begin_text (AForkNormalCheck     *self,
            const AForkValuePart *text)
{
  gsize offset = check_text (self, text->nodes[text->type].kind, text->data, text->size, 0);

  if (self->result == AFORK_NORMAL_CHECK_UNFINISHED && offset < text->size - 1)
    *push (self) = (Level) { .container = { .part = *text }, .text_offset = offset };
}

static void
begin_container (AForkNormalCheck     *self,
                 const AForkValuePart *part)
{
  const AForkValueNode *node = &part->nodes[part->type];

  if (take_result (self, _afork_value_container_open (&push (self)->container, part))
      && node->kind == 'a' && (part->size == 0 || node[1].is_any))
    self->n_levels--;
}

/* Replaces PART, a variant, by the value in it. Returns FALSE if it is invalid. */
static gboolean
enter_variant (AForkNormalCheck *self,
               AForkValuePart   *part)
{
  AForkValueType *type = &self->inner_types[self->n_levels];
  const char *known = type->string;

  if (!take_result (self, _afork_value_part_enter_variant (part, type)))
    return FALSE;

  if (type->string != known)
    charge (self, type->length / 8);
  return TRUE;
}

/* Checks a value, or opens a level for it. */
static void
begin_value (AForkNormalCheck *self,
             AForkValuePart    part)
{
  const AForkValueNode *node = &part.nodes[part.type];

  charge (self, 1);
  while (node->kind == 'v' || node->kind == 'm')
    {
      if (node->kind == 'm' && part.size == 0)
        return;
      if (!(node->kind == 'v' ? enter_variant (self, &part)
            : take_result (self, _afork_value_part_enter_maybe (&part))))
        return;
      node = &part.nodes[part.type];
    }

  if (node->fixed_size > 0 && part.size != node->fixed_size)
    fail (self);
  else if (node->is_any)
    return;
  else if (node->kind == 'b')
    {
      if (part.data[0] > 1)
        fail (self);
    }
  else if (node->kind == 'a' || node->kind == '(' || node->kind == '{')
    begin_container (self, &part);
  else
    begin_text (self, &part);
}

/* Levels. */

static void
go_on_with_text (AForkNormalCheck *self,
                 Level            *level)
{
  const AForkValuePart *text = &level->container.part;

  level->text_offset = check_text (self, text->nodes[text->type].kind, text->data, text->size,
                                   level->text_offset);
  if (level->text_offset >= text->size - 1)
    self->n_levels--;
}

static void
go_on_with_container (AForkNormalCheck *self,
                      Level            *level)
{
  AForkValuePart child;
  const AForkValuePartResult result = _afork_value_container_next (&level->container, &child);

  if (result == AFORK_VALUE_PART_END)
    self->n_levels--;
  else if (take_result (self, result))
    begin_value (self, child);
}

static void
go_on (AForkNormalCheck *self)
{
  Level *level = &self->levels[self->n_levels - 1];
  const AForkValuePart *part = &level->container.part;

  switch (part->nodes[part->type].kind)
    {
    case 'a':
    case '(':
    case '{':
      go_on_with_container (self, level);
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
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner_types); i++)
    _afork_value_type_clear (&self->inner_types[i]);
  _afork_value_type_clear (&self->type);
  g_free (self);
}

void
_afork_normal_check_begin (AForkNormalCheck *self,
                           const char       *type,
                           gconstpointer     data,
                           gsize             size)
{
  /* The strings of the inner types are in the data of the last value. */
  for (gsize i = 0; i < G_N_ELEMENTS (self->inner_types); i++)
    _afork_value_type_forget (&self->inner_types[i]);
  _afork_value_type_forget (&self->type);
  self->n_levels = 0;
  self->n_units = STEP_UNITS;
  self->result = AFORK_NORMAL_CHECK_UNFINISHED;
  if (take_result (self, _afork_value_type_read (&self->type, type, strlen (type))))
    begin_value (self, (AForkValuePart) {
      .nodes = self->type.nodes,
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
