/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the cases of the calls benchmark have in common. A case makes calls to one other process, of
 * a kind that its variant names:
 *
 *     echo          64 bytes go there, and come back
 *     KIND:SIZE     a few bytes go there, and SIZE bytes come back, in a way named KIND
 *     start         the process is started, called once, and ended
 *
 * Whoever gets bytes looks at one on each page. */

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "case.h"

enum
{
  CALL_ECHO_SIZE = 64,
  /* What results are made of, so that a byte that was lost or added is seen. */
  CALL_FILLING = 0x5a,
};

/* Whether VARIANT is KIND:SIZE. */
bool  call_parse_variant (const char        *variant,
                          const char        *kind,
                          size_t            *size);

/* SIZE bytes that are what a result is to be; to be freed. */
char *call_make_result   (size_t             size);

/* Ends the process with a message if DATA is not what a result of EXPECTED bytes is. */
void  call_check_result  (const void        *data,
                          size_t             size,
                          size_t             expected);

/* Makes one call, or has it made: returns at once if it has to wait for it, and then has
 * call_ended() called with TICKET. */
typedef void (*CallBegin) (int   ticket,
                           void *data);
/* Waits for something to happen, and has what it leads to done. */
typedef void (*CallTurn)  (void *data);

/* Makes the calls that OPTIONS want, and prints `elapsed-ns` and `latency-ns`. TURN may be NULL
 * where BEGIN waits. */
void  call_run           (const CaseOptions *options,
                          CallBegin          begin,
                          CallTurn           turn,
                          void              *data);
/* The call is over, and its result released. May begin the next one. */
void  call_ended         (int                ticket);

/* After call_run() of the variant `start`: also prints `first-answer-ns`, the median latency. */
void  call_print_median  (void);
