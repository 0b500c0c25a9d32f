/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* As g_main_context_new(), which ends the program if there is no descriptor left. This one fails
 * with a GIOError, also if other threads take descriptors meanwhile. */
GMainContext *_afork_main_context_new   (GError       **error);
/* Drops the reference. Whoever still has one has it for himself. */
void          _afork_main_context_unref (GMainContext  *context);

/* The context of the innermost blocking call of this thread, or NULL. The first function makes it
 * CONTEXT, and returns the one it was before, which the second takes. */
GMainContext *_afork_main_context_enter_blocking (GMainContext *context);
void          _afork_main_context_leave_blocking (GMainContext *outer);
GMainContext *_afork_main_context_get_blocking   (void);

G_END_DECLS
