/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "worker-pool.h"

#include <gio/gio.h>

/* The object with the interface org.freedesktop.thumbnails.Thumbnailer1: clients queue pictures,
 * and signals report what became of each. If a client leaves the bus, its requests are
 * cancelled. */
typedef struct _ThumbnailerObject ThumbnailerObject;

/* At most MAX_OPEN pictures are open at a time: those that workers have, and a few that wait for
 * them. CHANGED is called when the first request has come, and when the last one has ended. */
ThumbnailerObject *thumbnailer_object_new     (WorkerPool         *workers,
                                               guint               timeout,
                                               guint               max_open,
                                               GSourceFunc         changed,
                                               gpointer            data,
                                               GError            **error);
/* All requests end. */
void               thumbnailer_object_free    (ThumbnailerObject  *self);

gboolean           thumbnailer_object_export  (ThumbnailerObject  *self,
                                               GDBusConnection    *bus,
                                               GError            **error);
gboolean           thumbnailer_object_is_idle (ThumbnailerObject  *self);

/* Makes thumbnails without a client: FLAVOR is one of the standard's sizes. */
void               thumbnailer_object_make    (ThumbnailerObject  *self,
                                               const char         *uri,
                                               const char         *flavor);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (ThumbnailerObject, thumbnailer_object_free)
