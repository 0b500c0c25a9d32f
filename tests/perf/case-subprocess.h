/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For cases whose processes are GSubprocesses. */

#pragma once

#include <gio/gio.h>

#include "case-loop.h"

G_BEGIN_DECLS

/* Reports to CREATION that PROCESS has exited, when it has. */
void case_subprocess_await (GSubprocess  *process,
                            CaseCreation *creation);

G_END_DECLS
