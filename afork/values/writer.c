/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The format is that of the GVariant specification. A value is written once, from its beginning to
 * its end, although some types are known only at the end:
 *
 * - The alignment of a list or tuple is not known before its items are. It is written at a multiple
 *   of 8, which suits all types, and moved down at its end if its real alignment permits that. Its
 *   items do not change, because they are aligned relative to it.
 * - A list is an array of numbers or of strings until an item of another type comes. Then the items
 *   before are moved apart, and each becomes a variant.
 *
 * The type strings of all open containers form one string. A variant takes its type off the end of
 * that string, and puts it behind the value. */

#include "config.h"

#include "writer.h"

#include <string.h>

#include "base/value-type.h"
#include "reader.h"

enum
{
  /* The alignment of numbers and variants, minus one. All others have none. */
  WORD = 7,
  MIN_ALLOCATED = 256,
  /* A value that leaves more memory unused than this is copied to memory of its own size. */
  MAX_UNUSED = 4096,
};

typedef enum
{
  LEVEL_ROOT,
  LEVEL_LIST,
  LEVEL_TUPLE,
  LEVEL_DICTIONARY,
} LevelKind;

typedef struct
{
  LevelKind kind;
  guint     depth;              /* levels of nesting around its children */
  gsize     before;             /* the end of what precedes it */
  gsize     start;              /* where its children begin, a multiple of 8 */
  gsize     n_items;
  gsize     first_end;          /* the index of its first framing offset */
  gsize     type;               /* the index of its type, or of that of the child in a variant */

  char      element;            /* of a list: the type of the elements, or 0 */
  gboolean  has_key;            /* of a dictionary: the next value has its key */
  gsize     entry;              /* of a dictionary: where the last entry begins */
  gsize     key_end;            /* of a dictionary: the end of the last key */

  guint8    alignment;          /* of a tuple: of its members so far */
  gboolean  is_fixed;           /* of a tuple: all members have a fixed size */
  gboolean  ends_fixed;         /* of a tuple: the last member has a fixed size */
  guint     type_depth;         /* levels of nesting of the types of its children */
} Level;

typedef struct
{
  gpointer data;
  gsize    n;                   /* elements */
  gsize    n_allocated;
} Array;

/* What a value is, when it was written. */
typedef struct
{
  guint8   alignment;
  gboolean is_fixed;
  guint    type_depth;
} Written;

struct _AForkValueWriter
{
  AForkValueStatus status;
  Array            bytes;       /* of guint8 */
  Array            types;       /* of char */
  Array            ends;        /* of gsize: framing offsets, relative to the start of a level */
  Level            levels[AFORK_VALUE_MAX_DEPTH + 1];
  guint            n_levels;
};

static const Written word = { WORD, TRUE, 1 };

/* Memory. */

static gboolean
reserve (AForkValueWriter *self,
         Array            *array,
         gsize             element_size,
         gsize             n_more)
{
  gsize n_allocated;
  gpointer data;

  if (n_more <= array->n_allocated - array->n)
    return TRUE;

  /* What is much larger than all before is probably the last. */
  if (n_more > G_MAXSSIZE / 2 / element_size - array->n)
    n_allocated = 0;
  else
    n_allocated = MAX (array->n + n_more + MIN_ALLOCATED, array->n + array->n / 2);
  data = n_allocated > 0 ? g_try_realloc_n (array->data, n_allocated, element_size) : NULL;
  if (data == NULL)
    {
      self->status = AFORK_VALUE_NO_MEMORY;
      return FALSE;
    }

  array->data = data;
  array->n_allocated = n_allocated;
  return TRUE;
}

static guint8 *
get_bytes (AForkValueWriter *self,
           gsize             offset)
{
  return (guint8 *) self->bytes.data + offset;
}

static gsize *
get_ends (AForkValueWriter *self,
          gsize             index)
{
  return (gsize *) self->ends.data + index;
}

static gboolean
put (AForkValueWriter *self,
     gconstpointer     data,
     gsize             size)
{
  if (!reserve (self, &self->bytes, 1, size))
    return FALSE;

  if (size > 0)
    memcpy (get_bytes (self, self->bytes.n), data, size);
  self->bytes.n += size;
  return TRUE;
}

/* ALIGNMENT is minus one. All containers that are open begin at a multiple of 8. */
static gboolean
pad (AForkValueWriter *self,
     guint8            alignment)
{
  static const guint8 zeros[WORD];

  return put (self, zeros, _afork_value_align (self->bytes.n, alignment) - self->bytes.n);
}

static gboolean
put_type (AForkValueWriter *self,
          const char       *type)
{
  const gsize length = strlen (type);

  if (!reserve (self, &self->types, 1, length))
    return FALSE;

  memcpy ((char *) self->types.data + self->types.n, type, length);
  self->types.n += length;
  return TRUE;
}

/* Adds the framing offset of a child that ends here. */
static gboolean
put_end (AForkValueWriter *self,
         const Level      *level)
{
  if (!reserve (self, &self->ends, sizeof (gsize), 1))
    return FALSE;

  *get_ends (self, self->ends.n++) = self->bytes.n - level->start;
  return TRUE;
}

static Level *
get_level (AForkValueWriter *self)
{
  return &self->levels[self->n_levels - 1];
}

static gboolean
fail (AForkValueWriter *self,
      AForkValueStatus  status)
{
  self->status = status;
  return FALSE;
}

/* Variants. */

static gboolean
check_type (AForkValueWriter *self,
            gsize             length,
            guint             depth)
{
  return (length <= AFORK_VALUE_MAX_TYPE && _afork_value_type_is_simple (length, depth))
    || fail (self, AFORK_VALUE_TOO_COMPLEX);
}

/* The value that was written last was to be a variant: adds its type, of which WRITTEN has the
 * depth. */
static gboolean
end_variant (AForkValueWriter *self,
             const Level      *level,
             const Written    *written)
{
  const gsize length = self->types.n - level->type;

  if (!check_type (self, length, written->type_depth)
      || !reserve (self, &self->bytes, 1, length + 1))
    return FALSE;

  *get_bytes (self, self->bytes.n) = 0;
  memcpy (get_bytes (self, self->bytes.n + 1), (char *) self->types.data + level->type, length);
  self->bytes.n += length + 1;
  self->types.n = level->type;
  return TRUE;
}

/* Makes variants of the numbers that a list has so far. */
static gboolean
spread_numbers (AForkValueWriter *self,
                Level            *level)
{
  const guint8 tail[8] = { 0, (guint8) level->element };
  gsize size = 0;

  for (gsize i = 0; i < level->n_items; i++)
    {
      size = i * 16 + 10;
      self->bytes.n = level->start + size;
      if (!put_end (self, level))
        return FALSE;
    }
  self->bytes.n = level->start + level->n_items * 8;
  if (!reserve (self, &self->bytes, 1, level->n_items * 8))
    return FALSE;

  for (gsize i = level->n_items; i-- > 0;)
    {
      guint8 *to = get_bytes (self, level->start + i * 16);

      memmove (to, get_bytes (self, level->start + i * 8), 8);
      memcpy (to + 8, tail, i + 1 < level->n_items ? 8 : 2);
    }
  self->bytes.n = level->start + size;
  return TRUE;
}

/* Makes variants of the strings that a list has so far. */
static gboolean
spread_strings (AForkValueWriter *self,
                Level            *level)
{
  static const guint8 tail[2 + WORD] = { 0, 's' };
  gsize size = 0, end = 0;
  gsize *new_ends, *ends;

  /* First their new ends, behind the old ones. */
  if (!reserve (self, &self->ends, sizeof (gsize), level->n_items))
    return FALSE;
  ends = get_ends (self, level->first_end);
  new_ends = ends + level->n_items;
  for (gsize i = 0; i < level->n_items; i++)
    {
      size = _afork_value_align (size, WORD) + (ends[i] - end) + 2;
      end = ends[i];
      new_ends[i] = size;
    }

  if (!reserve (self, &self->bytes, 1, size - end))
    return FALSE;

  for (gsize i = level->n_items; i-- > 0;)
    {
      const gsize from = i > 0 ? ends[i - 1] : 0;
      const gsize to = i > 0 ? _afork_value_align (new_ends[i - 1], WORD) : 0;
      const gsize next = i + 1 < level->n_items ? _afork_value_align (new_ends[i], WORD) : size;

      memmove (get_bytes (self, level->start + to), get_bytes (self, level->start + from),
               ends[i] - from);
      memcpy (get_bytes (self, level->start + new_ends[i] - 2), tail, next - new_ends[i] + 2);
      ends[i] = new_ends[i];
    }
  self->bytes.n = level->start + size;
  return TRUE;
}

/* Values. */

static gboolean
is_variant_in (const Level *level)
{
  return level->kind == LEVEL_DICTIONARY || (level->kind == LEVEL_LIST && level->element == 'v');
}

/* Decides what the next element of a list is. KIND is that of the value, or 0 for a value that is
 * always in a variant. */
static gboolean
choose_element (AForkValueWriter *self,
                Level            *level,
                char              kind)
{
  if (level->element == 'v' || (kind != 0 && level->element == kind))
    return TRUE;
  if (kind != 0 && level->element == 0)
    {
      level->element = kind;
      return TRUE;
    }

  if (level->element != 0
      && !(level->element == 's' ? spread_strings (self, level) : spread_numbers (self, level)))
    return FALSE;
  level->element = 'v';
  return TRUE;
}

/* Begins a value. It has DEPTH levels of nesting, without those of its own children. */
static gboolean
begin_value (AForkValueWriter *self,
             char              kind,
             guint             depth)
{
  Level *level = get_level (self);
  gboolean is_variant;

  if (self->status != AFORK_VALUE_WRITTEN)
    return FALSE;

  g_assert (level->kind != LEVEL_ROOT || level->n_items == 0);
  g_assert (level->kind != LEVEL_DICTIONARY || level->has_key);

  if (level->kind == LEVEL_LIST && !choose_element (self, level, kind))
    return FALSE;
  is_variant = is_variant_in (level);
  if (level->depth + is_variant + depth > AFORK_VALUE_MAX_DEPTH)
    return fail (self, AFORK_VALUE_TOO_DEEP);

  if (is_variant)
    level->type = self->types.n;
  return !is_variant || pad (self, WORD);
}

/* Ends an entry of a dictionary, which has one framing offset: that of the end of its key. */
static gboolean
end_entry (AForkValueWriter *self,
           Level            *level)
{
  const gsize size = self->bytes.n - level->entry;
  const gsize framed_size = _afork_value_get_framed_size (size, 1);

  if (!reserve (self, &self->bytes, 1, framed_size - size))
    return FALSE;

  _afork_value_write_offset (get_bytes (self, self->bytes.n), (guint) (framed_size - size),
                             level->key_end - level->entry);
  self->bytes.n += framed_size - size;
  level->has_key = FALSE;
  return TRUE;
}

static gboolean
add_member (AForkValueWriter *self,
            Level            *level,
            const Written    *written)
{
  level->alignment |= written->alignment;
  level->is_fixed &= written->is_fixed;
  level->ends_fixed = written->is_fixed;
  level->type_depth = MAX (level->type_depth, written->type_depth);
  return (written->is_fixed || put_end (self, level))
    && check_type (self, self->types.n - level->type, level->type_depth + 1);
}

static AForkValueStatus
end_value (AForkValueWriter *self,
           const Written    *written)
{
  Level *level = get_level (self);

  level->n_items++;
  switch (level->kind)
    {
    case LEVEL_LIST:
      if (level->element == 'v' ? end_variant (self, level, written) : !written->is_fixed)
        put_end (self, level);
      break;
    case LEVEL_DICTIONARY:
      if (end_variant (self, level, written) && end_entry (self, level))
        put_end (self, level);
      break;
    case LEVEL_TUPLE:
      add_member (self, level, written);
      break;
    default:
      check_type (self, self->types.n, written->type_depth);
      break;
    }

  return self->status;
}

/* In a list of numbers or strings, the elements have no types of their own. */
static gboolean
put_basic_type (AForkValueWriter *self,
                const char       *type)
{
  const Level *level = get_level (self);

  return level->kind == LEVEL_LIST && level->element != 'v' ? TRUE : put_type (self, type);
}

/* Adds a number to a list of such numbers, if there is memory left: most numbers are in one. */
static gboolean
append_number (AForkValueWriter *self,
               Level            *level,
               char              type,
               gconstpointer     number)
{
  if (level->kind != LEVEL_LIST || level->element != type
      || self->status != AFORK_VALUE_WRITTEN || self->bytes.n_allocated - self->bytes.n < 8)
    return FALSE;

  memcpy (get_bytes (self, self->bytes.n), number, 8);
  self->bytes.n += 8;
  level->n_items++;
  return TRUE;
}

static AForkValueStatus
add_number (AForkValueWriter *self,
            const char       *type,
            gboolean          is_uniform,
            gconstpointer     number)
{
  if (append_number (self, get_level (self), *type, number))
    return AFORK_VALUE_WRITTEN;
  if (begin_value (self, is_uniform ? *type : 0, 1) && put_basic_type (self, type)
      && pad (self, WORD) && put (self, number, 8))
    return end_value (self, &word);

  return self->status;
}

AForkValueStatus
_afork_value_writer_add_nothing (AForkValueWriter *self)
{
  static const Written nothing = { WORD, FALSE, 2 };
  static const Written unit = { 0, TRUE, 1 };

  if (get_level (self)->kind == LEVEL_ROOT)
    {
      if (begin_value (self, 0, 1) && put_type (self, "()") && put (self, "", 1))
        return end_value (self, &unit);
    }
  else if (begin_value (self, 0, 2) && put_type (self, "mv") && pad (self, WORD))
    return end_value (self, &nothing);

  return self->status;
}

AForkValueStatus
_afork_value_writer_add_boolean (AForkValueWriter *self,
                                 gboolean          value)
{
  static const Written boolean = { 0, TRUE, 1 };
  const guint8 byte = value != FALSE;

  if (begin_value (self, 0, 1) && put_type (self, "b") && put (self, &byte, 1))
    return end_value (self, &boolean);

  return self->status;
}

AForkValueStatus
_afork_value_writer_add_int64 (AForkValueWriter *self,
                               gint64            value)
{
  return add_number (self, "x", TRUE, &value);
}

AForkValueStatus
_afork_value_writer_add_uint64 (AForkValueWriter *self,
                                guint64           value)
{
  if (value <= G_MAXINT64)
    return add_number (self, "x", TRUE, &value);

  return add_number (self, "t", FALSE, &value);
}

AForkValueStatus
_afork_value_writer_add_double (AForkValueWriter *self,
                                double            value)
{
  return add_number (self, "d", TRUE, &value);
}

AForkValueStatus
_afork_value_writer_add_string (AForkValueWriter *self,
                                const char       *text,
                                gsize             length)
{
  static const Written string = { 0, FALSE, 1 };

  if (begin_value (self, 's', 1) && put_basic_type (self, "s")
      && put (self, text, length) && put (self, "", 1))
    return end_value (self, &string);

  return self->status;
}

AForkValueStatus
_afork_value_writer_add_bytes (AForkValueWriter *self,
                               gconstpointer     data,
                               gsize             size)
{
  static const Written bytes = { 0, FALSE, 2 };

  if (begin_value (self, 0, 2) && put_type (self, "ay") && put (self, data, size))
    return end_value (self, &bytes);

  return self->status;
}

AForkValueStatus
_afork_value_writer_add_variant (AForkValueWriter *self,
                                 GVariant         *value)
{
  static const Written variant = { WORD, FALSE, 1 };
  const guint depth = get_level (self)->depth + 1;
  g_autoptr(GVariant) owned = g_variant_ref_sink (value);
  AForkValueEventKind result;
  const char *type;

  if (!begin_value (self, 0, 2) || !put_type (self, "v") || !pad (self, WORD))
    return self->status;

  type = g_variant_get_type_string (owned);
  result = _afork_value_check (type, g_variant_get_data (owned), g_variant_get_size (owned),
                               depth + is_variant_in (get_level (self)));
  if (result == AFORK_VALUE_NOT_NORMAL)
    {
      g_autoptr(GVariant) normal = g_variant_get_normal_form (owned);

      result = _afork_value_check (type, g_variant_get_data (normal), g_variant_get_size (normal),
                                   depth + is_variant_in (get_level (self)));
      g_variant_unref (owned);
      owned = g_steal_pointer (&normal);
      type = g_variant_get_type_string (owned);
    }

  switch (result)
    {
    case AFORK_VALUE_FINISHED:
      if (put (self, g_variant_get_data (owned), g_variant_get_size (owned))
          && put (self, "", 1) && put (self, type, strlen (type)))
        return end_value (self, &variant);
      break;
    case AFORK_VALUE_OUT_OF_MEMORY:
      fail (self, AFORK_VALUE_NO_MEMORY);
      break;
    case AFORK_VALUE_TYPE_TOO_COMPLEX:
      fail (self, AFORK_VALUE_TOO_COMPLEX);
      break;
    default:
      fail (self, AFORK_VALUE_TOO_DEEP);
      break;
    }
  return self->status;
}

/* Containers. */

/* TYPE_DEPTH is that of the type of an empty container. */
static AForkValueStatus
begin_container (AForkValueWriter *self,
                 LevelKind         kind,
                 guint             type_depth)
{
  const gsize before = self->bytes.n;
  Level *outer = get_level (self);

  if (!begin_value (self, 0, type_depth) || !pad (self, WORD))
    return self->status;

  g_assert (self->n_levels < G_N_ELEMENTS (self->levels));
  self->levels[self->n_levels++] = (Level) {
    .kind = kind,
    .depth = outer->depth + is_variant_in (outer) + (kind == LEVEL_DICTIONARY ? 2 : 1),
    .before = before,
    .start = self->bytes.n,
    .first_end = self->ends.n,
    .type = self->types.n,
    .is_fixed = TRUE,
  };
  return self->status;
}

AForkValueStatus
_afork_value_writer_begin_list (AForkValueWriter *self)
{
  return begin_container (self, LEVEL_LIST, 2);
}

AForkValueStatus
_afork_value_writer_begin_tuple (AForkValueWriter *self)
{
  AForkValueStatus status = begin_container (self, LEVEL_TUPLE, 1);

  if (status == AFORK_VALUE_WRITTEN)
    put_type (self, "(");
  return self->status;
}

AForkValueStatus
_afork_value_writer_begin_dictionary (AForkValueWriter *self)
{
  return begin_container (self, LEVEL_DICTIONARY, 3);
}

AForkValueStatus
_afork_value_writer_add_key (AForkValueWriter *self,
                             const char       *text,
                             gsize             length)
{
  Level *level = get_level (self);

  if (self->status != AFORK_VALUE_WRITTEN)
    return self->status;

  g_assert (level->kind == LEVEL_DICTIONARY && !level->has_key);

  if (pad (self, WORD))
    {
      level->entry = self->bytes.n;
      level->has_key = TRUE;
      if (put (self, text, length) && put (self, "", 1))
        level->key_end = self->bytes.n;
    }
  return self->status;
}

/* Puts the framing offsets of LEVEL behind its children. */
static gboolean
put_offsets (AForkValueWriter *self,
             const Level      *level,
             gboolean          reverse)
{
  const gsize size = self->bytes.n - level->start;
  const gsize n = self->ends.n - level->first_end;
  const gsize framed_size = _afork_value_get_framed_size (size, n);
  const guint offset_size = n > 0 ? (guint) ((framed_size - size) / n) : 0;

  if (!reserve (self, &self->bytes, 1, framed_size - size))
    return FALSE;

  for (gsize i = 0; i < n; i++)
    _afork_value_write_offset (get_bytes (self, self->bytes.n + i * offset_size), offset_size,
                               *get_ends (self, reverse ? self->ends.n - 1 - i
                                                        : level->first_end + i));
  self->bytes.n += framed_size - size;
  self->ends.n = level->first_end;
  return TRUE;
}

static gboolean
end_list (AForkValueWriter *self,
          Level            *level,
          Written          *written)
{
  const char type[] = { 'a', level->element != 0 ? level->element : 'v', '\0' };

  written->alignment = level->element == 's' ? 0 : WORD;
  written->type_depth = 2;
  return put_type (self, type) && put_offsets (self, level, FALSE);
}

static gboolean
end_tuple (AForkValueWriter *self,
           Level            *level,
           Written          *written)
{
  if (level->n_items == 0)
    put (self, "", 1);
  else if (level->is_fixed)
    pad (self, level->alignment);
  else
    {
      /* The last member has no framing offset. */
      if (!level->ends_fixed)
        self->ends.n--;
      put_offsets (self, level, TRUE);
    }

  written->alignment = level->alignment;
  written->is_fixed = level->is_fixed;
  written->type_depth = level->type_depth + 1;
  return self->status == AFORK_VALUE_WRITTEN && put_type (self, ")");
}

static gboolean
end_dictionary (AForkValueWriter *self,
                Level            *level,
                Written          *written)
{
  g_assert (!level->has_key);

  written->alignment = WORD;
  written->type_depth = 3;
  return put_type (self, "a{sv}") && put_offsets (self, level, FALSE);
}

/* Moves a container to where its alignment permits it to begin. */
static void
move_down (AForkValueWriter *self,
           const Level      *level,
           guint8            alignment)
{
  const gsize start = _afork_value_align (level->before, alignment);

  if (start == level->start)
    return;

  memmove (get_bytes (self, start), get_bytes (self, level->start), self->bytes.n - level->start);
  self->bytes.n -= level->start - start;
}

/* The whole value is the empty tuple. It cannot be (), which is nothing. */
static gboolean
is_empty_root (AForkValueWriter *self,
               const Level      *level)
{
  return level->kind == LEVEL_TUPLE && level->n_items == 0 && self->n_levels == 2;
}

AForkValueStatus
_afork_value_writer_end (AForkValueWriter *self)
{
  Level *level = get_level (self);
  Written written = { 0, FALSE, 0 };
  gboolean is_ended;

  if (self->status != AFORK_VALUE_WRITTEN)
    return self->status;

  if (is_empty_root (self, level))
    {
      self->types.n = level->type;
      is_ended = put_type (self, "m()") && put (self, "", 1);
      written.type_depth = 2;
    }
  else if (level->kind == LEVEL_LIST)
    is_ended = end_list (self, level, &written);
  else if (level->kind == LEVEL_TUPLE)
    is_ended = end_tuple (self, level, &written);
  else
    is_ended = end_dictionary (self, level, &written);
  if (!is_ended)
    return self->status;

  self->n_levels--;
  if (get_level (self)->kind == LEVEL_TUPLE)
    move_down (self, level, written.alignment);
  return end_value (self, &written);
}

/* The writer. */

AForkValueWriter *
_afork_value_writer_new (void)
{
  AForkValueWriter *self = g_new0 (AForkValueWriter, 1);

  self->n_levels = 1;
  return self;
}

void
_afork_value_writer_free (AForkValueWriter *self)
{
  g_free (self->bytes.data);
  g_free (self->types.data);
  g_free (self->ends.data);
  g_free (self);
}

GVariant *
_afork_value_writer_finish (AForkValueWriter *self)
{
  const gsize size = self->bytes.n;
  gpointer data;

  g_assert (self->n_levels == 1 && self->levels[0].n_items == 1);

  if (self->status != AFORK_VALUE_WRITTEN || !reserve (self, &self->types, 1, 1))
    return NULL;
  ((char *) self->types.data)[self->types.n] = '\0';

  data = g_steal_pointer (&self->bytes.data);
  if (self->bytes.n_allocated - size > MAX_UNUSED)
    {
      gpointer smaller = g_try_realloc (data, MAX (size, 1));

      if (smaller != NULL)
        data = smaller;
    }
  return g_variant_ref_sink (g_variant_new_from_data ((const GVariantType *) self->types.data, data,
                                                      size, TRUE, g_free, data));
}
