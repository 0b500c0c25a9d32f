/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The other side of calls broke the protocol. Sets ERROR to an AFORK_ERROR_PROTOCOL; FORMAT says
 * what it did, without a full stop. Returns false. */
gboolean _afork_protocol_error_set (GError     **error,
                                    const char  *format,
                                    ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
