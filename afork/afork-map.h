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

#define AFORK_TYPE_MAP (afork_map_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkMap, afork_map, AFORK, MAP, GObject)

AFORK_AVAILABLE_IN_ALL
AForkMap *afork_pool_map            (AForkPool            *self,
                                     GVariant             *items,
                                     AForkMapFlags         flags) G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkMap *afork_pool_map_jobs       (AForkPool            *self,
                                     GListModel           *jobs,
                                     AForkMapFlags         flags) G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
void      afork_map_next_async      (AForkMap             *self,
                                     GCancellable         *cancellable,
                                     GAsyncReadyCallback   callback,
                                     gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
AForkJob *afork_map_next_finish     (AForkMap             *self,
                                     GAsyncResult         *result,
                                     GError              **error);
AFORK_AVAILABLE_IN_ALL
AForkJob *afork_map_next            (AForkMap             *self,
                                     GCancellable         *cancellable,
                                     GError              **error);
AFORK_AVAILABLE_IN_ALL
void      afork_map_close           (AForkMap             *self);

AFORK_AVAILABLE_IN_ALL
guint     afork_map_get_look_ahead  (AForkMap             *self);
AFORK_AVAILABLE_IN_ALL
void      afork_map_set_look_ahead  (AForkMap             *self,
                                     guint                 look_ahead);

G_END_DECLS
