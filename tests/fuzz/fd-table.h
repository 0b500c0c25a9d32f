/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors of one process, which the code under test and the world around it share: the code has
 * the low numbers, up to a limit that a script may lower; the world keeps its own higher up, and
 * raises the limit while it needs some. */

#pragma once

#include <stdbool.h>
#include <sys/resource.h>

enum
{
  FIRST_OWN_FD = 512,           /* those of the world lie from here on … */
  FIRST_LASTING_FD = 1000,      /* … and those that outlast a script from here on */
  OWN_FD_LIMIT = 2000
};

/* Ends the program with a message, wherever its standard error may be by now. */
void die          (const char *format,
                   ...) __attribute__ ((noreturn, format (printf, 1, 2)));

/* Before all else; the code under test is to have LIMIT descriptors. */
void set_up_fds   (rlim_t      limit);
/* From when the code under test goes on, it is to have LIMIT. */
void set_fd_limit (rlim_t      limit);

/* What the world does needs descriptors of its own. Returns whether it was the code's turn. */
bool begin_own    (void);
/* The code under test goes on. */
void end_own      (void);

/* A copy of FD where no descriptor of the code's is; FD itself is closed; a copy for good. */
int  copy_own     (int         fd);
int  move_own     (int         fd);
int  copy_lasting (int         fd);
/* Closes what the world has, but for what is there for good. */
void close_own    (void);

/* Which of the first N_FDS descriptors are open. */
void list_open    (bool       *is_open,
                   int         n_fds);
