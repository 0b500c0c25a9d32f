/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Symbols of the C library that libtcc.a uses and gets from the plugin instead: the linker's option
 * --wrap turns each NAME that it uses into __wrap_NAME, and __real_NAME back into NAME. */

#pragma once

#include <stdio.h>

/* Asks the caller of the compiler before the dynamic linker. */
void *__real_dlsym (void       *handle,
                    const char *symbol);
void *__wrap_dlsym (void       *handle,
                    const char *symbol);

/* The archive is compiled for programs, which reach variables in a way that does not work from a
 * shared object to another. So it uses copies here. It hardly needs them: while it has a function
 * for messages, it prints nothing. */
extern FILE  *__wrap_stdout;
extern FILE  *__wrap_stderr;
extern char **__wrap_environ;

/* Sets the copies. */
void afork_eval_init_libc (void);
