/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "afork-process.h"
#include "base/context.h"
#include "base/limits.h"
#include "stream/call-stream.h"

G_BEGIN_DECLS

/* The link to a worker that serves calls: runs its process, sends and receives, and finds out why
 * the worker ended. It keeps itself alive as long as the worker lives. */
typedef struct _AForkWorkerLink AForkWorkerLink;

typedef struct
{
  /* The worker runs, or the write buffer has been sent: more can be added to it. */
  void     (*room)    (AForkWorkerLink *link,
                       gpointer         data);
  /* N_SENT bytes have been sent in all. */
  void     (*sent)    (AForkWorkerLink *link,
                       guint64          n_sent,
                       gpointer         data);
  /* A message has come. Returns false and sets ERROR if it breaks the protocol. */
  gboolean (*message) (AForkWorkerLink   *link,
                       AForkCallMessage  *message,
                       gpointer           data,
                       GError           **error);
  /* All messages that end within the first N_RECEIVED bytes of the worker have been passed on. It
   * calls no handlers. */
  void     (*received) (AForkWorkerLink *link,
                       guint64          n_received,
                       gpointer         data);
  /* A handler of a message iterates the context. What the message leads to, and is not done yet,
   * has to be done now. */
  void     (*resume)  (AForkWorkerLink *link,
                       gpointer         data);
  /* The worker has ended. ERROR is the reason, or NULL if the worker exited properly. Called last;
   * called again if a handler iterates the context, and then has to do what is left. */
  void     (*exited)  (AForkWorkerLink *link,
                       const GError    *error,
                       gpointer         data);
} AForkWorkerLinkEvents;

/* Runs PROCESS. EVENTS are called in the thread-default main context. DATA is a GObject, the owner.
 * The link holds no reference to it, and calls nothing once another thread has dropped the last
 * one. */
AForkWorkerLink *_afork_worker_link_new        (AForkProcess                *process,
                                                gboolean                     forward_stderr,
                                                const AForkWorkerLinkEvents *events,
                                                gpointer                     data);
AForkWorkerLink *_afork_worker_link_ref        (AForkWorkerLink             *self);
void             _afork_worker_link_unref      (AForkWorkerLink             *self);

/* The stream that frames for the worker are added to, or NULL before the worker runs and after its
 * end. They are sent when the main context is iterated. */
AForkCallStream *_afork_worker_link_get_stream (AForkWorkerLink             *self);

/* Whether something of the worker has arrived, and has not been passed on as a message. Then
 * N_ARRIVED is set to the number of all bytes that have arrived, and `received` or `exited` will be
 * called for them. */
gboolean         _afork_worker_link_has_unread (AForkWorkerLink             *self,
                                                guint64                     *n_arrived);

/* What is known of the calls that the worker had begun, once all of its messages have come. */
typedef enum
{
  AFORK_WORKER_BEGUN_UNKNOWN,
  AFORK_WORKER_BEGUN_REPORTED,  /* the worker sent a message for each */
  AFORK_WORKER_BEGUN_LAST,      /* the number of the last one is known; older ones had begun */
} AForkWorkerBegun;

/* Sets NUMBER to that of the last one, or to 0 if it is not known or there is none. */
AForkWorkerBegun _afork_worker_link_get_begun    (AForkWorkerLink *self,
                                                  guint32         *number);

AForkContext    *_afork_worker_link_get_context  (AForkWorkerLink *self);

/* Returns the pid of the worker, or 0 if it is not known. */
int              _afork_worker_link_get_pid      (AForkWorkerLink *self);

/* How many bytes were sent to the worker, and received from it. */
void             _afork_worker_link_get_traffic  (AForkWorkerLink *self,
                                                  guint64         *n_sent,
                                                  guint64         *n_received);

/* Serves the link in CONTEXT from now on. */
void             _afork_worker_link_set_context  (AForkWorkerLink *self,
                                                  AForkContext    *context);

/* No more will be sent: the worker exits when it has read all. HAS_UNANSWERED: the worker has calls
 * that have ended here, until _afork_worker_link_all_answered(). WAIT_FOR_DONE: the worker has a
 * done-function, which may take long. The exit timeout runs unless WAIT_FOR_DONE, while the worker
 * has unanswered calls, and while it does not read. */
void             _afork_worker_link_close        (AForkWorkerLink *self,
                                                  gboolean         has_unanswered,
                                                  gboolean         wait_for_done);
void             _afork_worker_link_all_answered (AForkWorkerLink *self);
/* The owner is closed and has no calls. If the worker is still starting, the exit timeout runs
 * until it serves. */
void             _afork_worker_link_set_unneeded (AForkWorkerLink *self);
/* The worker has answered a call. */
void             _afork_worker_link_note_answer  (AForkWorkerLink *self);
/* The worker has sent that it cannot serve: the exit timeout starts. */
void             _afork_worker_link_refused      (AForkWorkerLink *self);

/* Closes the worker. Events are not called any more. */
void             _afork_worker_link_forget       (AForkWorkerLink *self,
                                                  gboolean         has_unanswered);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkWorkerLink, _afork_worker_link_unref)

/* The limits of the worker, or NULL. */
const AForkLimits *_afork_worker_link_get_limits (AForkWorkerLink *self);

G_END_DECLS
