/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The other side of calls did what it may not: WHY, a sentence without an end. Returns false. */
gboolean _afork_protocol_error_set (GError     **error,
                                    const char  *why);

G_END_DECLS
