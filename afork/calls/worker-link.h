/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "afork-process.h"
#include "base/context.h"
#include "stream/call-stream.h"

G_BEGIN_DECLS

/* The way to a worker that serves calls: runs its process, sends and receives, and when it is over
 * finds out why. It keeps itself as long as the worker lives. */
typedef struct _AForkRpcLink AForkRpcLink;

typedef struct
{
  /* The worker runs, or has taken what was gathered: more can be. */
  void     (*room)    (AForkRpcLink      *link,
                       gpointer           data);
  /* So many bytes have been sent in all. */
  void     (*sent)    (AForkRpcLink      *link,
                       guint64            n_sent,
                       gpointer           data);
  /* A message has come. False and an error: it breaks the protocol. */
  gboolean (*message) (AForkRpcLink      *link,
                       AForkCallMessage  *message,
                       gpointer           data,
                       GError           **error);
  /* A handler of a message that has come iterates the context: what the message leads to, and is
   * not done yet, is to be done now. */
  void     (*resume)  (AForkRpcLink      *link,
                       gpointer           data);
  /* Called last: the worker has ended. ERROR is why, or NULL if it did so properly. It is called
   * again if a handler that it calls iterates the context, and is then to do the rest. */
  void     (*ended)   (AForkRpcLink      *link,
                       const GError      *error,
                       gpointer           data);
} AForkRpcLinkEvents;

/* Runs PROCESS. Everything is called from the thread-default main context. DATA is a GObject, which
 * is not kept, and of which another thread may drop the last reference: then nothing is called any
 * more. */
AForkRpcLink    *_afork_rpc_link_new        (AForkProcess             *process,
                                             gboolean                  forward_stderr,
                                             const AForkRpcLinkEvents *events,
                                             gpointer                  data);
AForkRpcLink    *_afork_rpc_link_ref        (AForkRpcLink             *self);
void             _afork_rpc_link_unref      (AForkRpcLink             *self);

/* Where to gather what is to be sent, which happens when the main context turns; NULL before the
 * worker runs, and after its end. */
AForkCallStream *_afork_rpc_link_get_stream (AForkRpcLink             *self);

/* What is known, when all has come, of the calls that the worker has begun. */
typedef enum
{
  AFORK_RPC_BEGUN_UNKNOWN,
  AFORK_RPC_BEGUN_TOLD,         /* there was a message for each */
  AFORK_RPC_BEGUN_LAST,         /* the last one, and so those before */
} AForkRpcBegun;

/* NUMBER is set to that of the last one, 0 for none, if that is known. */
AForkRpcBegun    _afork_rpc_link_get_begun  (AForkRpcLink             *self,
                                             guint32                  *number);

AForkContext    *_afork_rpc_link_get_context (AForkRpcLink            *self);

/* Has everything called from CONTEXT. */
void             _afork_rpc_link_set_context (AForkRpcLink            *self,
                                             AForkContext             *context);

/* No more will be gathered: the worker, having answered, is to exit. If OWES, it still has calls,
 * which nobody waits for any more, unless it is said meanwhile that it has none. If it is not
 * PATIENT, or while OWES, or while the worker does not read what is left for it, it has to exit
 * soon. */
void             _afork_rpc_link_close      (AForkRpcLink             *self,
                                             gboolean                  owes,
                                             gboolean                  patient);
void             _afork_rpc_link_owes_nothing (AForkRpcLink           *self);
/* The worker has said that it does not serve, and so has to exit soon, too. */
void             _afork_rpc_link_refused    (AForkRpcLink             *self);

/* EVENTS are told no more. The worker is closed. */
void             _afork_rpc_link_forget     (AForkRpcLink             *self,
                                             gboolean                  owes);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkRpcLink, _afork_rpc_link_unref)

G_END_DECLS
