/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker module of listener-pool: answers clients. */

#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

/* One request, as short as possible: its contents do not matter. */
static void
answer_client (int client)
{
  struct timeval timeout = { .tv_sec = 5 };
  char request[4096];
  char text[256];
  int length;

  setsockopt (client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (read (client, request, sizeof request) <= 0)
    return;

  length = snprintf (text, sizeof text,
                     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nProcess %d was here.\n",
                     (int) getpid ());
  if (length > 0 && length < (int) sizeof text)
    send (client, text, (size_t) length, MSG_NOSIGNAL);
}

AFORK_WORKER_EXPORT void answer (int socket, const AForkItem *items, size_t n_items);

/* Gets the listening socket, which does not block: if several workers wake for one client, only one
 * of them accepts it. Returns when the caller closes the connection. */
void
answer (int              socket,
        const AForkItem *items,
        size_t           n_items)
{
  struct pollfd fds[] = {
    { .fd = socket, .events = POLLIN },
    { .fd = items[0].fd, .events = POLLIN },
  };

  while (poll (fds, 2, -1) > 0 && fds[0].revents == 0)
    {
      int client = accept4 (items[0].fd, NULL, NULL, SOCK_CLOEXEC);

      if (client < 0)
        continue;
      answer_client (client);
      close (client);
    }
}
