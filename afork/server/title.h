/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The process's title: what ps shows as its command line, and as its name. */

#pragma once

/* Makes room for titles where the kernel looks for the command line: over the arguments and the
 * environment, which is copied away first. Once, at the start of main(). */
void afork_title_init (int    argc,
                       char **argv);

/* Sets the title to "afork: TEXT", cut to the room there is. */
void afork_title_set  (const char *text);
