/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>
#include <afork/worker/afork-call.h>

G_BEGIN_DECLS

#define AFORK_TYPE_RPC (afork_rpc_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkRpc, afork_rpc, AFORK, RPC, GObject)

AFORK_AVAILABLE_IN_ALL
AForkRpc     *afork_rpc_new               (AForkProcess         *process,
                                           const char           *function)
                                           G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkRpc     *afork_rpc_new_for_func      (AForkProcess         *process,
                                           AForkCallFunc         func)
                                           G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
AForkRpc     *afork_rpc_new_for_funcs     (AForkProcess         *process,
                                           AForkCallFunc         func,
                                           AForkCallInitFunc     init_func,
                                           AForkCallDoneFunc     done_func)
                                           G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
void          afork_rpc_call_async        (AForkRpc             *self,
                                           GVariant             *args,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_rpc_call_finish       (AForkRpc             *self,
                                           GAsyncResult         *result,
                                           GError              **error);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_rpc_call              (AForkRpc             *self,
                                           GVariant             *args,
                                           GCancellable         *cancellable,
                                           GError              **error);

AFORK_AVAILABLE_IN_ALL
void          afork_rpc_run_job_async     (AForkRpc             *self,
                                           AForkJob             *job,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_rpc_run_job_finish    (AForkRpc             *self,
                                           GAsyncResult         *result,
                                           GError              **error);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_rpc_run_job           (AForkRpc             *self,
                                           AForkJob             *job,
                                           GCancellable         *cancellable,
                                           GError              **error);

AFORK_AVAILABLE_IN_ALL
void          afork_rpc_close_async       (AForkRpc             *self,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_close_finish      (AForkRpc             *self,
                                           GAsyncResult         *result,
                                           GError              **error);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_close             (AForkRpc             *self,
                                           GCancellable         *cancellable,
                                           GError              **error);

AFORK_AVAILABLE_IN_ALL
AForkProcess *afork_rpc_get_process       (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_rpc_get_function      (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_rpc_get_init_function (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_rpc_get_done_function (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_get_concurrent    (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_get_die_with_parent (AForkRpc           *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_get_forward_stderr (AForkRpc            *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_rpc_get_trusted       (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
guint         afork_rpc_get_max_in_flight (AForkRpc             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_rpc_set_max_in_flight (AForkRpc             *self,
                                           guint                 max_in_flight);

G_END_DECLS
