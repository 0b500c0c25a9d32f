/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Prints the results of PICTURES in so many SECONDS, the lines WORKERS on what made them, if
 * thumbnails were made, and how many failed for which reason, or WITH_NAMES which. */
void     summary_print          (GPtrArray  *pictures,
                                 double      seconds,
                                 const char *workers,
                                 gboolean    with_names);

gboolean summary_all_succeeded  (GPtrArray  *pictures);
