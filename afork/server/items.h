/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The items that the caller has queued for the function, in order. The functions allocate memory
 * and are not async-signal-safe. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/afork-frame.h"
#include "worker/afork-worker.h"

typedef struct
{
  AForkItem *items;
  size_t     n_items;
  size_t     capacity;
  bool       open;            /* the last item is of bytes, and more bytes follow */
  size_t     data_capacity;   /* of the last item, while it is open */
} AForkItems;

/* Appends BYTES to the last item if that is open, or adds a new item. The item stays open if FLAGS
 * has AFORK_FRAME_MORE, and a new item is a string if FLAGS has AFORK_FRAME_STRING.
 * Returns false if there is no memory, and then changes nothing. */
bool afork_items_add_bytes (AForkItems    *self,
                            const uint8_t *bytes,
                            size_t         n_bytes,
                            uint8_t        flags);

/* Adds FD, which the items then own. Returns false if there is no memory, and then changes
 * nothing. */
bool afork_items_add_fd    (AForkItems    *self,
                            int            fd);
