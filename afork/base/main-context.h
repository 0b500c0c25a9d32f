/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Like g_main_context_new(), but if no descriptor is left, it fails with a GIOError instead of
 * ending the program, even if other threads open descriptors meanwhile. */
GMainContext *_afork_main_context_new            (GError       **error);
/* Drops the reference of the library. The context may have other owners. */
void          _afork_main_context_unref          (GMainContext  *context);

/* Makes the default context, unless it was made before. Fails in the same cases, with
 * AFORK_ERROR_SPAWN. Constructors call this first. From then on, g_main_context_default(),
 * g_task_new() and the like need no descriptor. Objects of other contexts need the default context,
 * too: it takes over their children when their own context is gone. */
gboolean      _afork_main_context_ensure_default (GError       **error);

/* The context of the innermost blocking call of this thread, or NULL. A blocking call enters with
 * its own CONTEXT, and leaves with the context that the first function returned. */
GMainContext *_afork_main_context_enter_blocking (GMainContext *context);
void          _afork_main_context_leave_blocking (GMainContext *outer);
GMainContext *_afork_main_context_get_blocking   (void);

G_END_DECLS
