/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "thumbnailer-object.h"

/* The object with the interface org.freedesktop.thumbnails.Cache1, by which file managers report
 * what has become of pictures, and the one with Manager1. */
gboolean cache_object_export (GDBusConnection    *bus,
                              ThumbnailerObject  *thumbnailer,
                              GError            **error);
