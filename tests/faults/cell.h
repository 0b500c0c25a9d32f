/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One workload with one fault, in a process of its own: the caller. */

#pragma once

#include "workloads.h"

G_BEGIN_DECLS

/* What the process reports to the driver. */
typedef struct
{
  gboolean over;                /* it has reached the end */
  gboolean reached;             /* and has had the fault */
  guint32  kinds;
  guint    n_operations;
  char     wrong[1024];         /* what was wrong, or "" */
} CellReport;

/* Never returns. CONTROL tells the workload to give up; or it is -1. The ENVIRONMENTs are for
 * workloads_begin(). */
G_NORETURN void cell_run (const Workload     *workload,
                          FaultPlan          *plan,
                          CellReport         *report,
                          int                 control,
                          const char * const *environment,
                          const char * const *own_environment);

G_END_DECLS
