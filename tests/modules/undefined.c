/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A module that cannot be loaded, because nothing has the function that it calls. */

#include <afork/worker/afork-worker.h>

void nobody_has_this (void);

AFORK_WORKER_EXPORT void undefined (int socket, const AForkItem *items, size_t n_items);

void
undefined (int              socket,
           const AForkItem *items,
           size_t           n_items)
{
  nobody_has_this ();
}
