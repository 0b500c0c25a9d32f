/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The absolute path of the file that this library was loaded from, or NULL if it is unknown. */
char *_afork_library_dup_path (void);

G_END_DECLS
