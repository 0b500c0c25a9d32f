/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A set of descriptors to close together. A fork closes what belongs to its template so: a run of
 * adjacent numbers takes one system call. */

#pragma once

#include <stdint.h>

enum { AFORK_FD_SET_SIZE = 1024 };

typedef struct
{
  uint64_t words[AFORK_FD_SET_SIZE / 64];
} AForkFdSet;

/* Adds FD. Closes it at once if its number is too large for the set. Async-signal-safe. */
void afork_fd_set_add   (AForkFdSet *self,
                         int         fd);

/* Closes all descriptors in the set, and empties it. Async-signal-safe. */
void afork_fd_set_close (AForkFdSet *self);
