/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* When a file would grow beyond RLIMIT_FSIZE, the kernel sends SIGXFSZ to the thread before the
 * call fails with EFBIG, and the signal ends the process by default. A memfd counts as a file.
 * Between the calls of these two functions, SIGXFSZ has no effect in this thread. Handlers and
 * other threads are not touched, and the second function restores the signal mask. */
typedef struct
{
  sigset_t mask;        /* before */
  bool     was_pending;
} AForkSizeSignal;

/* Blocks SIGXFSZ. Async-signal-safe. */
static inline void
afork_size_signal_hold (AForkSizeSignal *self)
{
  sigset_t signals;

  sigpending (&signals);
  self->was_pending = sigismember (&signals, SIGXFSZ) == 1;
  sigemptyset (&signals);
  sigaddset (&signals, SIGXFSZ);
  pthread_sigmask (SIG_BLOCK, &signals, &self->mask);
}

/* Discards a SIGXFSZ that has come since, and restores the mask. Leaves errno as it is. */
static inline void
afork_size_signal_release (AForkSizeSignal *self)
{
  const struct timespec no_time = { 0 };
  int saved_errno = errno;
  sigset_t signals;

  sigemptyset (&signals);
  sigaddset (&signals, SIGXFSZ);
  if (!self->was_pending)
    while (sigtimedwait (&signals, NULL, &no_time) < 0 && errno == EINTR)
      ;
  pthread_sigmask (SIG_SETMASK, &self->mask, NULL);
  errno = saved_errno;
}

#ifdef __cplusplus
}
#endif
