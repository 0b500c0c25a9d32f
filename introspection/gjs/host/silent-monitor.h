/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

G_BEGIN_DECLS

/* Makes the default GMemoryMonitor of this process one that never warns. A context of GJS 1.80 and
 * later makes the default one, and those of GIO connect to the bus, for which GLib starts threads:
 * the template could not be forked. Call this before the first context is made. */
void _afork_silent_monitor_register (void);

G_END_DECLS
