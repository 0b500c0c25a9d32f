/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* System calls that the kernel refuses to a test, as a container or an old kernel would. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Refuses system call NUMBER with ERROR, an errno, to this process, all its threads, and all
 * processes that it makes from now on. There is no way back: for a test in a process of its own. */
void     refuse_system_call      (long        number,
                                  int         error);
/* The same if argument N, of which the lower half counts, is VALUE. */
void     refuse_system_call_with (long        number,
                                  guint       n,
                                  guint32     value,
                                  int         error);

/* The same, and a process that makes the call is killed. */
void     forbid_system_call_with (long        number,
                                  guint       n,
                                  guint32     value);

/* Runs TEST, a GTestDataFunc, in a process of its own, with a census around it, and DATA. It must
 * succeed, or skip itself by skip_apart(). */
void     run_apart               (GTestDataFunc test,
                                  gconstpointer data);
/* Ends that process, and has the test skipped. */
G_NORETURN void skip_apart       (const char *why);

G_END_DECLS
