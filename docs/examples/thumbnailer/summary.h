/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Prints the results of @pictures in so many @seconds, the lines @workers on what made them, if
 * thumbnails were made, and which failed for which reason. */
void     summary_print          (GPtrArray  *pictures,
                                 double      seconds,
                                 const char *workers);

gboolean summary_all_succeeded  (GPtrArray  *pictures);
