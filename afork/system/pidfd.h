/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls on pidfds, for which glibc has no functions before 2.36 and 2.39. */

#pragma once

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "system-calls.h"

/* From include/uapi/asm-generic/socket.h, for a C library that is older than the kernel. Two
 * machines have numbers of their own. */
#if !defined (SO_PEERPIDFD) && !defined (__hppa__) && !defined (__sparc__)
# define SO_PEERPIDFD 77
#endif

/* A close-on-exec descriptor of process PID, or -1 and errno. Linux 5.3, but not valgrind 3.19, nor
 * every container: there errno is ENOSYS, whatever it was. */
static inline int
afork_pidfd_open (pid_t pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);

  if (pidfd < 0 && afork_is_missing (errno))
    errno = ENOSYS;
  return pidfd;
}

/* The same of this process, which has another way to it where that one is missing: Linux 6.5. */
int afork_pidfd_open_self (void);

/* Sends SIGNAL to the process of PIDFD. 0, or -1 and errno. Linux 5.1. */
static inline int
afork_pidfd_send_signal (int pidfd,
                         int signal)
{
  return (int) syscall (SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
