/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-monitor.h"

struct _TestMonitor
{
  GObject parent_instance;
  int     saves_power;          /* atomic */
};

enum { PROP_0, PROP_POWER_SAVER_ENABLED };

static void
test_monitor_iface_init (gpointer iface,
                         gpointer data)
{
}

G_DEFINE_FINAL_TYPE_WITH_CODE (TestMonitor, test_monitor, G_TYPE_OBJECT,
  G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, test_monitor_iface_init)
  G_IMPLEMENT_INTERFACE (G_TYPE_MEMORY_MONITOR, test_monitor_iface_init)
  G_IMPLEMENT_INTERFACE (G_TYPE_POWER_PROFILE_MONITOR, test_monitor_iface_init))

static void
test_monitor_get_property (GObject    *object,
                           guint       id,
                           GValue     *value,
                           GParamSpec *pspec)
{
  g_value_set_boolean (value, g_atomic_int_get (&TEST_MONITOR (object)->saves_power));
}

static void
test_monitor_class_init (TestMonitorClass *klass)
{
  G_OBJECT_CLASS (klass)->get_property = test_monitor_get_property;
  g_object_class_override_property (G_OBJECT_CLASS (klass), PROP_POWER_SAVER_ENABLED,
                                    "power-saver-enabled");
}

static void
test_monitor_init (TestMonitor *self)
{
}

TestMonitor *
test_monitor_new (void)
{
  return g_object_new (TEST_TYPE_MONITOR, NULL);
}

void
test_monitor_warn (TestMonitor *self)
{
  g_signal_emit_by_name (self, "low-memory-warning", G_MEMORY_MONITOR_WARNING_LEVEL_LOW);
}

void
test_monitor_save_power (TestMonitor *self,
                         gboolean     saves_power)
{
  g_atomic_int_set (&self->saves_power, saves_power);
  g_object_notify (G_OBJECT (self), "power-saver-enabled");
}
