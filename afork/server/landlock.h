/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Landlock, by system calls: this process and its forks open only what is beneath some paths.
 * Descriptors that are open already can still be used. The kernel's version of Landlock, its ABI,
 * decides how much can be had. */

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/afork-confinement.h"
#include "wire/afork-frame.h"

/* What Landlock can forbid. The comments say from which ABI on. Landlock forbids no stat(2),
 * chdir(2), chmod(2), chown(2), utime(2), setxattr(2) or access(2), and no sockets but those that
 * are named here. */
typedef enum
{
  AFORK_LANDLOCK_READ    = 1 << 0,  /* 1: to open files and directories for reading, and to execute
                                     * files, outside the paths */
  AFORK_LANDLOCK_WRITE   = 1 << 1,  /* 3: to open files for writing, and to make, remove, truncate,
                                     * rename and link files, outside the paths. 1 and 2 lack
                                     * truncate(2), and 1 forbids to rename and link between
                                     * directories everywhere */
  AFORK_LANDLOCK_DEVICES = 1 << 2,  /* 5: ioctl(2) on devices that are opened from now on */
  AFORK_LANDLOCK_TCP     = 1 << 3,  /* 4: to bind and to connect TCP sockets */
  AFORK_LANDLOCK_SOCKETS = 1 << 4,  /* 6: to connect to abstract sockets of other processes */
  AFORK_LANDLOCK_SIGNALS = 1 << 5,  /* 6: to signal processes outside, even of the same user */
  AFORK_LANDLOCK_TRACING = 1 << 6,  /* 1: to trace processes outside, or to access their memory.
                                     * Every Landlock domain has it */
} AForkLandlockEffects;

typedef struct
{
  uint32_t     wanted;          /* AForkLandlockEffects */
  AForkStrings read_paths;      /* with READ: the files and directories that are exceptions */
  AForkStrings write_paths;     /* with WRITE or DEVICES: the same. They can be read as well */
} AForkLandlockRules;

typedef struct
{
  int          abi;             /* of the kernel, or 0 if there is no Landlock */
  int          error;           /* an errno value if there is no ruleset, or 0 */
  const char  *call;            /* the system call that has failed, or NULL */
  uint32_t     effects;         /* those of the wanted ones that the ruleset gives */
  uint32_t     n_ignored;       /* paths where nothing is, or that cannot be reached */
} AForkLandlockResult;

/* Returns the ABI of the kernel, or -1 and sets errno: ENOSYS or EOPNOTSUPP if there is no
 * Landlock. Async-signal-safe. */
int  afork_landlock_get_abi  (void);

/* Makes a ruleset of as much of RULES as can be had. Returns a close-on-exec descriptor of it, or
 * -1 if nothing can be had. RESULT says what will be in force. Not async-signal-safe. */
int  afork_landlock_make     (const AForkLandlockRules *rules,
                              AForkLandlockResult      *result);

/* Puts the ruleset FD in force for this process from now on, and closes FD. The process must have
 * one thread, and no_new_privs or CAP_SYS_ADMIN. Another ruleset can only take more away. Returns
 * false and sets errno if it fails. Async-signal-safe. */
bool afork_landlock_enforce  (int                       fd);

/* The layer of a sandbox: see confinement.h. The rulesets are made when RESTRICT comes, and put in
 * force in each process that is run. So each of these has a domain of its own, and cannot signal or
 * trace its siblings either. */
void afork_landlock_prepare  (const AForkConfinement   *confinement,
                              AForkLayerReport         *report);
void afork_landlock_enter    (AForkLayerReport         *report);

/* If a ruleset is descriptor TARGET, moves it to another number. Returns false and sets errno if it
 * cannot. Async-signal-safe. */
bool afork_landlock_vacate   (int                       target);
