/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Reads the texts of a PNG file in tEXt chunks before the picture. Nothing is decoded. For a file
 * that is invalid, or has too many texts, returns NULL.
 *
 * Returns: (nullable): the texts by their keywords */
GHashTable *png_text_read (int fd);
