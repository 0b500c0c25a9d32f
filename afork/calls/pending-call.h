/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-job.h"
#include "base/waiter.h"

G_BEGIN_DECLS

#define AFORK_TYPE_PENDING_CALL (_afork_pending_call_get_type ())
G_DECLARE_FINAL_TYPE (AForkPendingCall, _afork_pending_call, AFORK, PENDING_CALL, GObject)

/* CALL is to end before the worker has answered it, with ERROR, which is to be taken. */
typedef void (*AForkPendingCallCancelFunc) (AForkPendingCall *call,
                                            GError           *error,
                                            gpointer          data);

/* A call that was accepted, until it has ended for who made it, for whom it then is the result.
 *
 * It does what a GTask would, by the same rules: it calls back in the main context in which the
 * call was made, and not before the call was made for good. It is not one because small calls are
 * many, and a GTask was a third of what the caller's side of one cost. */
struct _AForkPendingCall
{
  GObject                      parent_instance;

  /* The result. */
  GObject                     *source;
  gpointer                     tag;
  GAsyncReadyCallback          callback;      /* NULL once it was called */
  gpointer                     user_data;
  GMainContext                *context;
  GVariant                    *value;         /* or NULL */
  GError                      *error;         /* or NULL */

  /* The call. */
  GList                        link;          /* in a queue, while it is not sent */
  guint32                      number;        /* 0 until it is sent */
  gboolean                     begun;         /* the worker has said so */
  GVariant                    *args;
  AForkJob                    *job;           /* or NULL */
  GCancellable                *cancellable;   /* or NULL */
  AForkPendingCallCancelFunc   cancel;
  gpointer                     cancel_data;
  AForkWaiter                 *cancelled;     /* or NULL */
  AForkWaiter                 *job_cancelled; /* or NULL */
  GQueue                      *unwritten;     /* that it is in, or NULL; it is the source's */
  GList                        unwritten_link;
  guint64                      sent_end;      /* how much has been sent when it has */
  gboolean                     written;       /* … and it has */
  gboolean                     limit_moved;   /* to when the worker began */
  gboolean                     limit_over;    /* unless an answer is here already */
  AForkWaiter                 *timeout;       /* or NULL */
  AForkWaiter                 *later;         /* calls back in the next iteration; or NULL */
};

/* JOB is NULL for a plain call, and ARGS may be. */
AForkPendingCall *_afork_pending_call_new             (GObject                     *source,
                                                       gpointer                     tag,
                                                       GVariant                    *args,
                                                       AForkJob                    *job,
                                                       GCancellable                *cancellable,
                                                       GAsyncReadyCallback          callback,
                                                       gpointer                     user_data);

/* Whether it is cancelled already. */
gboolean          _afork_pending_call_is_cancelled    (AForkPendingCall            *call);
/* Has CANCEL called, once, should it be cancelled or take too long. */
void              _afork_pending_call_watch           (AForkPendingCall            *call,
                                                       AForkPendingCallCancelFunc   cancel,
                                                       gpointer                     data);
/* The worker could begin with it: the time limit of its job, if there is one, counts from now. */
void              _afork_pending_call_start_limit     (AForkPendingCall            *call);
/* The worker says that it begins now: so it counts from now. It is said once. */
void              _afork_pending_call_begin           (AForkPendingCall            *call);
/* It has been sent, or will not be. */
void              _afork_pending_call_leave_unwritten (AForkPendingCall            *call);
/* It will end, and nothing else does it any more. */
void              _afork_pending_call_unwatch         (AForkPendingCall            *call);
/* Ends it, with VALUE or ERROR, both of which are taken. The callback may do anything. */
void              _afork_pending_call_end             (AForkPendingCall            *call,
                                                       GVariant                    *value,
                                                       GError                      *error);
void              _afork_pending_call_cancel          (AForkPendingCall            *call);
/* The same while the call is perhaps still being made: its callback waits for the main context to
 * be iterated. */
void              _afork_pending_call_fail            (AForkPendingCall            *call,
                                                       GError                      *error);

/* For who made the call: whether RESULT is one of a call of SOURCE that was made so; whether it has
 * what the call ended with, which is taken once; and taking it. */
gboolean          _afork_pending_call_is_result       (GAsyncResult                *result,
                                                       gpointer                     source,
                                                       gpointer                     tag);
gboolean          _afork_pending_call_has_end         (GAsyncResult                *result);
GVariant         *_afork_pending_call_propagate       (GAsyncResult                *result,
                                                       GError                     **error);

G_END_DECLS
