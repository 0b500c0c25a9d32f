/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Has a function called from a main context: when a cancellable is cancelled, in whatever thread;
 * at a time; or in the next iteration.
 *
 * All waiters of a context share one source, and those of one cancellable share one handler. So the
 * number of waiters makes no iteration of the context longer, and no other waiter more expensive.
 * There is no source while there is no waiter.
 *
 * For cancellables it is what g_cancellable_source_new() is for; but the handler of that, which
 * runs in the thread that cancels, still uses the main context while this thread has long been
 * woken, and perhaps has dropped the source and the context. */
typedef struct _AForkWaiter AForkWaiter;

typedef void (*AForkWaiterFunc) (gpointer data);

/* FUNC is called at most once, and not after the waiter was ended. Until then, or until the context
 * goes, the waiter keeps DATA, and then lets FREE_DATA, unless that is NULL, have it. Waiters that
 * are due are called in the order in which they became so. */
AForkWaiter *_afork_waiter_new_for_cancellable (GMainContext     *context,
                                                GCancellable     *cancellable,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);
/* TIME is one of g_get_monotonic_time(). */
AForkWaiter *_afork_waiter_new_for_time        (GMainContext     *context,
                                                gint64            time,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);
AForkWaiter *_afork_waiter_new_for_iteration   (GMainContext     *context,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);

/* The same in the next iteration, without a waiter to be ended. */
void         _afork_waiter_run_later           (GMainContext     *context,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);

/* Ends and frees it. To be called by the thread that uses the context, also from FUNC. */
void         _afork_waiter_end                 (AForkWaiter      *self);

G_END_DECLS
