/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The title of the process: what ps shows as its command line and its name. */

#pragma once

/* Makes room for titles in the memory that the kernel reads as the command line: that of the
 * arguments and the environment, which is copied first. Call it once, at the start of main(). Not
 * async-signal-safe. */
void afork_title_init (int    argc,
                       char **argv);

/* Sets the title to "afork: TEXT", cut to the room that there is. Async-signal-safe. */
void afork_title_set  (const char *text);
