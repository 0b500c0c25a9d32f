/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"
#include "scheduler.h"

G_BEGIN_DECLS

/* Watches a GMemoryMonitor and a GPowerProfileMonitor for a pool, and reduces the limits of its
 * scheduler as far as they report low memory or saving power. The monitors may emit their signals
 * in any thread. The pool calls the functions here while CONTEXT is held. */
typedef struct _AForkMonitors AForkMonitors;

/* OWNER is the pool. CHANGED is called while CONTEXT is held, when something has changed since it
 * was called last. This may be within a signal of a monitor. */
AForkMonitors *_afork_monitors_new          (AForkContext         *context,
                                             GObject              *owner,
                                             void                (*changed) (GObject *owner));
void           _afork_monitors_free         (AForkMonitors        *self);

/* Watches MONITOR instead of the monitor before. NULL is for none. */
void           _afork_monitors_set_memory   (AForkMonitors        *self,
                                             GMemoryMonitor       *monitor);
void           _afork_monitors_set_power    (AForkMonitors        *self,
                                             GPowerProfileMonitor *monitor);

/* Takes over what the monitors have reported by NOW. N_WORKERS is how many workers the pool has.
 * Returns whether the limits have changed. *WAS_WARNED says whether memory has become low: the pool
 * then ends what it keeps ready. */
gboolean       _afork_monitors_adapt        (AForkMonitors        *self,
                                             gint64                now,
                                             guint                 n_workers,
                                             gboolean             *was_warned);
/* The workers that were idle have been ended. Returns whether the limits have changed. */
gboolean       _afork_monitors_end_trim     (AForkMonitors        *self);
/* Returns when _afork_monitors_adapt() has to be called next, or -1 for no certain time. */
gint64         _afork_monitors_get_time     (AForkMonitors        *self);
/* Reduces LIMITS, those that the program has set. */
void           _afork_monitors_reduce       (AForkMonitors        *self,
                                             AForkSchedulerLimits *limits);

G_END_DECLS
