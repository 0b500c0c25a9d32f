/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "descriptors.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/system-calls.h"

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

int
afork_dup_above_stderr (int fd)
{
  return fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* All descriptors. A process that was just forked calls these functions, so they do not use
 * opendir(), which allocates memory. */

/* The fixed part of what getdents64() writes. The name follows at NAME_OFFSET. */
typedef struct
{
  uint64_t inode;
  int64_t  offset;
  uint16_t size;
  uint8_t  type;
} Entry;

enum { NAME_OFFSET = 19 };

/* Returns NAME as a number, or -1 if it is none. Async-signal-safe. */
static int
parse_number (const char *name)
{
  int number = 0;

  if (*name == '\0')
    return -1;
  for (; *name != '\0'; name++)
    {
      if (*name < '0' || *name > '9' || number > INT32_MAX / 10 - 1)
        return -1;
      number = 10 * number + (*name - '0');
    }

  return number;
}

/* Closes FD, or makes it close-on-exec. Async-signal-safe. */
static void
change (int  fd,
        bool closes)
{
  if (closes)
    close (fd);
  else
    fcntl (fd, F_SETFD, FD_CLOEXEC);
}

/* Changes the descriptors that /proc lists. Closing some meanwhile does no harm: the kernel
 * continues after the last number that it has listed. Returns false if there is no list.
 * Async-signal-safe. */
static bool
change_listed (int  first,
               bool closes)
{
  int list = open ("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  _Alignas (Entry) char entries[2048];
  long n_bytes;

  if (list < 0)
    return false;

  while ((n_bytes = syscall (SYS_getdents64, list, entries, sizeof entries)) > 0)
    for (long at = 0; at < n_bytes; at += ((const Entry *) (entries + at))->size)
      {
        int fd = parse_number (entries + at + NAME_OFFSET);

        if (fd >= first && fd != list)
          change (fd, closes);
      }

  close (list);
  return n_bytes == 0;
}

/* Changes all descriptors up to the limit, which takes some milliseconds. Returns false if the
 * limit is too high for that. A descriptor over the limit, which may have been lowered since it was
 * opened, is not found. Async-signal-safe. */
static bool
change_possible (int  first,
                 bool closes)
{
  struct rlimit limit;
  rlim_t end = AFORK_LAST_SOUGHT_FD;
  bool all = getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= AFORK_LAST_SOUGHT_FD;

  if (all)
    end = limit.rlim_cur;
  for (int fd = first; fd < (int) end; fd++)
    change (fd, closes);

  return all;
}

/* Changes all descriptors from FIRST on, in the best way that there is. Async-signal-safe. */
static bool
change_from (int  first,
             bool closes)
{
  const unsigned flags = closes ? 0 : CLOSE_RANGE_CLOEXEC;

  return syscall (SYS_close_range, (unsigned) first, ~0U, flags) == 0
    || change_listed (first, closes)
    || change_possible (first, closes);
}

bool
afork_close_from (int first)
{
  return change_from (first, true);
}

bool
afork_hide_from (int first)
{
  return change_from (first, false);
}

void
afork_prepare_socket (int socket)
{
  fcntl (socket, F_SETFD, FD_CLOEXEC);
  fcntl (socket, F_SETFL, fcntl (socket, F_GETFL) & ~O_NONBLOCK);
}
