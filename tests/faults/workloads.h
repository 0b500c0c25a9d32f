/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the faults happen in: short, and one thing after the other, so that the nth call is the same
 * call each time. */

#pragma once

#include "run.h"

G_BEGIN_DECLS

typedef struct
{
  const char *name;
  void      (*func)  (Run *run);
  gboolean    single;           /* it forks the program, which must have one thread */
  gboolean    blocks;           /* it waits in calls, where nobody can make it give up */
  gboolean    self;             /* its template is this program, executed once more */
  gboolean    spares;           /* all but its first process are spares, or made for want of one */
} Workload;

extern const Workload workloads[];
extern const gsize    n_workloads;

/* Has the runtimes' servers executed with this environment, and the program itself as a server with
 * the other. */
void workloads_begin (const char * const *environment,
                      const char * const *own_environment);

/* Makes a process and has it run. */
void workloads_check (void);

G_END_DECLS
