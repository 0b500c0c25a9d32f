/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

/* The pixels in GDK_MEMORY_DEFAULT, which is native 32-bit words of premultiplied alpha, red, green
 * and blue. This is what GTK draws without converting it first. */
GBytes *pixels_from_pixbuf (GdkPixbuf *pixbuf,
                            gsize     *stride);
