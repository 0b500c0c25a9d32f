/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The functions that AFork's own workers run in the benchmarks. */

#include <afork/worker/afork-worker.h>
#include <unistd.h>

AFORK_WORKER_EXPORT void nothing (int              socket,
                                  const AForkItem *items,
                                  size_t           n_items);
AFORK_WORKER_EXPORT void greet   (int              socket,
                                  const AForkItem *items,
                                  size_t           n_items);
AFORK_WORKER_EXPORT void idle    (int              socket,
                                  const AForkItem *items,
                                  size_t           n_items);

void
nothing (int              socket,
         const AForkItem *items,
         size_t           n_items)
{
  (void) socket;
  (void) items;
  (void) n_items;
}

/* Sleeps until the caller closes its end. */
void
idle (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
  char byte;

  (void) items;
  (void) n_items;
  while (read (socket, &byte, 1) > 0)
    ;
}

/* Writes a byte first, so that its exit does not delay a process that waits for the byte. */
void
greet (int              socket,
       const AForkItem *items,
       size_t           n_items)
{
  if (write (socket, "", 1) != 1)
    _exit (1);
  idle (socket, items, n_items);
}
