/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Sends back what it was given: first its items, then what comes over the socket. */

#include <unistd.h>

#include <afork/worker/afork-worker.h>

static void
write_all (int         fd,
           const char *data,
           size_t      size)
{
  while (size > 0)
    {
      ssize_t written = write (fd, data, size);

      if (written < 0)
        _exit (1);
      data += written;
      size -= (size_t) written;
    }
}

AFORK_WORKER_EXPORT void echo (int socket, const AForkItem *items, size_t n_items);

void
echo (int              socket,
      const AForkItem *items,
      size_t           n_items)
{
  char buffer[4096];
  ssize_t size;

  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_BYTES)
      write_all (socket, items[i].data, items[i].size);

  while ((size = read (socket, buffer, sizeof buffer)) > 0)
    write_all (socket, buffer, (size_t) size);
}
