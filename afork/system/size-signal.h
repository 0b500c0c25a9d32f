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

/* Where a file would grow beyond RLIMIT_FSIZE, the kernel sends SIGXFSZ to the thread before it
 * returns EFBIG, and by default that signal ends the process. Memory counts as a file here. Between
 * these two functions such a signal has no effect. Handlers and other threads are not touched, and
 * afterwards the thread's signal mask is what it was. */
typedef struct
{
  sigset_t mask;        /* before */
  bool     was_pending;
} AForkSizeSignal;

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

/* Takes the signal back, unless it was pending before, and errno survives. */
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
