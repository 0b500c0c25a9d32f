/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "fd.h"

/* The major number of /dev/null and similar devices, which never wait. */
enum { MEMORY_MAJOR = 1 };

static gssize
write_once (int         fd,
            const void *bytes,
            gsize       n_bytes)
{
  gssize n_written;

  do
    n_written = write (fd, bytes, n_bytes);
  while (n_written < 0 && errno == EINTR);
  return n_written;
}

/* Opens the file of FD once more. No other process has the new file description, so it can be
 * non-blocking. Returns -1 and sets errno if there is no /proc, or the file belongs to another
 * user. */
static int
reopen (int fd)
{
  char path[sizeof "/proc/self/fd/" + 3 * sizeof fd];

  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return _afork_fd_register (open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/* The same for a terminal that the user may not open by its name, for example after `su`. Every
 * process may open its controlling terminal as /dev/tty. */
static int
reopen_controlling_terminal (int fd)
{
  g_auto(AForkFd) terminal = _afork_fd_register (open ("/dev/tty", O_WRONLY | O_NONBLOCK | O_NOCTTY
                                                                   | O_CLOEXEC));
  unsigned int device, wanted;

  if (terminal < 0)
    return -1;
  if (ioctl (terminal, TIOCGDEV, &device) < 0 || ioctl (fd, TIOCGDEV, &wanted) < 0
      || device != wanted)
    {
      errno = EOPNOTSUPP;
      return -1;
    }

  return g_steal_fd (&terminal);
}

/* Puts a copy of the bytes into the pipe FD, without waiting, even if FD is in blocking mode. It
 * takes a whole page of the pipe, whatever its size. */
static gssize
splice_into_pipe (int         fd,
                  const void *bytes,
                  gsize       n_bytes)
{
  const gsize size = MIN (n_bytes, PIPE_BUF);
  void *page = mmap (NULL, PIPE_BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const struct iovec vector = { page, size };
  gssize n_written;
  int saved_errno;

  if (page == MAP_FAILED)
    return -1;

  memcpy (page, bytes, size);
  n_written = vmsplice (fd, &vector, 1, SPLICE_F_NONBLOCK);
  saved_errno = errno;
  munmap (page, PIPE_BUF);
  errno = saved_errno;
  return n_written;
}

/* Whether an operation failed for lack of descriptors or memory, and may succeed later. */
static gboolean
is_shortage (int number)
{
  return number == EMFILE || number == ENFILE || number == ENOMEM;
}

/* A pipe takes up to PIPE_BUF bytes as a whole or not at all, so that they are not mixed with those
 * of other writers. */
static gssize
write_to_pipe (int         fd,
               const void *bytes,
               gsize       n_bytes)
{
  g_auto(AForkFd) own = reopen (fd);

  if (own >= 0)
    return write_once (own, bytes, MIN (n_bytes, PIPE_BUF));
  /* No process has the reading end. */
  if (errno == ENXIO)
    {
      errno = EPIPE;
      return -1;
    }

  return splice_into_pipe (fd, bytes, n_bytes);
}

static gssize
write_to_device (int         fd,
                 dev_t       device,
                 const void *bytes,
                 gsize       n_bytes)
{
  g_auto(AForkFd) own = -1;
  unsigned int number;
  int saved_errno;

  if (major (device) == MEMORY_MAJOR)
    return write_once (fd, bytes, n_bytes);
  /* To open the master of a pseudo-terminal again would make a new pseudo-terminal. */
  if (ioctl (fd, TIOCGPTN, &number) == 0)
    {
      errno = EOPNOTSUPP;
      return -1;
    }

  own = reopen (fd);
  saved_errno = errno;
  if (own < 0)
    own = reopen_controlling_terminal (fd);
  if (own >= 0)
    return write_once (own, bytes, n_bytes);

  errno = is_shortage (saved_errno) || is_shortage (errno) ? EAGAIN : EOPNOTSUPP;
  return -1;
}

static gssize
write_to_socket (int         fd,
                 const void *bytes,
                 gsize       n_bytes)
{
  gssize n_written;

  do
    n_written = send (fd, bytes, n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n_written < 0 && errno == EINTR);
  return n_written;
}

static gssize
write_by_kind (int         fd,
               const void *bytes,
               gsize       n_bytes)
{
  const int flags = fcntl (fd, F_GETFL);
  struct stat status;

  if (flags < 0 || fstat (fd, &status) < 0)
    return -1;
  /* If it were opened again, it could be written to. */
  if ((flags & O_ACCMODE) == O_RDONLY)
    {
      errno = EBADF;
      return -1;
    }

  switch (status.st_mode & S_IFMT)
    {
    case S_IFREG:
      return write_once (fd, bytes, n_bytes);
    case S_IFIFO:
      return write_to_pipe (fd, bytes, n_bytes);
    case S_IFSOCK:
      return write_to_socket (fd, bytes, n_bytes);
    case S_IFCHR:
      return write_to_device (fd, status.st_rdev, bytes, n_bytes);
    default:
      errno = EOPNOTSUPP;
      return -1;
    }
}

/* The kernel sends the signals of a write to the writing thread. They are blocked meanwhile, and
 * then cleared if they were not pending before. While SIGTTOU is blocked, a background process may
 * write to its terminal. */
gssize
_afork_write_now (int         fd,
                  const void *bytes,
                  gsize       n_bytes)
{
  const struct timespec no_time = { 0 };
  sigset_t signals, synchronous, pending, old;
  gssize n_written;
  int saved_errno;

  sigemptyset (&synchronous);
  sigaddset (&synchronous, SIGPIPE);
  sigaddset (&synchronous, SIGXFSZ);
  signals = synchronous;
  sigaddset (&signals, SIGTTOU);

  sigpending (&pending);
  if (sigismember (&pending, SIGPIPE))
    sigdelset (&synchronous, SIGPIPE);
  if (sigismember (&pending, SIGXFSZ))
    sigdelset (&synchronous, SIGXFSZ);
  pthread_sigmask (SIG_BLOCK, &signals, &old);
  n_written = write_by_kind (fd, bytes, n_bytes);
  saved_errno = errno;
  if (n_written < 0 && (saved_errno == EPIPE || saved_errno == EFBIG))
    while (sigtimedwait (&synchronous, NULL, &no_time) < 0 && errno == EINTR)
      ;
  pthread_sigmask (SIG_SETMASK, &old, NULL);

  errno = saved_errno;
  return n_written;
}
