/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"

G_BEGIN_DECLS

/* Watches a GMemoryMonitor and a GPowerProfileMonitor for an object. The monitors may emit their
 * signals in any thread. */
typedef struct _AForkMonitors AForkMonitors;

/* OWNER is the object. CHANGED is called while CONTEXT is held, when something has changed since it
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

/* Returns whether there was a warning since this was called last. */
gboolean       _afork_monitors_take_warning (AForkMonitors        *self);
gboolean       _afork_monitors_saves_power  (AForkMonitors        *self);

G_END_DECLS
