/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Has the kernel refuse system calls in a test, as in a container or with an old kernel. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Makes system call NUMBER fail with ERROR, an errno, in this process with all its threads, and in
 * all processes that it makes from now on. This cannot be undone: call it in a process that was
 * made for the test. */
void     refuse_system_call      (long        number,
                                  int         error);
/* Like refuse_system_call(), but only if the lower 32 bits of argument N are VALUE. */
void     refuse_system_call_with (long        number,
                                  guint       n,
                                  guint32     value,
                                  int         error);

/* Has the kernel kill each process that makes system call NUMBER with VALUE in the lower 32 bits of
 * argument N. */
void     forbid_system_call_with (long        number,
                                  guint       n,
                                  guint32     value);

/* A system call that a test has refused. */
enum { ANY_ARGUMENT = -1 };

typedef struct
{
  const char *name;             /* in the path of the test */
  long        number;
  int         argument;         /* refused if this argument, or ANY_ARGUMENT … */
  guint32     value;            /* … has this value */
  long        other;            /* the number of a system call that is also refused; or 0 */
} RefusedCall;

typedef struct
{
  const RefusedCall *call;
  int                error;
} Refusal;

void     refuse                  (const Refusal     *refusal);

/* Adds TEST as PREFIX/NAME/ERROR for each of the calls, and for each error with which a kernel or a
 * sandbox refuses a call. The data is a Refusal. Instrumented programs get only two of the errors,
 * because the others lead through the same code. */
void     add_refusals            (const char        *prefix,
                                  const RefusedCall *calls,
                                  guint              n_calls,
                                  GTestDataFunc      test);

/* Runs TEST with DATA in a process of its own, and takes a census before and after. TEST must
 * succeed, or skip itself by skip_apart(). */
void     run_apart               (GTestDataFunc test,
                                  gconstpointer data);
/* Ends the process of run_apart(), and skips the test. */
G_NORETURN void skip_apart       (const char *why);

G_END_DECLS
