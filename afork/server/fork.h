/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* fork(), for a process that is known to have one thread. */

#pragma once

#include <sys/types.h>

/* As fork(). Where no library has ever asked to be told of forks, and there never was a second
 * thread, it leaves out what the C library does for these: that takes a twentieth of a worker's
 * whole life, because of the memory that it touches in the new process. */
pid_t afork_fork (void);
