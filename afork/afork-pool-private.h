/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-pool.h"
#include "process/blocking-call.h"

G_BEGIN_DECLS

AForkContext *_afork_pool_get_context    (AForkPool               *self);

/* Holds the main context of the pool. Returns NULL and sets ERROR if another thread may use it. */
AForkHold    *_afork_pool_hold           (AForkPool               *self,
                                          GError                 **error);

/* Whether the pool accepts a job now. If not, and ERROR is not set, too many jobs wait. */
gboolean      _afork_pool_accepts        (AForkPool               *self,
                                          GError                 **error);

/* How many jobs an object may have in the pool: FACTOR times as many as the workers can have. */
guint         _afork_pool_get_look_ahead (AForkPool               *self,
                                          guint                    factor);

/* Runs JOB, which was not run, without a callback. A handler of the job may do anything. */
void          _afork_pool_run            (AForkPool               *self,
                                          AForkJob                *job);

/* Returns how many workers all templates together may have. */
guint         _afork_pool_get_max_total  (AForkPool               *self);

/* A part of an object that gives jobs to the pool as fast as the pool can take them. The pool calls
 * FEED with DATA in the main context in which its workers are served now. FEED may do anything, and
 * the feeder may be freed once it is removed. */
typedef struct
{
  GList      link;              /* in `queue`; its data is this struct */
  GQueue    *queue;             /* of the pool, or NULL */
  void     (*feed) (gpointer data);
  gpointer   data;
} AForkPoolFeeder;

/* Has the pool call FEED once: in the next iteration; or when the pool has room for a job, or
 * accepts no more jobs. */
void          _afork_pool_request_feed   (AForkPool               *self,
                                          AForkPoolFeeder         *feeder);
void          _afork_pool_wait_for_room  (AForkPool               *self,
                                          AForkPoolFeeder         *feeder);
void          _afork_pool_remove_feeder  (AForkPool               *self,
                                          AForkPoolFeeder         *feeder);

/* A blocking call of a pool. AForkBlockingCall serves the template in the context of the call, and
 * this also serves the workers there. */
typedef struct _AForkPoolBlockingCall AForkPoolBlockingCall;

struct _AForkPoolBlockingCall
{
  AForkBlockingCall      base;
  AForkHold             *hold;  /* on the context of the pool */
  GPtrArray             *loans; /* of AForkRpcLoan */
  guint                  depth; /* from 1 */
  AForkPoolBlockingCall *outer; /* the enclosing blocking call of the pool, or NULL */
};

gboolean      _afork_pool_begin_blocking (AForkPool               *self,
                                          AForkPoolBlockingCall   *blocking,
                                          GError                 **error);
GAsyncResult *_afork_pool_end_blocking   (AForkPool               *self,
                                          AForkPoolBlockingCall   *blocking);

G_END_DECLS
