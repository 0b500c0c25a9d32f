/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

/* Which loader a file needs.
 *
 * GdkPixbuf asks GIO for the type of a file. Every five seconds, GIO looks whether its tables were
 * changed, and forgets them if it cannot see their files. A confined worker sees no files, so it
 * compares the first bytes with the signatures of the loaders itself. */

/* So many bytes of a file are enough. */
#define PICTURE_FORMAT_BYTES 4096

/* Returns a loader for the file that begins with the SIZE bytes at START, or NULL. If no signature
 * fits, NAME decides, and *IS_GUESSED becomes true. A loader that needs files, such as a temporary
 * one, cannot be used by a confined worker: this is no error of the picture. */
GdkPixbufLoader *picture_format_new_loader (const guchar  *start,
                                            gsize          size,
                                            const char    *name,
                                            gboolean      *is_guessed,
                                            GError       **error);

/* Returns the error that no loader knows the file. It names the package of the loader if that is
 * known. */
GError          *picture_format_new_error  (const guchar  *start,
                                            gsize          size);
