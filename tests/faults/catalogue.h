/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The faults for each call, and the allowed outcomes of each. */

#pragma once

#include "workloads.h"

G_BEGIN_DECLS

typedef struct
{
  FaultAction  action;
  int          value;
  const char  *name;                   /* the name of its column in the table */
  guint32      kinds;                  /* the allowed outcomes, of which at least one must come */
  guint32      kinds_before_handshake; /* the allowed outcomes if its template has sent nothing by
                                        * then */
} Fault;

/* An array of Fault: those at the NTH call. */
GArray *catalogue_get (const Workload *workload,
                       FaultRole       role,
                       FaultCall       call,
                       guint           nth);

G_END_DECLS
