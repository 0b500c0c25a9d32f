/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

#include "work-file.h"

/* Returns the texts of an `a{ss}` for png_save(). */
GPtrArray *png_texts_new (GVariant     *keys);

/* Writes @pixbuf to @file as a PNG file. @texts is an array of strings in pairs, a keyword and its
 * text, which become tEXt chunks of the file. */
gboolean   png_save      (WorkFile     *file,
                          GdkPixbuf    *pixbuf,
                          GPtrArray    *texts,
                          GError      **error);
