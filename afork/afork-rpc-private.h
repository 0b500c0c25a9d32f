/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-rpc.h"
#include "calls/pending-call.h"
#include "worker/afork-call.h"

G_BEGIN_DECLS

/* Functions of an object of the library that owns an AForkRpc. They are called in the main context
 * in which the worker is served now. */
typedef struct
{
  /* The worker's init-function has returned. */
  void (*started)           (gpointer      data);
  /* The worker asks to be replaced. */
  void (*retires)           (gpointer      data);
  /* The worker has emitted EVENT. */
  void (*event)             (GVariant     *event,
                             gpointer      data);
  /* The worker has answered a call that had ended here. */
  void (*answered_unwanted) (guint32       number,
                             gpointer      data);
  /* The worker serves no more calls, because of ERROR, or because it was closed. The calls that it
   * has are lost next. */
  void (*ending)            (const GError *error,
                             gpointer      data);
  /* The worker has exited, and no calls are left. */
  void (*closed)            (gpointer      data);
} AForkRpcOwnerFuncs;

/* Has the worker serve calls by functions of this program; the last two may be NULL. The properties
 * for them are then only names for messages. Call this when the object was made. */
void          _afork_rpc_set_funcs   (AForkRpc                 *self,
                                      AForkCallFunc             func,
                                      AForkCallInitFunc         init_func,
                                      AForkCallDoneFunc         done_func);

/* FUNCS may be NULL: then no functions are called any more. */
void          _afork_rpc_set_owner   (AForkRpc                 *self,
                                      const AForkRpcOwnerFuncs *funcs,
                                      gpointer                  data);

/* Gives CALL, which has an owner, to the worker. Returns false if the worker serves no calls. */
gboolean      _afork_rpc_run_call    (AForkRpc                 *self,
                                      AForkPendingCall         *call);

/* Does what afork_rpc_close_async() does, without a task. */
void          _afork_rpc_begin_close (AForkRpc                 *self);

/* Why the worker serves no more calls, or NULL. */
const GError *_afork_rpc_get_failure (AForkRpc                 *self);

/* How many bytes were sent to the worker, and received from it. */
void          _afork_rpc_get_traffic (AForkRpc                 *self,
                                      guint64                  *n_sent,
                                      guint64                  *n_received);

/* Serves the worker in the thread-default main context, that of a blocking call, until it is given
 * back. Loans must be given back in the reverse order. Returns NULL if there is no worker. */
typedef struct _AForkRpcLoan AForkRpcLoan;

AForkRpcLoan *_afork_rpc_borrow      (AForkRpc                 *self);
void          _afork_rpc_give_back   (AForkRpcLoan             *loan);

G_END_DECLS
