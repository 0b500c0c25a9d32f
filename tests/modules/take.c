/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Takes the items while the process is prepared, and sends them when it is run. */

#include <unistd.h>

#include <afork/worker/afork-worker.h>

static const AForkItem *taken;
static size_t n_taken;

AFORK_WORKER_EXPORT void take (int argc, const char * const *argv);

void
take (int                argc,
      const char * const *argv)
{
  taken = afork_worker_take_items (&n_taken);
}

AFORK_WORKER_EXPORT void give (int socket, const AForkItem *items, size_t n_items);

void
give (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
  for (size_t i = 0; i < n_taken; i++)
    if (write (socket, taken[i].data, taken[i].size) != (ssize_t) taken[i].size)
      _exit (1);
}
