/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "pidfd.h"

#include <errno.h>

/* Gets the pidfd from a socket pair of this process: the kernel knows the process at its other end.
 * Async-signal-safe. */
static int
open_by_socket (void)
{
  int error = ENOSYS;
#ifdef SO_PEERPIDFD
  int sockets[2], pidfd, result;
  socklen_t size = sizeof pidfd;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
    return -1;
  result = getsockopt (sockets[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size);
  if (result < 0 && !afork_is_missing (errno))
    error = errno;
  close (sockets[0]);
  close (sockets[1]);
  if (result == 0)
    return pidfd;
#endif

  errno = error;
  return -1;
}

int
afork_pidfd_open_self (void)
{
  int pidfd = afork_pidfd_open (getpid ());

  return pidfd < 0 && errno == ENOSYS ? open_by_socket () : pidfd;
}
