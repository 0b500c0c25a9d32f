/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Two modules with the same functions, which differ in WHO. */

#include <stdio.h>

#include <afork/worker/afork-worker.h>

static int n_calls;

AFORK_WORKER_EXPORT void called (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void who    (int socket, const AForkItem *items, size_t n_items);

void
called (int                argc,
        const char * const *argv)
{
  n_calls++;
}

void
who (int              socket,
     const AForkItem *items,
     size_t           n_items)
{
  dprintf (socket, "%s %d", WHO, n_calls);
}
