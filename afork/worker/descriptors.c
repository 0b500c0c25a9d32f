/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

bool
afork_is_stream_socket (int fd)
{
  socklen_t size = sizeof (int);
  int type;

  return getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

void
afork_open_standard_fds (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);

  if (fd >= 0)
    close (fd);
}

void
afork_prepare_socket (int socket)
{
  fcntl (socket, F_SETFD, FD_CLOEXEC);
  fcntl (socket, F_SETFL, fcntl (socket, F_GETFL) & ~O_NONBLOCK);
}
