/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A fork() for a process that is known to have one thread. */

#pragma once

#include <sys/types.h>

/* Forks as fork() does. If no library has called pthread_atfork() and the process never had a
 * second thread, it skips the C library's work for these, which takes a twentieth of a worker's
 * whole time because of the memory that it touches in the new process. Not async-signal-safe. */
pid_t afork_fork (void);
