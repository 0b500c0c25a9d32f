/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls that every fork makes, by syscall(), which it uses anyway. The functions of the C
 * library for them are in other pages, and a page of code that a fork is the first to touch costs
 * more than the call. Each returns -1 and sets errno if it fails. All are async-signal-safe. */

#pragma once

#include <errno.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns whether ERROR, with which a correct system call has failed, means that the call is not
 * available. An old kernel fails with ENOSYS or EINVAL, and a sandbox with any error. The errors
 * below are those that the calls themselves can fail with. */
static inline bool
afork_is_missing (int error)
{
  return error != EMFILE && error != ENFILE && error != ENOMEM && error != EINTR && error != EBADF
    && error != ESRCH;
}

/* Closes FD. */
static inline int
afork_sys_close (int fd)
{
  return (int) syscall (SYS_close, fd);
}

/* Closes the descriptors from FIRST to LAST. Needs Linux 5.9. */
static inline int
afork_sys_close_range (unsigned first,
                       unsigned last)
{
  return (int) syscall (SYS_close_range, first, last, 0);
}
