/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Paths that a process may use, and where they lead. */

/* What is made where a path leads to nothing. */
typedef enum
{
  AFORK_PATH_MAKE_DIRECTORY,
  AFORK_PATH_MAKE_FILE,
  AFORK_PATH_MAKE_LINK,
} AForkPathMake;

/* Whether ERROR of opening a path means that the process cannot reach anything there.
 * Async-signal-safe. */
bool  afork_path_is_unreachable (int            error);

/* Returns the path of FD without symbolic links, to be freed, or NULL if it is unknown. Not
 * async-signal-safe. */
char *afork_path_dup_real       (int            fd);

/* Opens PATH with O_PATH as a process would whose root directory is ROOT: no symbolic link on the
 * way leads out of it. What is missing is made, in the file system of ROOT only: directories on the
 * way and, at the end, what MAKE says, a link to TARGET for example. Returns -1 if it fails, with
 * EROFS if something would have to be made in another file system. Async-signal-safe. */
int   afork_path_open_in_root   (int            root,
                                 const char    *path,
                                 AForkPathMake  make,
                                 const char    *target);
