/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

AFORK_AVAILABLE_IN_ALL
void      afork_sandbox_probe_async  (GCancellable         *cancellable,
                                      GAsyncReadyCallback   callback,
                                      gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GVariant *afork_sandbox_probe_finish (GAsyncResult         *result,
                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
GVariant *afork_sandbox_probe        (GCancellable         *cancellable,
                                      GError              **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
