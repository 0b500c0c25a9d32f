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

/* Functions of the table that the call is in. */
typedef struct
{
  /* Ends CALL before the worker has answered it, with ERROR, which is taken. */
  void     (*cancel)      (AForkPendingCall *call,
                           GError           *error,
                           gpointer          data);
  /* The time limit of CALL is over. Returns true if its answer may have arrived and not been read:
   * then _afork_pending_call_end_limit() is called later, once it is known that it has not. */
  gboolean (*defer_limit) (AForkPendingCall *call,
                           gpointer          data);
} AForkPendingCallFuncs;

/* Whether the worker's function was entered for a call. */
typedef enum
{
  AFORK_CALL_BEGUN_NO,
  AFORK_CALL_BEGUN_YES,
  AFORK_CALL_BEGUN_UNKNOWN,
} AForkCallBegun;

/* Functions of an object that owns the call, and may give it to one worker after the other. Then
 * only the owner ends the call. When a function is called, the worker's calls do not contain the
 * call any more. */
typedef struct
{
  /* The worker has answered with VALUE or ERROR. The function takes both. */
  void (*answered)  (AForkPendingCall *call,
                     GVariant         *value,
                     GError           *error,
                     gpointer          data);
  /* CALL cannot be sent because of ERROR, which the function takes. Called while CALL is added. */
  void (*unsent)    (AForkPendingCall *call,
                     GError           *error,
                     gpointer          data);
  /* CALL was cancelled, or took too long, as ERROR says. The function takes ERROR. If WAS_SENT, the
   * worker still answers the call. */
  void (*cancelled) (AForkPendingCall *call,
                     GError           *error,
                     gboolean          was_sent,
                     gpointer          data);
  /* The worker has ended because of ERROR, and has not answered. */
  void (*lost)      (AForkPendingCall *call,
                     AForkCallBegun    begun,
                     const GError     *error,
                     gpointer          data);
  /* NULL, unless CALL is shared: it is run for other calls, which have time limits instead of it.
   * The limits start: the worker could begin with CALL, or reports that it begins. The function may
   * be called again for the same. */
  void (*limits_start) (AForkPendingCall *call,
                        gboolean          has_begun,
                        gpointer          data);
} AForkPendingCallOwnerFuncs;

/* A call that was accepted. It ends once: then it calls back, and is the result of the call.
 *
 * It works like a GTask, and by the same rules: it calls back in the main context in which the call
 * was made, and not before the function that makes the call has returned. It is no GTask because
 * programs make many small calls, and a GTask took a third of the caller's time for one. */
struct _AForkPendingCall
{
  GObject                      parent_instance;

  /* The result. */
  GObject                     *source;
  gpointer                     tag;
  GAsyncReadyCallback          callback;      /* NULL once it was called */
  gpointer                     user_data;
  GMainContext                *context;       /* where it calls back */
  GVariant                    *value;         /* or NULL */
  GError                      *error;         /* or NULL */

  /* The call. */
  GList                        link;          /* in the queue of calls that wait */
  guint32                      number;        /* 0 while the call waits */
  gboolean                     begun;         /* the worker has reported that it began */
  GVariant                    *args;
  AForkJob                    *job;           /* or NULL */
  GCancellable                *cancellable;   /* or NULL */
  const AForkPendingCallOwnerFuncs *owner_funcs;  /* or NULL */
  gpointer                     owner_data;
  const AForkPendingCallFuncs *funcs;         /* NULL until it is watched */
  gpointer                     funcs_data;
  AForkWaiter                 *cancelled;     /* or NULL */
  gboolean                     watches_job;   /* the job calls back when it is cancelled */
  AForkWaiter                 *job_cancelled; /* or NULL; while the call watches the job, the job's
                                               * lock protects it */
  GMainContext                *served_in;     /* where the waiters are, except `later`; not changed
                                               * while the call watches the job */

  /* The time limit. */
  guint                        limit;         /* in milliseconds, or 0 for none */
  GQueue                      *limit_queue;   /* the queue where the call waits until a number of
                                               * bytes is sent or received; or NULL */
  GList                        limit_link;    /* in `limit_queue` */
  guint64                      limit_bytes;   /* the number of bytes */
  gboolean                     written;       /* the call was sent to the worker */
  gboolean                     limit_moved;   /* it was started again when the worker began */
  gboolean                     limit_over;    /* the time is over; the answer may have arrived */
  gint64                       limit_time;    /* of `timeout`, or 0 for the next iteration */
  AForkWaiter                 *timeout;       /* or NULL */
  AForkWaiter                 *later;         /* calls back in the next iteration; or NULL */
};

/* JOB is NULL for a plain call. ARGS may be NULL. */
AForkPendingCall *_afork_pending_call_new             (GObject                     *source,
                                                       gpointer                     tag,
                                                       GVariant                    *args,
                                                       AForkJob                    *job,
                                                       GCancellable                *cancellable,
                                                       GAsyncReadyCallback          callback,
                                                       gpointer                     user_data);

/* Gives the call an owner: see AForkPendingCallOwnerFuncs. */
void              _afork_pending_call_set_owner       (AForkPendingCall                 *call,
                                                       const AForkPendingCallOwnerFuncs *funcs,
                                                       gpointer                          data);
/* Prepares a call that one worker had for another one. */
void              _afork_pending_call_reset           (AForkPendingCall            *call);
/* Whether the cancellable of the call, or that of its job, is cancelled. */
gboolean          _afork_pending_call_is_cancelled    (AForkPendingCall            *call);
/* From now on, notices in CONTEXT that the call is cancelled or takes too long. The default is the
 * context in which the call was made. */
void              _afork_pending_call_serve_in        (AForkPendingCall            *call,
                                                       GMainContext                *context);
/* Calls FUNCS if the call is cancelled or takes too long. */
void              _afork_pending_call_watch           (AForkPendingCall            *call,
                                                       const AForkPendingCallFuncs *funcs,
                                                       gpointer                     data);
/* Adds the call to QUEUE, where calls wait until N_BYTES are sent or received. The second function
 * removes it. */
void              _afork_pending_call_enter_queue     (AForkPendingCall            *call,
                                                       GQueue                      *queue,
                                                       guint64                      n_bytes);
void              _afork_pending_call_leave_queue     (AForkPendingCall            *call);
/* The worker could begin with the call: the time limit of its job, if there is one, starts now. */
void              _afork_pending_call_start_limit     (AForkPendingCall            *call);
/* The worker reports that it begins with the call: the time limit starts again. It does so once. */
void              _afork_pending_call_begin           (AForkPendingCall            *call);
/* Call it when the time limit was over before the answer has arrived. The call is cancelled in the
 * next iteration. */
void              _afork_pending_call_end_limit       (AForkPendingCall            *call);
/* Calls no more functions, because the caller ends the call. */
void              _afork_pending_call_unwatch         (AForkPendingCall            *call);
/* Ends the call, and takes VALUE or ERROR. The callback may do anything. */
void              _afork_pending_call_end             (AForkPendingCall            *call,
                                                       GVariant                    *value,
                                                       GError                      *error);
GError           *_afork_pending_call_new_cancelled_error (void);
/* Ends the call, and takes ERROR. Calls back when the main context is iterated, because the
 * function that makes the call may not have returned. */
void              _afork_pending_call_fail            (AForkPendingCall            *call,
                                                       GError                      *error);

/* For the finish function. The first says whether RESULT is a call of SOURCE that was made by the
 * function TAG. The second says whether the call has a value or an error, which can be taken once.
 * The third takes it. */
gboolean          _afork_pending_call_is_result       (GAsyncResult                *result,
                                                       gpointer                     source,
                                                       gpointer                     tag);
gboolean          _afork_pending_call_has_end         (GAsyncResult                *result);
GVariant         *_afork_pending_call_propagate       (GAsyncResult                *result,
                                                       GError                     **error);

G_END_DECLS
