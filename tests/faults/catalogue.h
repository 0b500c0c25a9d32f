/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Which faults there are for a call, and what each is allowed to do. */

#pragma once

#include "run.h"

G_BEGIN_DECLS

typedef struct
{
  FaultAction  action;
  int          value;
  const char  *name;            /* of its column in the table */
  guint32      kinds;           /* of which at least one has to come, and no other */
} Fault;

/* An array of Fault. */
GArray *catalogue_get (FaultRole role,
                       FaultCall call,
                       gboolean  blocks);

G_END_DECLS
