/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls that every fork makes, by a function of the C library that it needs anyway. Those
 * for them lie elsewhere, and code that a fork is the first to touch costs it more than the calls
 * themselves. Each is as the function of its name is: -1 and errno where it fails. */

#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether ERROR, with which a system call has failed that was called as it should be, says that it
 * is not there. An old kernel says so by ENOSYS or EINVAL, and a sandbox by whatever it likes. What
 * is not among that is what the call itself may come to. */
static inline bool
afork_is_missing (int error)
{
  return error != EMFILE && error != ENFILE && error != ENOMEM && error != EINTR && error != EBADF
    && error != ESRCH;
}

static inline int
afork_sys_close (int fd)
{
  return (int) syscall (SYS_close, fd);
}

/* Linux 5.9. */
static inline int
afork_sys_close_range (unsigned first,
                       unsigned last)
{
  return (int) syscall (SYS_close_range, first, last, 0);
}
