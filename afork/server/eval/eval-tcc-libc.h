/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What libtcc.a takes from the C library and gets from the plugin instead: the linker's option
 * --wrap turns each NAME that it uses into __wrap_NAME, and __real_NAME back into NAME. */

#pragma once

#include <stdio.h>

/* So that more than one place is searched. */
void *__real_dlsym (void       *handle,
                    const char *symbol);
void *__wrap_dlsym (void       *handle,
                    const char *symbol);

/* The archive is compiled for programs, where variables are reached in a way that shared objects
 * cannot follow into other objects. So it has copies here, which it hardly needs: it prints nothing
 * as long as it has somebody to tell. */
extern FILE  *__wrap_stdout;
extern FILE  *__wrap_stderr;
extern char **__wrap_environ;

void afork_eval_init_libc (void);
