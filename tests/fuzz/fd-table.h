/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors of one process, which the code under test and the target share. The code has the low
 * numbers, up to a limit that a script may lower. The target has higher numbers, and raises the
 * limit while it needs descriptors. */

#pragma once

#include <stdbool.h>
#include <sys/resource.h>

enum
{
  FIRST_OWN_FD = 512,           /* the first number of the target */
  FIRST_LASTING_FD = 1000,      /* the first number of descriptors that outlast a script */
  OWN_FD_LIMIT = 2000
};

/* Ends the program with a message, wherever its standard error is by now. */
void die          (const char *format,
                   ...) __attribute__ ((noreturn, format (printf, 1, 2)));

/* Call it first. The code under test gets LIMIT descriptors. */
void set_up_fds   (rlim_t      limit);
/* When the code under test continues, it has LIMIT descriptors. */
void set_fd_limit (rlim_t      limit);

/* The target needs descriptors of its own. Returns whether the code under test was running. */
bool begin_own    (void);
/* The code under test continues. */
void end_own      (void);

/* Moves FD to a number of the target; the second keeps it after the script. */
int  copy_own     (int         fd);
int  move_own     (int         fd);
int  copy_lasting (int         fd);
/* Closes the descriptors of the target, except those that outlast a script. */
void close_own    (void);

/* Which of the first N_FDS descriptors are open. */
void list_open    (bool       *is_open,
                   int         n_fds);
