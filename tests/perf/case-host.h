/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Other hosts for cases. If the variant of a case begins with `near:`, the processes that it
 * creates are on this machine, over ssh; with `far:`, also over a network where a round trip takes
 * 40 milliseconds. */

#pragma once

#include <afork/afork.h>

G_BEGIN_DECLS

typedef enum
{
  CASE_HERE,            /* without ssh */
  CASE_NEAR,
  CASE_FAR,
} CasePlace;

/* To be called before case_init(). Takes the place away from the variant. For other hosts, executes
 * this program again beside a server of ssh, and returns there. */
CasePlace     case_host_enter       (int        argc,
                                     char     **argv);

/* The configuration of ssh. By it, each host is the other one. */
const char   *case_host_get_configuration (void);

/* The runtime of the place. Unref it. */
AForkRuntime *case_host_new_runtime (CasePlace  place);

G_END_DECLS
