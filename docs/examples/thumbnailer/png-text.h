/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/*
 * Reads what a PNG file says of itself in tEXt chunks in front of the picture. Nothing is decoded,
 * and a file that is not what it should be, or says too much, is as good as none.
 *
 * Returns: (nullable): the texts by their keywords
 */
GHashTable *png_text_read (int fd);
