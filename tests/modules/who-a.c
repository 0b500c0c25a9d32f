/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define WHO "a"

#include "who.h"

/* Only one of the two modules has it. */

AFORK_WORKER_EXPORT void only_a (int socket, const AForkItem *items, size_t n_items);

void
only_a (int              socket,
        const AForkItem *items,
        size_t           n_items)
{
  dprintf (socket, "only a");
}
