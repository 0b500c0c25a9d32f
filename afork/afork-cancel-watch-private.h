/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Has a function called from a main context when a cancellable is cancelled, in whatever thread.
 *
 * It is what g_cancellable_source_new() is for; but the handler of that, which runs in the thread
 * that cancels, still uses the main context while this thread has long been woken, and perhaps has
 * dropped the source and the context. Here ending the watch waits for the handler. */
typedef struct _AForkCancelWatch AForkCancelWatch;

typedef void (*AForkCancelFunc) (gpointer data);

/* FUNC is called at most once, and not after the watch was ended. Until then, or until the context
 * goes, the watch keeps DATA, and then lets FREE_DATA, unless that is NULL, have it. */
AForkCancelWatch *_afork_cancel_watch_new (GCancellable     *cancellable,
                                           GMainContext     *context,
                                           AForkCancelFunc   func,
                                           gpointer          data,
                                           GDestroyNotify    free_data);

/* Ends and frees it. To be called from the context's thread, be it in FUNC. */
void              _afork_cancel_watch_end (AForkCancelWatch *self);

G_END_DECLS
