/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "pending-call.h"
#include "pending-table.h"
#include "worker-link.h"

G_BEGIN_DECLS

/* The calls to one worker: the calls that wait here, the calls that the worker has, and what the
 * worker sends. It is embedded in an object, its owner, which reports to it what the worker
 * does. */
typedef struct AForkRpcCalls AForkRpcCalls;

/* What the worker is known to do.
 *
 *     NEW ──── SETUP is sent ───> SET_UP ── STARTED comes ──> STARTED
 *      │                            │ │                          │
 *      │                 a refusal comes└──────────────────────┐ │
 *      │                            v                          v v
 *      │                         REFUSED ── the worker ends ─> ENDED
 *      └──── the worker ends, or does not run ──> NOT_RUN
 */
typedef enum
{
  AFORK_RPC_CALLS_STATE_NEW,
  AFORK_RPC_CALLS_STATE_SET_UP,
  AFORK_RPC_CALLS_STATE_STARTED,  /* the init-function has returned */
  AFORK_RPC_CALLS_STATE_REFUSED,  /* the worker has sent why it cannot serve, and exits */
  AFORK_RPC_CALLS_STATE_ENDED,    /* the worker has ended, and may have begun calls */
  AFORK_RPC_CALLS_STATE_NOT_RUN,  /* the worker has ended, and has got no calls */
} AForkRpcCallsState;

/* Functions of the owner. */
typedef struct
{
  /* The worker has emitted EVENT. */
  void (*event)   (GObject  *owner,
                   GVariant *event);
  /* The worker cannot serve because of ERROR, which the function takes. */
  void (*refused) (GObject  *owner,
                   GError   *error);
  /* The worker's init-function has returned. */
  void (*started) (GObject  *owner);
  /* The worker asks to be replaced. */
  void (*retires) (GObject  *owner);
  /* The worker has answered a call that had ended here. */
  void (*answered_unwanted) (GObject *owner,
                             guint32  number);
} AForkRpcCallsFuncs;

/* The contents of the first frame that the worker gets. The strings belong to the owner. */
typedef struct
{
  const char *function;
  const char *init_function;    /* or NULL */
  const char *done_function;    /* or NULL */
  gboolean    concurrent;
  gboolean    trusted;
  gboolean    can_pass_fds;
} AForkRpcCallsSetup;

struct AForkRpcCalls
{
  GObject                  *owner;        /* not a reference */
  const AForkRpcCallsFuncs *funcs;
  AForkRpcCallsSetup        setup;
  guint                     max_in_flight;

  AForkRpcCallsState        state;
  AForkWorkerLink          *link;         /* the owner's; NULL before it is made and once the owner
                                           * is disposed of */
  gboolean                  outbox_sent;  /* the worker has been offered an outbox, or needs none */
  gboolean                  closing;      /* the owner accepts no more calls */
  GQueue                    waiting;      /* of AForkPendingCall: not sent yet */
  AForkPendingTable         in_flight;    /* sent, and not answered by the worker */
  gboolean                  has_limits;   /* a call with a time limit is, or was, in flight */
  GQueue                    unwritten;    /* of AForkPendingCall: in flight with a time limit, and
                                           * still in the write buffer */
  GQueue                    overdue;      /* of AForkPendingCall: the time limit is over, and the
                                           * answer may have arrived and not been read */
  guint64                   n_sent;       /* all bytes that the worker was sent */
};

void          _afork_rpc_calls_init              (AForkRpcCalls            *self,
                                                  GObject                  *owner,
                                                  const AForkRpcCallsFuncs *funcs);
/* There must be no calls left. */
void          _afork_rpc_calls_clear             (AForkRpcCalls            *self);
/* Sends calls by LINK from now on, which stays the owner's. */
void          _afork_rpc_calls_set_link          (AForkRpcCalls            *self,
                                                  AForkWorkerLink          *link,
                                                  const AForkRpcCallsSetup *setup);
/* What the worker gets instead of the functions of the setup, without INIT_FUNCTION or
 * DONE_FUNCTION if these are NULL. The strings belong to the owner. Nothing may have been sent
 * yet. */
void          _afork_rpc_calls_set_functions     (AForkRpcCalls            *self,
                                                  const char               *function,
                                                  const char               *init_function,
                                                  const char               *done_function);
/* The owner drops the link. */
void          _afork_rpc_calls_unset_link        (AForkRpcCalls            *self);

/* Takes CALL. */
void          _afork_rpc_calls_add               (AForkRpcCalls            *self,
                                                  AForkPendingCall         *call);
/* Sends calls until the worker has as many as it may have at a time. */
void          _afork_rpc_calls_send_waiting      (AForkRpcCalls            *self);
/* N_SENT bytes have been sent to the worker in all: the time limits of calls among them may count
 * from now. */
void          _afork_rpc_calls_note_sent         (AForkRpcCalls            *self,
                                                  guint64                   n_sent);
/* All messages have been received that end within the first N_RECEIVED bytes of the worker: calls
 * whose time limit was over when these had arrived end now. */
void          _afork_rpc_calls_note_received     (AForkRpcCalls            *self,
                                                  guint64                   n_received);
/* Takes a message of the worker. Returns false and sets ERROR if it breaks the protocol. */
gboolean      _afork_rpc_calls_receive           (AForkRpcCalls            *self,
                                                  AForkCallMessage         *message,
                                                  GError                  **error);

/* No more calls will be added. Closes the worker once all calls have ended. */
void          _afork_rpc_calls_close             (AForkRpcCalls            *self);
/* The worker has ended. */
void          _afork_rpc_calls_end               (AForkRpcCalls            *self);
/* Ends calls with ERROR, for one turn. Returns true if none are left. If the worker has ended, each
 * error also says whether the worker had begun with the call. */
gboolean      _afork_rpc_calls_fail              (AForkRpcCalls            *self,
                                                  const GError             *error);

/* Whether a call waits, or the worker has one, perhaps one that has ended here. */
gboolean      _afork_rpc_calls_has_any           (AForkRpcCalls            *self);
/* Whether the worker has a call, perhaps one that has ended here. */
gboolean      _afork_rpc_calls_has_unanswered    (AForkRpcCalls            *self);
/* The main context in which the first call was made that has not ended, or NULL. Not a
 * reference. */
GMainContext *_afork_rpc_calls_peek_context      (AForkRpcCalls            *self);

G_END_DECLS
