/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A waiter calls a function in a main context: when any thread cancels a cancellable, at a time, or
 * in the next iteration.
 *
 * All waiters of a context share one source, and all waiters of a cancellable share one signal
 * handler. So the cost of an iteration, and of one more waiter, does not depend on the number of
 * waiters. The source exists only while there is a waiter.
 *
 * g_cancellable_source_new() has a race that waiters do not have: its signal handler, in the thread
 * that cancels, may still use the main context after the source was dispatched. By then the thread
 * of the context may have freed both. */
typedef struct _AForkWaiter AForkWaiter;

typedef void (*AForkWaiterFunc) (gpointer data);

/* FUNC is called at most once, and not after the waiter was ended. The waiter keeps DATA until it
 * is ended, or until the context is freed, and then calls FREE_DATA with it, unless that is NULL.
 * Waiters are called in the order in which they became due. */
AForkWaiter *_afork_waiter_new_for_cancellable (GMainContext     *context,
                                                GCancellable     *cancellable,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);
/* TIME is a monotonic time in microseconds, see g_get_monotonic_time(). */
AForkWaiter *_afork_waiter_new_for_time        (GMainContext     *context,
                                                gint64            time,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);
AForkWaiter *_afork_waiter_new_for_iteration   (GMainContext     *context,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);

/* Calls FUNC in the next iteration. The waiter ends itself. */
void         _afork_waiter_run_later           (GMainContext     *context,
                                                AForkWaiterFunc   func,
                                                gpointer          data,
                                                GDestroyNotify    free_data);

/* Ends and frees the waiter. Call it in the thread that uses the context. FUNC may call it. */
void         _afork_waiter_end                 (AForkWaiter      *self);

G_END_DECLS
