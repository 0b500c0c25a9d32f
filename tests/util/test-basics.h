/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What all tests in C share, also those of private functions. Nothing here needs the library. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A list of strings. */
#define STRV(...) ((const char * const []) { __VA_ARGS__, NULL })

/* Whether valgrind runs this program. */
gboolean is_under_valgrind   (void);

/* If valgrind runs this program, skips the test, says why, and returns TRUE. */
gboolean skip_under_valgrind (const char *why);

/* Whether valgrind or a sanitizer checks this program: memory cannot be measured then, and
 * everything takes longer. */
gboolean is_instrumented     (void);

/* For a test that needs a program of its own. In the test program, it executes the program again
 * for this test only, waits until that has passed, and returns FALSE: the test must return then. In
 * the second program, it returns TRUE. */
gboolean is_own_program      (void);

/* The memory that this program has from malloc(), in bytes. */
gsize    get_heap_size       (void);

/* The state of a process, as /proc/PID/stat has it: 'T' if it is stopped. */
char     get_process_state   (GPid        pid);

G_END_DECLS
