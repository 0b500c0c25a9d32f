/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Loads the decoders that thumbnail_make() needs. */
void     thumbnail_prepare (void);

/* Makes a thumbnail of the file PICTURE, of at most PIXELS a side, as gdk-pixbuf-thumbnailer does.
 * May be called in any thread. */
gboolean thumbnail_make    (const char  *picture,
                            const char  *thumbnail,
                            int          pixels,
                            GError     **error);
