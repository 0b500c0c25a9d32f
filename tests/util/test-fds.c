/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-fds.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

guint
count_fds (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n_fds = 0;

  g_assert_nonnull (folder);
  while (g_dir_read_name (folder) != NULL)
    n_fds++;
  return n_fds;
}

void
open_pipe (int *reading,
           int *writing)
{
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  *reading = fds[0];
  *writing = fds[1];
}

void
open_sockets (int *ours,
              int *theirs)
{
  int sockets[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
  *ours = sockets[0];
  *theirs = sockets[1];
}

void
close_fd (int *fd)
{
  g_assert_no_errno (close (*fd));
  *fd = -1;
}
