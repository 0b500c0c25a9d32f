/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-cancel-watch-private.h"
#include "afork-job.h"

G_BEGIN_DECLS

typedef struct _AForkPendingCall AForkPendingCall;

/* CALL is to end before the worker has answered it, with ERROR, which is to be taken. */
typedef void (*AForkPendingCallAbandonFunc) (AForkPendingCall *call,
                                             GError           *error);

/* A call that was accepted: until it has ended for who made it, and until the worker has answered
 * it. Either may come first. */
struct _AForkPendingCall
{
  GList                        link;          /* in a queue, while it is not sent */
  guint32                      number;        /* 0 until it is sent */
  GTask                       *task;          /* NULL once it has ended; the worker goes unheard
                                               * then */
  GVariant                    *args;
  AForkJob                    *job;           /* or NULL */
  AForkPendingCallAbandonFunc  abandon;
  AForkCancelWatch            *cancelled;     /* or NULL */
  AForkCancelWatch            *job_cancelled; /* or NULL */
  GSource                     *timeout;       /* or NULL */
};

/* Takes TASK, whose callback gets a GVariant. JOB is NULL for a plain call, and ARGS may be. */
AForkPendingCall *_afork_pending_call_new  (GTask                       *task,
                                            GVariant                    *args,
                                            AForkJob                    *job);
/* CALL must have ended. */
void              _afork_pending_call_free (AForkPendingCall            *call);

/* Whether it is cancelled already. */
gboolean          _afork_pending_call_is_cancelled (AForkPendingCall    *call);
/* Has ABANDON called, once, should it be cancelled or take too long. */
void              _afork_pending_call_watch (AForkPendingCall           *call,
                                             AForkPendingCallAbandonFunc abandon);
/* The worker has begun with it: the time of its job runs. */
void              _afork_pending_call_begin (AForkPendingCall           *call);
/* Ends it, with VALUE or ERROR, both of which are taken. The callback may do anything. */
void              _afork_pending_call_end  (AForkPendingCall            *call,
                                            GVariant                    *value,
                                            GError                      *error);

G_END_DECLS
