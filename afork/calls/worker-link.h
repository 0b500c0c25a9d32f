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
typedef struct _AForkWorkerLink AForkWorkerLink;

typedef struct
{
  /* The worker runs, or has taken what was gathered: more can be. */
  void     (*room)    (AForkWorkerLink *link,
                       gpointer         data);
  /* So many bytes have been sent in all. */
  void     (*sent)    (AForkWorkerLink *link,
                       guint64          n_sent,
                       gpointer         data);
  /* A message has come. False and an error: it breaks the protocol. */
  gboolean (*message) (AForkWorkerLink   *link,
                       AForkCallMessage  *message,
                       gpointer           data,
                       GError           **error);
  /* All messages that end within the first N_RECEIVED bytes of the worker have been passed on. It
   * calls no handlers. */
  void     (*received) (AForkWorkerLink *link,
                       guint64          n_received,
                       gpointer         data);
  /* A handler of a message that has come iterates the context: what the message leads to, and is
   * not done yet, is to be done now. */
  void     (*resume)  (AForkWorkerLink *link,
                       gpointer         data);
  /* Called last: the worker has ended. ERROR is why, or NULL if it did so properly. It is called
   * again if a handler that it calls iterates the context, and is then to do the rest. */
  void     (*exited)  (AForkWorkerLink *link,
                       const GError    *error,
                       gpointer         data);
} AForkWorkerLinkEvents;

/* Runs PROCESS. Everything is called from the thread-default main context. DATA is a GObject, which
 * is not kept, and of which another thread may drop the last reference: then nothing is called any
 * more. */
AForkWorkerLink *_afork_worker_link_new        (AForkProcess                *process,
                                                gboolean                     forward_stderr,
                                                const AForkWorkerLinkEvents *events,
                                                gpointer                     data);
AForkWorkerLink *_afork_worker_link_ref        (AForkWorkerLink             *self);
void             _afork_worker_link_unref      (AForkWorkerLink             *self);

/* Where to gather what is to be sent, which happens when the main context is iterated; NULL before
 * the worker runs, and after its end. */
AForkCallStream *_afork_worker_link_get_stream (AForkWorkerLink             *self);

/* Whether something of the worker has arrived, and has not been passed on as a message. Then
 * N_ARRIVED is set to the number of all bytes that have arrived, and `received` or `exited` will be
 * called for them. */
gboolean         _afork_worker_link_has_unread (AForkWorkerLink             *self,
                                                guint64                     *n_arrived);

/* What is known, when all has come, of the calls that the worker has begun. */
typedef enum
{
  AFORK_WORKER_BEGUN_UNKNOWN,
  AFORK_WORKER_BEGUN_REPORTED,  /* there was a message for each */
  AFORK_WORKER_BEGUN_LAST,      /* the last one, and so those before */
} AForkWorkerBegun;

/* NUMBER is set to that of the last one, 0 for none, if that is known. */
AForkWorkerBegun _afork_worker_link_get_begun    (AForkWorkerLink *self,
                                                  guint32         *number);

AForkContext    *_afork_worker_link_get_context  (AForkWorkerLink *self);

/* Has everything called from CONTEXT. */
void             _afork_worker_link_set_context  (AForkWorkerLink *self,
                                                  AForkContext    *context);

/* No more will be gathered: the worker, having answered, is to exit. If HAS_UNANSWERED, it still
 * has calls, which nobody waits for any more, unless it is said meanwhile that it has none. If it
 * is not WAIT_FOR_DONE, or while HAS_UNANSWERED, or while the worker does not read what is left for
 * it, it has to exit soon. */
void             _afork_worker_link_close        (AForkWorkerLink *self,
                                                  gboolean         has_unanswered,
                                                  gboolean         wait_for_done);
void             _afork_worker_link_all_answered (AForkWorkerLink *self);
/* The worker has said that it does not serve, and so has to exit soon, too. */
void             _afork_worker_link_refused      (AForkWorkerLink *self);

/* EVENTS are told no more. The worker is closed. */
void             _afork_worker_link_forget       (AForkWorkerLink *self,
                                                  gboolean         has_unanswered);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkWorkerLink, _afork_worker_link_unref)

G_END_DECLS
