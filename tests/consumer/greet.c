/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker module of consumer.c. It links nothing. */

#include <stdio.h>

#include <afork/worker/afork-worker.h>

AFORK_WORKER_EXPORT void greet (int socket, const AForkItem *items, size_t n_items);

void
greet (int              socket,
       const AForkItem *items,
       size_t           n_items)
{
  dprintf (socket, "Hello, %.*s",
           n_items > 0 ? (int) items[0].size : 0, n_items > 0 ? items[0].data : "");
}
