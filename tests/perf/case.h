/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Common code of all cases of the creation benchmark. libc only: the cheapest cases must not load a
 * library that they do not use.
 *
 * A case is a program that creates processes, in one way, and says how long it took. It is called
 *
 *     NAME [--count N] [--warm-up N] [--in-flight N] [--resident-mb N] [--workers N] [--load N]
 *          [--inside] [VARIANT]
 *
 * and prints series, one a line: a name, then whole numbers.
 *
 *     elapsed-ns 183220411
 *     latency-ns 180211 179935 …
 *
 * The warm-up is done first and not counted. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __GNUC__
# define CASE_NORETURN __attribute__ ((noreturn))
# define CASE_PRINTF __attribute__ ((format (printf, 1, 2)))
#else
# define CASE_NORETURN
# define CASE_PRINTF
#endif

typedef struct
{
  int         count;
  int         warm_up;
  int         in_flight;      /* how many creations are pending at a time */
  int         resident_mb;    /* how much memory the case has used before it begins */
  int         workers;        /* of a pool */
  int         load;           /* how many jobs each of them has at most */
  bool        inside;         /* also print the time spent inside calls */
  const char *variant;        /* NULL if none was named */
} CaseOptions;

/* Ends the process with a message on stderr. */
void     case_fail         (const char        *format,
                            ...) CASE_PRINTF CASE_NORETURN;
/* The same, with the text of errno at the end. */
void     case_fail_errno   (const char        *what) CASE_NORETURN;

/* Parses the command line, and makes the process as large as it says. */
void     case_init         (CaseOptions       *options,
                            int                argc,
                            char             **argv);

/* The monotonic clock, in nanoseconds. */
int64_t  case_now          (void);

/* The resident memory of this process, in bytes. */
int64_t  case_get_memory   (void);

/* Sorts numbers, the smallest first. */
void     case_sort         (int64_t           *values,
                            size_t             n_values);

/* Returns the path of a program or module that was built with this one. Free it. */
char    *case_sibling      (const char        *name);

void     case_print_series (const char        *name,
                            const int64_t     *values,
                            size_t             n_values);

/* Creates a process that has PEER, one end of a stream socketpair, and exits at once. Returns its
 * pid if it is a child of this process that must be waited for, otherwise 0. PEER stays the
 * caller's, and is close-on-exec. */
typedef pid_t (*CaseCreate) (int peer);

/* Creates processes with CREATE, as OPTIONS say: for each a socketpair, CREATE, end of file on the
 * socket, and waitpid() if it is a child. Prints `elapsed-ns` and `latency-ns`. */
void     case_run          (const CaseOptions *options,
                            CaseCreate         create);
