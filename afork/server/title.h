/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The title of the process: what ps shows as its command line and its name. */

#pragma once

#include <stddef.h>

/* Makes room for titles in the memory that the kernel reads as the command line: that of the
 * arguments and the environment, which is copied first. Call it once, at the start of main(). Not
 * async-signal-safe. */
void afork_title_init (int    argc,
                       char **argv);

/* Does the same for a process that has not the arguments, whose memory is the SIZE bytes at MEMORY.
 * The environment stays where it is. Not async-signal-safe. */
void afork_title_init_memory (char   *memory,
                              size_t  size);

/* Sets the title to "afork: TEXT", cut to the room that there is. Async-signal-safe. */
void afork_title_set  (const char *text);
