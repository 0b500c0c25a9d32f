/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-rpc.h"
#include "calls/pending-table.h"
#include "calls/worker-link.h"

G_BEGIN_DECLS

/* The class is in afork-rpc.c; the calls that wait, and those that the worker has, are in
 * calls/rpc-calls.c. */
struct _AForkRpc
{
  GObject          parent_instance;
  AForkContext    *context;       /* NULL until it is constructed */
  gboolean         refused;       /* another thread uses that */

  AForkProcess    *process;
  char            *function;
  char            *init_function;
  char            *done_function;
  gboolean         concurrent;
  gboolean         die_with_parent;
  gboolean         forward_stderr;
  gboolean         trusted;
  guint            max_in_flight;

  AForkWorkerLink *link;          /* NULL once disposed of, or if it could not be made */
  gboolean         set_up;        /* SETUP has been sent */
  gboolean         outbox_sent;   /* … and OUTBOX, or there is none */
  gboolean         started;       /* the worker has said that it serves */
  GQueue           waiting;       /* of AForkPendingCall: not sent yet */
  AForkPendingTable in_flight;    /* sent, and not answered by the worker */
  gboolean         has_limits;    /* some of them have, or had, a time limit */
  GQueue           unwritten;     /* of AForkPendingCall: of those, gathered and not yet sent */
  guint64          n_sent;        /* bytes in all */

  gboolean         closing;
  gboolean         exited;
  gboolean         lost;          /* … and it served before */
  gboolean         closed_due;    /* to be emitted when there are no calls any more */
  GError          *failure;       /* why no call can be answered any more, or NULL */
  GQueue           close_tasks;   /* see _afork_task_queue_push() */
  AForkWaiter     *pending_end;   /* goes on with ending what is pending, or NULL */
};

/* Takes CALL. */
void     _afork_rpc_add_call       (AForkRpc            *self,
                                    AForkPendingCall    *call);
/* Sends as many calls as the worker is to have at a time. */
void     _afork_rpc_send_waiting   (AForkRpc            *self);
/* The worker has been sent so many bytes in all: calls may be among them whose time counts now. */
void     _afork_rpc_note_sent      (AForkRpc            *self,
                                    guint64              n_sent);
/* Ends calls with ERROR, for one turn. True if none are left. If the worker has ended, the error
 * also says whether it had begun with the call. */
gboolean _afork_rpc_fail_calls     (AForkRpc            *self,
                                    const GError        *error);
/* There can be no answers any more: ends what is pending, for one turn now, and then as the context
 * is iterated, also by a handler that this calls. */
void     _afork_rpc_end_pending    (AForkRpc            *self);

/* Takes what the worker has sent. False and an error if it may not send that. */
gboolean _afork_rpc_receive        (AForkRpc            *self,
                                    AForkCallMessage    *message,
                                    GError             **error);

void     _afork_rpc_emit_event     (AForkRpc            *self,
                                    GVariant            *event);

G_END_DECLS
