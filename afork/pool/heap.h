/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A heap of nodes, each of which has a number, its key. The node with the lowest key is first. With
 * n nodes, each operation takes at most O(log n) time.
 *
 * A node is a part of what is in the heap, and knows its place, so it can be removed or moved
 * without a search. It is in one heap at most. */
typedef struct AForkHeap AForkHeap;

typedef struct
{
  AForkHeap      *heap;           /* NULL if the node is in none */
  guint           place;          /* from 0 */
} AForkHeapNode;

/* The keys are beside each other, because most of the time is spent to read them. */
typedef struct
{
  guint64         key;
  AForkHeapNode  *node;
} AForkHeapItem;

struct AForkHeap
{
  AForkHeapItem  *items;
  guint           n_items;
  guint           n_allocated;
};

/* Frees the memory of the heap, which is empty and can be used again then. A heap is empty if all
 * its bytes are 0, too. */
void           _afork_heap_clear  (AForkHeap      *self);

/* Adds a node with this key, which is removed from another heap before. If the node already is in
 * this heap, gives it this key. */
void           _afork_heap_put    (AForkHeap      *self,
                                   AForkHeapNode  *node,
                                   guint64         key);
/* Does nothing if the node is in no heap. */
void           _afork_heap_remove (AForkHeapNode  *node);

/* Returns the node with the lowest key, or NULL. */
static inline AForkHeapNode *
_afork_heap_peek (const AForkHeap *self)
{
  return self->n_items > 0 ? self->items[0].node : NULL;
}

G_END_DECLS
