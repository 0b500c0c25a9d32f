/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "heap.h"

/* How many children an item has: four of them are as large as a cache line. */
enum { N_CHILDREN = 4 };

void
_afork_heap_clear (AForkHeap *self)
{
  for (guint i = 0; i < self->n_items; i++)
    self->items[i].node->heap = NULL;
  g_free (self->items);
  *self = (AForkHeap) { 0 };
}

static void
set_item (AForkHeap     *self,
          guint          place,
          AForkHeapItem  item)
{
  self->items[place] = item;
  item.node->place = place;
}

/* Returns the place of the lowest child of the item in PLACE, or 0 if it has none. */
static guint
find_lowest_child (const AForkHeap *self,
                   guint            place)
{
  const guint64 first = (guint64) place * N_CHILDREN + 1;
  const guint64 end = MIN (first + N_CHILDREN, self->n_items);
  guint64 lowest = first;

  if (first >= end)
    return 0;

  for (guint64 i = first + 1; i < end; i++)
    if (self->items[i].key < self->items[lowest].key)
      lowest = i;
  return (guint) lowest;
}

/* Puts ITEM into its right place. PLACE is free. */
static void
sift (AForkHeap     *self,
      guint          place,
      AForkHeapItem  item)
{
  guint child;

  while (place > 0 && item.key < self->items[(place - 1) / N_CHILDREN].key)
    {
      set_item (self, place, self->items[(place - 1) / N_CHILDREN]);
      place = (place - 1) / N_CHILDREN;
    }

  while ((child = find_lowest_child (self, place)) > 0
         && self->items[child].key < item.key)
    {
      set_item (self, place, self->items[child]);
      place = child;
    }

  set_item (self, place, item);
}

void
_afork_heap_put (AForkHeap     *self,
                 AForkHeapNode *node,
                 guint64        key)
{
  if (node->heap != self)
    {
      _afork_heap_remove (node);
      if (self->n_items == self->n_allocated)
        {
          self->n_allocated = MAX (4, self->n_allocated * 2);
          self->items = g_renew (AForkHeapItem, self->items, self->n_allocated);
        }
      node->heap = self;
      node->place = self->n_items++;
    }
  else if (self->items[node->place].key == key)
    {
      return;
    }

  sift (self, node->place, (AForkHeapItem) { key, node });
}

void
_afork_heap_remove (AForkHeapNode *node)
{
  AForkHeap *self = g_steal_pointer (&node->heap);
  AForkHeapItem last;

  if (self == NULL)
    return;

  last = self->items[--self->n_items];
  if (last.node != node)
    sift (self, node->place, last);
}
