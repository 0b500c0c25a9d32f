/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>
#include <afork/worker/afork-worker.h>

G_BEGIN_DECLS

#define AFORK_TYPE_CALL (afork_call_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkCall, afork_call, AFORK, CALL, GObject)

/**
 * AForkCallFunc:
 * @call: the call
 * @args: the arguments of the call; `()` if it has none
 * @error: return location for an error, which then is the answer
 *
 * A function of a worker that serves one call after the other.
 *
 * It may block. The value that it returns is the answer; a floating value is taken. If it sets
 * @error, that is the answer, with its domain, code and message. `NULL` without an error is `()`,
 * unless [method@AFork.Call.return_value] or [method@AFork.Call.return_error] has given the answer.
 *
 * Returns: (transfer full) (nullable): the result
 *
 * Since: 0.1
 */
typedef GVariant *(*AForkCallFunc) (AForkCall  *call,
                                    GVariant   *args,
                                    GError    **error);

/**
 * AForkConcurrentCallFunc:
 * @call: the call
 * @args: the arguments of the call; `()` if it has none
 *
 * A function of a worker that serves many calls at a time: it starts an operation and returns. The
 * worker iterates its default main context.
 *
 * [method@AFork.Call.return_value] or [method@AFork.Call.return_error] gives the answer, from any
 * thread, now or later. Until then the operation must keep a reference to @call. A call whose last
 * reference is dropped without an answer fails with `AFORK_ERROR_FAILED`.
 *
 * Since: 0.1
 */
typedef void (*AForkConcurrentCallFunc) (AForkCall *call,
                                         GVariant  *args);

/**
 * AForkCallInitFunc: (skip)
 * @items: (array length=n_items): the items that were queued for the function
 * @n_items: the number of items
 * @error: return location for an error
 *
 * A function that a worker calls before it serves the first call. If it fails, the worker exits,
 * and all its calls fail with the same error. It may emit events.
 *
 * Returns: true if the worker can serve calls
 *
 * Since: 0.1
 */
typedef gboolean (*AForkCallInitFunc) (const AForkItem  *items,
                                       gsize             n_items,
                                       GError          **error);

/**
 * AForkCallDoneFunc:
 *
 * A function that a worker calls last, when all calls are answered and no more will come.
 *
 * Since: 0.1
 */
typedef void (*AForkCallDoneFunc) (void);

AFORK_AVAILABLE_IN_ALL
GUnixFDList  *afork_call_get_fds         (AForkCall    *self);
AFORK_AVAILABLE_IN_ALL
GBytes      **afork_call_get_blobs       (AForkCall    *self,
                                          gsize        *n_blobs);
AFORK_AVAILABLE_IN_ALL
GCancellable *afork_call_get_cancellable (AForkCall    *self);
AFORK_AVAILABLE_IN_ALL
void          afork_call_report          (AForkCall    *self,
                                          GVariant     *progress);
AFORK_AVAILABLE_IN_ALL
guint         afork_call_add_result_blob (AForkCall    *self,
                                          GBytes       *blob);
AFORK_AVAILABLE_IN_ALL
void          afork_call_return_value    (AForkCall    *self,
                                          GVariant     *value,
                                          GUnixFDList  *fds);
AFORK_AVAILABLE_IN_ALL
void          afork_call_return_error    (AForkCall    *self,
                                          const GError *error);

AFORK_AVAILABLE_IN_ALL
void          afork_worker_emit          (GVariant     *event);
AFORK_AVAILABLE_IN_ALL
void          afork_worker_retire        (void);

AFORK_AVAILABLE_IN_ALL
void          afork_worker_serve_calls   (int              socket,
                                          const AForkItem *items,
                                          size_t           n_items);

G_END_DECLS
