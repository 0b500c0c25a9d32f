/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-blocking-private.h"
#include "afork-pending-table-private.h"
#include "afork-rpc-link-private.h"
#include "afork-rpc.h"

G_BEGIN_DECLS

/* The parts of AForkRpc are: the class in afork-rpc.c; making calls in afork-rpc-call.c; those that
 * wait and those that the worker has in afork-rpc-pending.c; what the worker sends in
 * afork-rpc-receive.c; and the end in afork-rpc-close.c. */
struct _AForkRpc
{
  GObject        parent_instance;

  AForkProcess  *process;
  char          *function;
  char          *init_function;
  char          *done_function;
  gboolean       concurrent;
  gboolean       die_with_parent;
  gboolean       forward_stderr;
  gboolean       trusted;
  guint          max_in_flight;

  AForkRpcLink  *link;            /* NULL once disposed of, or if it could not be made */
  gboolean       set_up;          /* SETUP has been sent */
  gboolean       outbox_sent;     /* … and OUTBOX, or there is none */
  gboolean       started;         /* the worker has said that it serves */
  GQueue         waiting;         /* of AForkPendingCall: not sent yet */
  AForkPendingTable in_flight;    /* sent, and not answered by the worker */

  gboolean       closing;
  gboolean       ended;
  gboolean       closed_emitted;
  GError        *failure;         /* why no call can be answered any more, or NULL */
  GPtrArray     *close_tasks;     /* of GTask */
};

/* Takes CALL. */
void     _afork_rpc_add_call       (AForkRpc            *self,
                                    AForkPendingCall    *call);
/* Sends as many calls as the worker is to have at a time. */
void     _afork_rpc_send_waiting   (AForkRpc            *self);
/* Ends all calls with ERROR. A handler may iterate the context, and wait for calls that are still
 * to be ended: then this function is called again, and does the rest. */
void     _afork_rpc_fail_calls     (AForkRpc            *self,
                                    const GError        *error);
/* The same when the worker has ended: the error also says whether it had begun with the call. */
void     _afork_rpc_fail_lost_calls (AForkRpc           *self,
                                    const GError        *error);
/* The same where no handler can be called now: each callback waits for the context. */
void     _afork_rpc_fail_calls_later (AForkRpc          *self,
                                    const GError        *error);

/* Takes what the worker has sent. False and an error if it may not send that. */
gboolean _afork_rpc_receive        (AForkRpc            *self,
                                    AForkCallMessage    *message,
                                    GError             **error);

/* The worker has ended, because of ERROR, or properly. */
void     _afork_rpc_end            (AForkRpc            *self,
                                    const GError        *error);

/* Nothing leads to the worker any more, for the reason that MESSAGE tells. */
void     _afork_rpc_give_up        (AForkRpc            *self,
                                    const char          *message);

void     _afork_rpc_emit_event     (AForkRpc            *self,
                                    GVariant            *event);
void     _afork_rpc_emit_closed    (AForkRpc            *self);

/* A blocking call of an RPC object: AForkBlocking has the process served in another context, and
 * this the way to its worker, too. */
typedef struct
{
  AForkBlocking  base;
  AForkRpcLink  *link;
  GMainContext  *context;     /* where it was served before */
} AForkRpcBlocking;

gboolean      _afork_rpc_begin_blocking (AForkRpc          *self,
                                         AForkRpcBlocking  *blocking,
                                         GError           **error);
GAsyncResult *_afork_rpc_end_blocking   (AForkRpc          *self,
                                         AForkRpcBlocking  *blocking);

G_END_DECLS
