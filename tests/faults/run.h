/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One run through a workload, with the planned fault, and its outcome. */

#pragma once

#include <afork/afork.h>

#include "plan.h"

G_BEGIN_DECLS

/* Outcomes of an operation, as bits: a set of them is what a fault allows. */
typedef enum
{
  KIND_SAME      = 1 << 0,      /* as without a fault */
  KIND_ENDED     = 1 << 1,      /* it was run, exited too early, and this was reported */
  KIND_UNKNOWN   = 1 << 2,      /* it was run, and its exit status is unknown */
  KIND_CANCELLED = 1 << 3,
  KIND_TOO_MANY  = 1 << 4,      /* G_IO_ERROR_TOO_MANY_OPEN_FILES, of blocking calls */
  KIND_NO_SPACE = 1 << 5,      /* G_IO_ERROR_FAILED, of blocking calls */
  KIND_FIRST_CODE = 1 << 6,     /* and so on for each AForkError */
} Kind;

#define KIND_CODE(name) ((guint32) KIND_FIRST_CODE << AFORK_ERROR_##name)

/* For the table: the names of all outcomes in KINDS. */
char           *kinds_to_string (guint32 kinds);

typedef struct _Run Run;

/* Ends the process if something is wrong, with a text in the report. */
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

/* Keeps PROCESS, and makes the driver's signal reach it. */
AForkProcess   *run_keep        (Run                 *run,
                                 AForkProcess        *process);

/* Keeps POOL, and shuts it down when the run gives up, or at its end. */
AForkPool      *run_keep_pool   (Run                 *run,
                                 AForkPool           *pool);

/* Begins a job that answers with NUMBER, and may be run again. */
Operation      *run_job         (Run                 *run,
                                 AForkPool           *pool,
                                 guint32              number);

/* Runs JOBS, which may be run again, by a map. */
AForkMap       *run_map         (Run                 *run,
                                 AForkPool           *pool,
                                 GListModel          *jobs);

/* Asks the map for its next job, which must answer with NUMBER, or for its end, if NUMBER is
 * NO_MORE. */
#define NO_MORE G_MAXUINT32
Operation      *run_next        (Run                 *run,
                                 AForkMap            *map,
                                 guint32              number);

/* Makes a job that answers with NUMBER, and may be run again. */
AForkJob       *run_new_job     (guint32              number);

/* These begin an operation, which is awaited later. Once the driver has made the run give up, they
 * do nothing. */
Operation      *run_function    (Run                 *run,
                                 AForkProcess        *process,
                                 const char          *function);
Operation      *run_program     (Run                 *run,
                                 AForkProcess        *process,
                                 const char * const  *argv);
Operation      *run_detach      (Run                 *run,
                                 AForkProcess        *process);

/* The same for blocking calls: they return the outcome, and take ERROR. */
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

/* Whether the fault is that the caller's side of a socket is shut down. */
gboolean        run_is_cut_off  (Run                 *run);

/* The descriptor from detaching, or -1. */
int             run_take_fd     (Run                 *run,
                                 Operation           *operation);

/* If the process was run: sends a word, and expects everything that comes to be this. */
void            run_talk        (Run                 *run,
                                 Operation           *operation,
                                 const char          *expected);

void            run_let_go      (Run                 *run,
                                 Operation           *operation);

/* Closes the connection and waits for the exit of the process. */
void            run_end         (Run                 *run,
                                 Operation           *operation);

/* Waits until TEMPLATE has made a fork by itself, or has exited. */
void            run_await_fork  (Run                 *run,
                                 AForkProcess        *template);

/* The end: all operations have returned by now, or will when the stopped process continues. Drops
 * the processes, and returns the outcome. */
guint32         run_finish      (Run                 *run,
                                 guint               *n_operations);

G_END_DECLS
