/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "atfork.h"

G_BEGIN_DECLS

/* A descriptor that is closed when it goes out of scope; -1 is none. errno survives. */
typedef int AForkFd;

static inline void
_afork_fd_close (int fd)
{
  int saved_errno = errno;

  /* First, because once FD is closed, another thread may get its number. */
  _afork_fd_unregister (fd);
  close (fd);
  errno = saved_errno;
}

static inline void
_afork_fd_clear (int *fd)
{
  if (*fd >= 0)
    _afork_fd_close (*fd);
  *fd = -1;
}

/* A close-on-exec copy of FD above the standard descriptors, which does not belong to the library
 * yet; or -1 and errno. */
static inline int
_afork_fd_dup (int fd)
{
  return fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* If a program has closed 0, 1 or 2, new descriptors get these numbers, and messages that code
 * prints go there. Takes FD, and returns a copy above them if it is one of these; -1 and errno on
 * failure. */
static inline int
_afork_fd_avoid_standard (int fd)
{
  int other;

  if (fd > STDERR_FILENO)
    return fd;

  other = _afork_fd_dup (fd);
  _afork_fd_close (fd);
  return other;
}

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (AForkFd, _afork_fd_close, -1)

G_END_DECLS
