/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "fd-set.h"

#include <stdbool.h>
#include <unistd.h>

#include "system/system-calls.h"

void
afork_fd_set_add (AForkFdSet *self,
                  int         fd)
{
  if (fd >= AFORK_FD_SET_SIZE)
    close (fd);
  else
    self->words[fd / 64] |= UINT64_C (1) << fd % 64;
}

/* Returns whether FD is in the set. Async-signal-safe. */
static bool
has (const AForkFdSet *self,
     unsigned          fd)
{
  return fd < AFORK_FD_SET_SIZE && (self->words[fd / 64] >> fd % 64 & 1) != 0;
}

void
afork_fd_set_close (AForkFdSet *self)
{
  for (unsigned word = 0; word < AFORK_FD_SET_SIZE / 64; word++)
    while (self->words[word] != 0)
      {
        unsigned first = word * 64 + (unsigned) __builtin_ctzll (self->words[word]);
        unsigned last = first;

        do
          self->words[last / 64] &= ~(UINT64_C (1) << last % 64);
        while (has (self, ++last));
        /* Older kernels do not have it, and some containers refuse it. */
        if (afork_sys_close_range (first, last - 1) < 0)
          for (unsigned fd = first; fd < last; fd++)
            close ((int) fd);
      }
}
