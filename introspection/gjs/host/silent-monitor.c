/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include <gio/gio.h>

#include "silent-monitor.h"

typedef struct
{
  GObject parent_instance;
} AForkSilentMonitor;

typedef struct
{
  GObjectClass parent_class;
} AForkSilentMonitorClass;

GType afork_silent_monitor_get_type (void);

static gboolean
initialize (GInitable     *initable,
            GCancellable  *cancellable,
            GError       **error)
{
  return TRUE;
}

static void
initable_iface_init (GInitableIface *iface)
{
  iface->init = initialize;
}

static void
memory_monitor_iface_init (GMemoryMonitorInterface *iface)
{
}

G_DEFINE_TYPE_WITH_CODE (AForkSilentMonitor, afork_silent_monitor, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_iface_init)
                         G_IMPLEMENT_INTERFACE (G_TYPE_MEMORY_MONITOR, memory_monitor_iface_init))

static void
afork_silent_monitor_class_init (AForkSilentMonitorClass *klass)
{
}

static void
afork_silent_monitor_init (AForkSilentMonitor *self)
{
}

void
_afork_silent_monitor_register (void)
{
  const char *name = G_MEMORY_MONITOR_EXTENSION_POINT_NAME;
  const int before_all_of_gio = 1000;

  /* GIO takes the extension point that exists, when it registers its own. */
  g_io_extension_point_set_required_type (g_io_extension_point_register (name),
                                          G_TYPE_MEMORY_MONITOR);
  g_io_extension_point_implement (name, afork_silent_monitor_get_type (), "afork",
                                  before_all_of_gio);
}
