/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Returns the paths of what fontconfig reads, by default: fonts, its configuration, and lists of
 * fonts. A worker that may read these can draw text. Some may not exist. Free with g_strfreev(). */
char **font_paths_new (void);
