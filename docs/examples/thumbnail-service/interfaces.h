/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

/* The names on the bus, which are also those of the interfaces, and the objects:
 * https://wiki.gnome.org/DraftSpecs/ThumbnailerSpec */
#define THUMBNAILER_NAME "org.freedesktop.thumbnails.Thumbnailer1"
#define THUMBNAILER_PATH "/org/freedesktop/thumbnails/Thumbnailer1"
#define CACHE_NAME       "org.freedesktop.thumbnails.Cache1"
#define CACHE_PATH       "/org/freedesktop/thumbnails/Cache1"
#define MANAGER_NAME     "org.freedesktop.thumbnails.Manager1"
#define MANAGER_PATH     "/org/freedesktop/thumbnails/Manager1"

GDBusInterfaceInfo *interfaces_find (const char *name);
