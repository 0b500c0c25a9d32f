/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Like g_main_context_new(), but if there is no descriptor left, it fails with a GIOError and does
 * not end the program, even if other threads open descriptors meanwhile. */
GMainContext *_afork_main_context_new   (GError       **error);
/* Drops the reference. The context may still have other owners, but no longer belongs to the
 * library. */
void          _afork_main_context_unref (GMainContext  *context);

/* The context of the innermost blocking call of this thread, or NULL. The first function makes it
 * CONTEXT, and returns the one it was before, which the second takes. */
GMainContext *_afork_main_context_enter_blocking (GMainContext *context);
void          _afork_main_context_leave_blocking (GMainContext *outer);
GMainContext *_afork_main_context_get_blocking   (void);

G_END_DECLS
