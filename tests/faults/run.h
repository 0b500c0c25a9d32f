/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One time through a workload, with the one fault that is planned, and what came of it. */

#pragma once

#include <afork/afork.h>

#include "plan.h"

G_BEGIN_DECLS

/* What an operation may come to, as bits: a set of these is what a fault is allowed to do. */
typedef enum
{
  KIND_SAME      = 1 << 0,      /* as without a fault */
  KIND_ENDED     = 1 << 1,      /* it was run, and then ended too early, which was told */
  KIND_UNKNOWN   = 1 << 2,      /* it was run, and nobody can say how it ended */
  KIND_CANCELLED = 1 << 3,
  KIND_TOO_MANY  = 1 << 4,      /* G_IO_ERROR_TOO_MANY_OPEN_FILES, of the calls that wait */
  KIND_NO_SPACE = 1 << 5,      /* G_IO_ERROR_FAILED, of the same */
  KIND_FIRST_CODE = 1 << 6,     /* and so on for each AForkError */
} Kind;

#define KIND_CODE(name) ((guint32) KIND_FIRST_CODE << AFORK_ERROR_##name)

/* For the table: the names of all that are in KINDS. */
char           *kinds_to_string (guint32 kinds);

typedef struct _Run Run;

/* Anything that is not right ends the process, with a word in the report. */
G_NORETURN void run_wrong       (Run                 *run,
                                 const char          *format,
                                 ...) G_GNUC_PRINTF (2, 3);

/* An asynchronous call. */
typedef struct _Operation Operation;

Run            *run_new         (FaultPlan           *plan,
                                 int                  control,
                                 char                *report,
                                 gsize                report_size);
void            run_free        (Run                 *run);

/* Keeps PROCESS, and has the driver's signal reach it. */
AForkProcess   *run_keep        (Run                 *run,
                                 AForkProcess        *process);

/* Begin an operation, which is then to be awaited. Once the driver has had the run given up, what
 * would begin does nothing. */
Operation      *run_function    (Run                 *run,
                                 AForkProcess        *process,
                                 const char          *function);
Operation      *run_program     (Run                 *run,
                                 AForkProcess        *process,
                                 const char * const  *argv);
Operation      *run_detach      (Run                 *run,
                                 AForkProcess        *process);

/* The same for calls that wait: what they came to, and with ERROR given away. */
Operation      *run_note        (Run                 *run,
                                 AForkProcess        *process,
                                 GSocketConnection   *connection,
                                 GError              *error);
void            run_note_wait   (Run                 *run,
                                 Operation           *operation,
                                 gboolean             success,
                                 GError              *error);

void            run_await       (Run                 *run,
                                 Operation           *operation);

gboolean        run_has_failed  (Run                 *run,
                                 Operation           *operation);

/* Whether the fault is that the caller's side of a socket is shut. */
gboolean        run_is_cut_off  (Run                 *run);

/* What detaching has given, or -1. */
int             run_take_fd     (Run                 *run,
                                 Operation           *operation);

/* If it was run: sends a word, and expects all that comes then to be this. */
void            run_talk        (Run                 *run,
                                 Operation           *operation,
                                 const char          *expected);

void            run_let_go      (Run                 *run,
                                 Operation           *operation);

/* Lets go of the connection and waits for the process's end. */
void            run_end         (Run                 *run,
                                 Operation           *operation);

/* Waits until TEMPLATE has forked by itself, or has ended. */
void            run_await_fork  (Run                 *run,
                                 AForkProcess        *template);

/* The end of it all: whatever was begun is answered by now, or will be when the process that was
 * stopped continues. Drops the processes, and returns what the operations came to. */
guint32         run_finish      (Run                 *run,
                                 guint               *n_operations);

G_END_DECLS
