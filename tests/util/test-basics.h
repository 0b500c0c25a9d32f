/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Common code of all tests in C, also those of private functions. It does not need the library. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A list of strings. */
#define STRV(...) ((const char * const []) { __VA_ARGS__, NULL })

/* Whether valgrind runs this program. */
gboolean is_under_valgrind   (void);

/* If valgrind runs this program, skips the test with a reason, and returns TRUE. */
gboolean skip_under_valgrind (const char *why);

/* Whether valgrind or a sanitizer checks this program: then memory cannot be measured, and
 * everything is slow. */
gboolean is_instrumented     (void);

/* For a test that needs a process of its own. In the test program, executes the program again for
 * this test only, waits until it has passed, and returns FALSE: the test must return then. In the
 * second process, returns TRUE. */
gboolean is_own_program      (void);

/* The memory that this program has from malloc(), in bytes. */
gsize    get_heap_size       (void);

/* The state of a process as in /proc/PID/stat: 'T' if it is stopped. */
char     get_process_state   (GPid        pid);

/* The time that this thread has been on a CPU, in microseconds. What other programs do with the
 * machine is not part of it. */
gint64   get_own_time        (void);

G_END_DECLS
