/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "value-type.h"

#include <string.h>

static guint8
get_basic_size (char kind)
{
  switch (kind)
    {
    case 'y':
    case 'b':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

static void
read_basic (char            kind,
            AForkValueNode *node)
{
  const guint8 size = get_basic_size (kind);

  *node = (AForkValueNode) {
    .kind = kind,
    /* A variant can have a value of any alignment. */
    .alignment = kind == 'v' ? 7 : size > 0 ? size - 1 : 0,
    .depth = 1,
    .is_any = size > 0 && kind != 'b',
    .fixed_size = size,
  };
}

const AForkValueNode *
_afork_value_node_get_basic (char kind)
{
  static AForkValueNode nodes[G_MAXINT8 + 1];
  static gsize initialized;

  if (g_once_init_enter (&initialized))
    {
      for (const char *basic = "ybnqiuhxtdsogv"; *basic != '\0'; basic++)
        {
          read_basic (*basic, &nodes[(guchar) *basic]);
          nodes[(guchar) *basic].end = 1;
        }
      g_once_init_leave (&initialized, 1);
    }

  return kind > 0 && nodes[(guchar) kind].kind != 0 ? &nodes[(guchar) kind] : NULL;
}

/* Fills in the nodes of the type that begins at INDEX. The type is valid, so this calls itself at
 * most AFORK_VALUE_MAX_DEPTH times. */
static void
read_type (const char     *type,
           guint32         index,
           AForkValueNode *nodes)
{
  AForkValueNode *node = &nodes[index];
  gboolean is_fixed = TRUE;
  gsize size = 0;

  read_basic (type[index], node);
  node->end = index + 1;
  if (type[index] == 'a' || type[index] == 'm')
    {
      read_type (type, index + 1, nodes);
      node->alignment = nodes[index + 1].alignment;
      node->depth = nodes[index + 1].depth + 1;
      node->end = nodes[index + 1].end;
    }
  if (type[index] != '(' && type[index] != '{')
    return;

  node->is_any = TRUE;
  while (type[node->end] != ')' && type[node->end] != '}')
    {
      const AForkValueNode *member = &nodes[node->end];
      gsize start;

      read_type (type, node->end, nodes);
      start = _afork_value_align (size, member->alignment);
      node->is_any &= member->is_any && start == size;
      is_fixed &= member->fixed_size > 0;
      size = start + member->fixed_size;
      node->alignment = MAX (node->alignment, member->alignment);
      node->depth = MAX (node->depth, member->depth + 1);
      node->end = member->end;
    }
  /* The empty tuple has one byte, a zero. */
  node->is_any &= is_fixed && size > 0 && _afork_value_align (size, node->alignment) == size;
  node->fixed_size = is_fixed
    ? (guint32) MAX (_afork_value_align (size, node->alignment), 1) : 0;
  node->end++;
}

gboolean
_afork_value_nodes_read (AForkValueNode *nodes,
                         const char     *type,
                         gsize           length)
{
  const char *end;

  if (length == 0
      || !g_variant_type_string_scan (type, type + length, &end) || end != type + length)
    return FALSE;
  /* Types with these characters have no values. */
  for (gsize i = 0; i < length; i++)
    if (strchr ("*?r", type[i]) != NULL)
      return FALSE;

  read_type (type, 0, nodes);
  return TRUE;
}
