/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

/* Converts PIXBUF in place to the colors of sRGB, which thumbnails have. PROFILE is the profile
 * of the picture as gdk-pixbuf has it, in base64, or NULL. A profile that is not valid, or not of
 * RGB, changes nothing. */
void color_profile_apply (GdkPixbuf  *pixbuf,
                          const char *profile);
