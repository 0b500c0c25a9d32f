/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls on pidfds. glibc has functions for them only since 2.36 and 2.39. */

#pragma once

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "system-calls.h"

/* From include/uapi/asm-generic/socket.h, for a C library that is older than the kernel. Two
 * architectures have other numbers. */
#if !defined (SO_PEERPIDFD) && !defined (__hppa__) && !defined (__sparc__)
# define SO_PEERPIDFD 77
#endif

/* Returns a close-on-exec descriptor of process PID, or -1 and sets errno. Needs Linux 5.3.
 * valgrind 3.19 and some containers refuse the call; errno is then ENOSYS. Async-signal-safe. */
static inline int
afork_pidfd_open (pid_t pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);

  if (pidfd < 0 && afork_is_missing (errno))
    errno = ENOSYS;
  return pidfd;
}

/* Does the same for this process. If there is no such call, gets the pidfd from a socket, which
 * needs Linux 6.5. Async-signal-safe. */
int afork_pidfd_open_self (void);

/* Sends SIGNAL to the process of PIDFD. Returns 0, or -1 and sets errno. Needs Linux 5.1.
 * Async-signal-safe. */
static inline int
afork_pidfd_send_signal (int pidfd,
                         int signal)
{
  return (int) syscall (SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
