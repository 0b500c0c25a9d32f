/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-enums.h>
#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

#define AFORK_TYPE_CALL_QUEUE (afork_call_queue_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkCallQueue, afork_call_queue, AFORK, CALL_QUEUE, GObject)

AFORK_AVAILABLE_IN_ALL
AForkCallQueue *afork_call_queue_new    (AForkPool          *pool) G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_add    (AForkCallQueue     *self,
                                         guint64             id,
                                         gpointer            args);
AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_remove (AForkCallQueue     *self,
                                         guint64             id);
AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_contains (AForkCallQueue   *self,
                                         guint64             id);
AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_wait   (AForkCallQueue     *self);
AFORK_AVAILABLE_IN_ALL
guint64        *afork_call_queue_take   (AForkCallQueue     *self,
                                         gsize              *n_numbers);

AFORK_AVAILABLE_IN_ALL
void            afork_call_queue_close  (AForkCallQueue     *self,
                                         AForkShutdownMode   mode);
AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_run    (AForkCallQueue     *self,
                                         GError            **error);

AFORK_AVAILABLE_IN_ALL
gboolean        afork_call_queue_is_iterated (AForkCallQueue *self,
                                         GMainContext       *context);

AFORK_AVAILABLE_IN_ALL
AForkPool      *afork_call_queue_get_pool (AForkCallQueue   *self);

G_END_DECLS
