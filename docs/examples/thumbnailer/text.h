/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Makes text of other origin safe to print: UTF-8 without characters that move the cursor. White
 * space at the end of bytes, such as the line end of a message, is dropped. */

char  *text_from_bytes    (const char *bytes,
                           gsize       size);
char  *text_from_filename (const char *filename);

/* How many columns of a terminal it takes, and as much of it as fits into so many. */
guint  text_columns       (const char *text);
char  *text_ellipsize     (const char *text,
                           guint       columns);
