/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether the kernel kills processes of this program's control group because memory has run out:
 * `oom_kill` in memory.events.local (version 2 of control groups) or in memory.oom_control (version
 * 1), as the kernel's Documentation/admin-guide has them. A worker that has a group of its own is
 * not seen. */

/* Call it before the worker is run. The first call reads files. */
void     _afork_oom_counter_start      (void);

/* Whether the kernel has killed a process since the last call of this function. */
gboolean _afork_oom_counter_has_killed (void);

G_END_DECLS
