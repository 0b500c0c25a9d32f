/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors to be closed at once, as a forked process does with all that is its template's. Those
 * that lie side by side, as they mostly do, take one system call. */

#pragma once

#include <stdint.h>

enum { AFORK_FD_SET_SIZE = 1024 };

typedef struct
{
  uint64_t words[AFORK_FD_SET_SIZE / 64];
} AForkFdSet;

/* Adds FD, or closes it right away if it is too large a number for the set. */
void afork_fd_set_add   (AForkFdSet *self,
                         int         fd);
void afork_fd_set_close (AForkFdSet *self);
