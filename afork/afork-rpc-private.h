/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-rpc.h"
#include "calls/pending-table.h"
#include "calls/worker-link.h"
#include "process/blocking-call.h"

G_BEGIN_DECLS

/* The parts of AForkRpc are: the class in afork-rpc.c; making calls in afork-rpc-call.c; those that
 * wait and those that the worker has in calls/rpc-calls.c; what the worker sends in
 * calls/rpc-receive.c; and the end in afork-rpc-close.c. */
struct _AForkRpc
{
  GObject        parent_instance;
  AForkContext  *context;         /* NULL until it is constructed */
  gboolean       refused;         /* another thread uses that */

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
  gboolean       has_limits;      /* some of them have, or had, a time limit */
  GQueue         unwritten;       /* of AForkPendingCall: of those, gathered and not yet sent */
  guint64        n_sent;          /* bytes in all */

  gboolean       closing;
  gboolean       ended;
  gboolean       lost;            /* … and it served before */
  gboolean       closed_due;      /* to be emitted when there are no calls any more */
  GError        *failure;         /* why no call can be answered any more, or NULL */
  GQueue         close_tasks;     /* see _afork_task_queue_push() */
  AForkWaiter   *pending_end;     /* goes on with ending what is pending, or NULL */
};

/* Each public function that does something to the object begins with this: holds its main context.
 * NULL and an error if another thread may use that. */
AForkHold *_afork_rpc_hold         (AForkRpc            *self,
                                    GError             **error);

/* Takes CALL. */
void     _afork_rpc_add_call       (AForkRpc            *self,
                                    AForkPendingCall    *call);
/* Sends as many calls as the worker is to have at a time. */
void     _afork_rpc_send_waiting   (AForkRpc            *self);
/* The worker has been sent so many bytes in all: calls may be among them whose time counts now. */
void     _afork_rpc_note_sent      (AForkRpc            *self,
                                    guint64              n_sent);
/* A call has ended: the time of the next one may count now. */
void     _afork_rpc_start_limit    (AForkRpc            *self);
/* Ends calls with ERROR, for one turn. True if none are left. If the worker has ended, the error
 * also says whether it had begun with the call. */
gboolean _afork_rpc_fail_calls     (AForkRpc            *self,
                                    const GError        *error);
/* There can be no answers any more: ends what is pending, for one turn now, and then as the context
 * is iterated, also by a handler that this calls. */
void     _afork_rpc_end_pending    (AForkRpc            *self);
/* Has that go on in the context in which the worker is served now. */
void     _afork_rpc_move_pending   (AForkRpc            *self);

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
  AForkHold     *hold;        /* of the object's own context */
  AForkRpcLink  *link;
  AForkContext  *context;     /* where it was served before */
} AForkRpcBlocking;

gboolean      _afork_rpc_begin_blocking (AForkRpc          *self,
                                         AForkRpcBlocking  *blocking,
                                         GError           **error);
GAsyncResult *_afork_rpc_end_blocking   (AForkRpc          *self,
                                         AForkRpcBlocking  *blocking);

G_END_DECLS
