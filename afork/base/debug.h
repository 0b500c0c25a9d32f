/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether GLib writes the library's debug messages. Ask before a message that each process causes:
 * g_debug() formats a message also if nobody reads it. G_MESSAGES_DEBUG is read once. */
gboolean _afork_debug_is_enabled (void);

G_END_DECLS
