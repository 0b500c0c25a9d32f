/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Which faults there are for a call, and what each is allowed to do. */

#pragma once

#include "workloads.h"

G_BEGIN_DECLS

typedef struct
{
  FaultAction  action;
  int          value;
  const char  *name;                   /* of its column in the table */
  guint32      kinds;                  /* of which at least one has to come, and no other … */
  guint32      kinds_before_handshake; /* … and which, if its template has sent nothing by then */
} Fault;

/* An array of Fault: those at the NTH call. */
GArray *catalogue_get (const Workload *workload,
                       FaultRole       role,
                       FaultCall       call,
                       guint           nth);

G_END_DECLS
