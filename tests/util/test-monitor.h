/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A GMemoryMonitor and GPowerProfileMonitor that reports what a test wants. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define TEST_TYPE_MONITOR (test_monitor_get_type ())
G_DECLARE_FINAL_TYPE (TestMonitor, test_monitor, TEST, MONITOR, GObject)

TestMonitor *test_monitor_new        (void);
/* Emits the signals, in this thread. */
void         test_monitor_warn       (TestMonitor *self);
void         test_monitor_save_power (TestMonitor *self,
                                      gboolean     saves_power);

G_END_DECLS
