/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Like g_main_context_new(), but if no descriptor is left, it fails with a GIOError instead of
 * ending the program, even if other threads open descriptors meanwhile. */
GMainContext *_afork_main_context_new   (GError       **error);
/* Drops the reference of the library. The context may have other owners. */
void          _afork_main_context_unref (GMainContext  *context);

/* The context of the innermost blocking call of this thread, or NULL. A blocking call enters with
 * its own CONTEXT, and leaves with the context that the first function returned. */
GMainContext *_afork_main_context_enter_blocking (GMainContext *context);
void          _afork_main_context_leave_blocking (GMainContext *outer);
GMainContext *_afork_main_context_get_blocking   (void);

G_END_DECLS
