/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The layer of seccomp filters: programs that the caller compiled, and a short one that is made
 * here, because it names this process and its descriptors. See confinement.h. */

#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "wire/afork-confinement.h"

/* Installs the filters of AFORK_STAGE_TEMPLATE, and keeps a copy of the others. Not
 * async-signal-safe. */
void   afork_seccomp_prepare  (const AForkConfinement *confinement,
                               AForkLayerReport       *report);

/* Installs the filters of AFORK_STAGE_RUN. Async-signal-safe. */
void   afork_seccomp_enter    (AForkLayerReport       *report);

/* A system call that ends a worker is noted where its parent can read it. In a fork: says that
 * it is fork NUMBER. Async-signal-safe. */
void   afork_seccomp_forked     (uint32_t number);
/* Returns whether fork NUMBER, which SIGSYS has ended, has noted a system call.
 * Async-signal-safe. */
bool   afork_seccomp_get_refused (uint32_t  number,
                                  uint32_t *system_call);

/* The most instructions of the short program, and of the descriptors in it. */
enum
{
  AFORK_GUARD_MAX_INSTRUCTIONS = 48,
  AFORK_GUARD_MAX_FDS = 2,
};

/* Writes the short program to OUT, and returns its number of instructions. The filter of the
 * process follows it: it goes on there with what it does not refuse. A process that has it sends
 * signals to PID only, and can neither close nor change the N_FDS descriptors FDS, nor make
 * others of them. Async-signal-safe. */
size_t afork_seccomp_guard    (pid_t                   pid,
                               const int              *fds,
                               size_t                  n_fds,
                               struct sock_filter      out[AFORK_GUARD_MAX_INSTRUCTIONS]);
