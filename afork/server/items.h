/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the caller queued for the function, in order. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/afork-worker.h"

typedef struct
{
  AForkItem *items;
  size_t     n_items;
  size_t     capacity;
  bool       open;            /* the last item is of bytes, and more of them will come */
  size_t     data_capacity;   /* of the last item, while it is open */
} AForkItems;

/* Each returns false when memory ran out; the items are then as they were. */

/* Adds a piece of bytes: to the last item if that is open, else as an item of its own, which is
 * left open if MORE. */
bool afork_items_add_bytes (AForkItems    *self,
                            const uint8_t *bytes,
                            size_t         n_bytes,
                            bool           more);

/* Adds FD, which then belongs to the items. */
bool afork_items_add_fd    (AForkItems    *self,
                            int            fd);
