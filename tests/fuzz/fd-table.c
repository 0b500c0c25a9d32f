/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "fd-table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void __sanitizer_set_report_fd (void *fd) __attribute__ ((weak));

enum { MAX_LISTED = 256 };

static int standard_error = STDERR_FILENO;
static rlim_t code_limit;
static bool is_own;

void
die (const char *format,
     ...)
{
  va_list arguments;

  va_start (arguments, format);
  vdprintf (standard_error, format, arguments);
  va_end (arguments);
  dprintf (standard_error, "\n");
  /* A tool that reports where this happened needs some, too. */
  setrlimit (RLIMIT_NOFILE, &(struct rlimit) { 4096, 4096 });
  abort ();
}

static void
set_limit (rlim_t limit)
{
  static struct rlimit files;

  if (files.rlim_max == 0)
    getrlimit (RLIMIT_NOFILE, &files);
  if (files.rlim_cur == limit)
    return;

  files.rlim_cur = limit;
  if (setrlimit (RLIMIT_NOFILE, &files) < 0)
    die ("the limit of descriptors cannot be set: %s", strerror (errno));
}

bool
begin_own (void)
{
  if (is_own)
    return false;

  set_limit (OWN_FD_LIMIT);
  is_own = true;
  return true;
}

void
end_own (void)
{
  if (is_own)
    set_limit (code_limit);
  is_own = false;
}

void
set_fd_limit (rlim_t limit)
{
  begin_own ();
  code_limit = limit;
}

static int
copy_from (int fd,
           int first)
{
  int copy;

  begin_own ();
  copy = fcntl (fd, F_DUPFD_CLOEXEC, first);
  if (copy < 0)
    die ("there are no descriptors left");
  return copy;
}

int
copy_own (int fd)
{
  return copy_from (fd, FIRST_OWN_FD);
}

int
move_own (int fd)
{
  int moved = copy_own (fd);

  close (fd);
  return moved;
}

int
copy_lasting (int fd)
{
  return copy_from (fd, FIRST_LASTING_FD);
}

void
close_own (void)
{
  close_range (FIRST_OWN_FD, FIRST_LASTING_FD - 1, 0);
}

void
list_open (bool *is_open,
           int   n_fds)
{
  struct pollfd fds[MAX_LISTED];
  /* The system checks no more than there may be. */
  bool began = code_limit < (rlim_t) n_fds && begin_own ();

  for (int fd = 0; fd < n_fds; fd++)
    fds[fd] = (struct pollfd) { .fd = fd };
  if (poll (fds, (nfds_t) n_fds, 0) < 0)
    die ("poll: %s", strerror (errno));
  for (int fd = 0; fd < n_fds; fd++)
    is_open[fd] = (fds[fd].revents & POLLNVAL) == 0;
  if (began)
    end_own ();
}

void
set_up_fds (rlim_t limit)
{
  begin_own ();
  standard_error = copy_lasting (STDERR_FILENO);
  if (__sanitizer_set_report_fd != NULL)
    __sanitizer_set_report_fd ((void *) (intptr_t) standard_error);
  code_limit = limit;
}
