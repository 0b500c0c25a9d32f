/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "items.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for one more item, and returns it, or NULL if there is no memory. */
static AForkItem *
append_item (AForkItems *self)
{
  if (self->n_items == self->capacity)
    {
      size_t capacity = self->capacity > 0 ? self->capacity * 2 : 8;
      AForkItem *items = realloc (self->items, capacity * sizeof *items);

      if (items == NULL)
        return NULL;

      self->items = items;
      self->capacity = capacity;
    }

  return &self->items[self->n_items];
}

/* Makes room in ITEM for N_BYTES more and a NUL. An item that comes in one piece gets exactly the
 * room that it needs; one that grows doubles it. Returns false if there is no memory. */
static bool
make_room (AForkItems *self,
           AForkItem  *item,
           size_t      n_bytes)
{
  size_t needed = item->size + n_bytes + 1;
  char *data;

  if (needed <= self->data_capacity)
    return true;

  if (self->open && needed < self->data_capacity * 2)
    needed = self->data_capacity * 2;
  data = realloc ((char *) item->data, needed);
  if (data == NULL)
    return false;

  item->data = data;
  self->data_capacity = needed;
  return true;
}

bool
afork_items_add_bytes (AForkItems    *self,
                       const uint8_t *bytes,
                       size_t         n_bytes,
                       uint8_t        flags)
{
  AForkItem *item;

  if (self->open)
    {
      item = &self->items[self->n_items - 1];
      if (!make_room (self, item, n_bytes))
        return false;
    }
  else
    {
      item = append_item (self);
      if (item == NULL)
        return false;

      *item = (AForkItem) {
        .kind = AFORK_ITEM_BYTES,
        .fd = -1,
        .is_string = (flags & AFORK_FRAME_STRING) != 0,
      };
      self->data_capacity = 0;
      if (!make_room (self, item, n_bytes))
        return false;
      self->n_items++;
    }

  if (n_bytes > 0)
    memcpy ((char *) item->data + item->size, bytes, n_bytes);
  item->size += n_bytes;
  ((char *) item->data)[item->size] = '\0';
  self->open = (flags & AFORK_FRAME_MORE) != 0;
  return true;
}

bool
afork_items_add_fd (AForkItems *self,
                    int         fd)
{
  AForkItem *item = append_item (self);

  if (item == NULL)
    return false;

  *item = (AForkItem) { .kind = AFORK_ITEM_FD, .fd = fd };
  self->n_items++;
  self->open = false;
  return true;
}
