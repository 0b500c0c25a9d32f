/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The workloads in which the faults happen: short and sequential, so that the nth call is the same
 * each time. */

#pragma once

#include "run.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  void      (*func)  (Run *run);
  gboolean    single;           /* it forks the program, which must have one thread */
  gboolean    blocks;           /* it makes blocking calls, during which it cannot be told to give
                                 * up */
  gboolean    self;             /* its template is this program, executed once more */
  gboolean    retries;          /* what a process that exits has not done is done by another one */
  gboolean    spares;           /* all but its first process are spare forks, or are made because
                                 * there is none */
} Workload;

extern const Workload workloads[];
extern const gsize    n_workloads;

/* Makes the servers of runtimes have this environment, and the program itself, as a server, the
 * other. */
void workloads_begin (const char * const *environment,
                      const char * const *own_environment);

/* Makes a process and runs it. */
void workloads_check (void);

G_END_DECLS
