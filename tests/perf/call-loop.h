/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Common code of the cases of the calls benchmark. A case makes calls to one other process, of
 * a kind that its variant names:
 *
 *     echo          64 bytes go there, and come back
 *     KIND:SIZE     a few bytes go there, and SIZE bytes come back, in a way named KIND
 *     start         the process is started, called once, and exits
 *
 * The receiver of bytes reads one of each page. */

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "case.h"

enum
{
  CALL_ECHO_SIZE = 64,
  /* The contents of results, so that a lost or added byte is seen. */
  CALL_FILLING = 0x5a,
};

/* Whether VARIANT is KIND:SIZE. */
bool  call_parse_variant (const char        *variant,
                          const char        *kind,
                          size_t            *size);

/* Returns the SIZE bytes of a correct result. Free them. */
char *call_make_result   (size_t             size);

/* Ends the process with a message if DATA is not a result of EXPECTED bytes. */
void  call_check_result  (const void        *data,
                          size_t             size,
                          size_t             expected);

/* Makes one call. It blocks, or returns at once and calls call_ended() with TICKET later. */
typedef void (*CallBegin) (int   ticket,
                           void *data);
/* Waits for events, and dispatches them. */
typedef void (*CallTurn)  (void *data);

/* Makes the calls that OPTIONS say, and prints `elapsed-ns` and `latency-ns`. TURN may be NULL if
 * BEGIN blocks. Returns `elapsed-ns`. */
int64_t call_run         (const CaseOptions *options,
                          CallBegin          begin,
                          CallTurn           turn,
                          void              *data);
/* The call has ended, and its result was freed. May begin the next one. */
void  call_ended         (int                ticket);

/* After call_run() of the variant `start`: also prints `first-answer-ns`, the median latency. */
void  call_print_median  (void);
