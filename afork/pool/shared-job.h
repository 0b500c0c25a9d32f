/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "base/turn.h"
#include "job-identity.h"
#include "slot.h"

G_BEGIN_DECLS

/* A job that a pool runs once for several equal jobs of the program, its *members*. The pool makes
 * it for the first job with AForkJob:coalesce, and runs it as any other job. Equal jobs join it as
 * long as it has not ended. A notice informs the members of each change of the shared job: of its
 * state, its progress and its end. A member that is cancelled or takes too long leaves. If no
 * member is left, the shared job is cancelled.
 *
 * There may be many members, and each of them may have handlers of the program. So the pool informs
 * them in turns. */

/* The states of a shared job.
 *
 *     WAITING ── a worker could begin ──> READY ── a worker begins ──> RUNNING
 *      │   ^                               │ │                           │ │
 *      │   └── it is put back to be run again┴───────────────────────────┘ │
 *      └────────── it has a result or an error ────────────────────────────┴──> ENDED
 */
typedef enum
{
  AFORK_SHARED_JOB_WAITING,
  AFORK_SHARED_JOB_READY,       /* the time limits of the members count from now on */
  AFORK_SHARED_JOB_RUNNING,
  AFORK_SHARED_JOB_ENDED,       /* the members end, one after the other */
} AForkSharedJobState;

typedef struct
{
  GHashTable *jobs;             /* of AForkJobIdentity to AForkSharedJob: those that have not ended;
                                 * NULL if there are none */
  GQueue      with_notices;     /* of AForkSharedJob, with a reference each */
  gsize       n_members;        /* of all shared jobs */
  void      (*has_notices) (gpointer data);     /* a worker has reported progress */
  gpointer    data;
} AForkSharedJobs;

void            _afork_shared_jobs_init   (AForkSharedJobs        *self,
                                           void                  (*has_notices) (gpointer data),
                                           gpointer                data);
/* No shared jobs may be left. */
void            _afork_shared_jobs_clear  (AForkSharedJobs        *self);
/* Returns a shared job that equal jobs can join, or NULL. */
AForkSharedJob *_afork_shared_jobs_find   (AForkSharedJobs        *self,
                                           const AForkJobIdentity *identity);
/* Informs members until TURN is over, or all of them if TURN is NULL. Returns true if none is left.
 * Handlers of the program may use the pool in any way. */
gboolean        _afork_shared_jobs_inform (AForkSharedJobs        *self,
                                           AForkTurn              *turn);

/* Makes a shared job without members. Returns a reference, which _afork_shared_job_end() takes. */
AForkSharedJob *_afork_shared_job_new     (AForkSharedJobs        *jobs,
                                           const AForkJobIdentity *identity,
                                           GObject                *pool);
/* Returns the call that a worker is to run. JOB is that of this call. */
AForkPendingCall *_afork_shared_job_get_call (AForkSharedJob      *self);
void            _afork_shared_job_set_pool_job (AForkSharedJob    *self,
                                                AForkPoolJob      *job);

/* CALL, which is taken, is a member from now on. Handlers of the program may be called. */
void            _afork_shared_job_join     (AForkSharedJob        *self,
                                            AForkPendingCall      *call);
/* The following functions do not call handlers. The pool has to inform the members afterwards. */
void            _afork_shared_job_set_ready    (AForkSharedJob    *self);
void            _afork_shared_job_set_running  (AForkSharedJob    *self);
void            _afork_shared_job_set_waiting  (AForkSharedJob    *self);
/* Whether all members are cancelled, although they may not have left yet. */
gboolean        _afork_shared_job_is_cancelled (AForkSharedJob    *self);
/* Has the members notice in CONTEXT that they are cancelled or take too long. With NULL, each
 * member notices it in the context in which it was made. Takes time for each member, and is called
 * only if a blocking call of the pool begins or ends. */
void            _afork_shared_job_serve_in (AForkSharedJob        *self,
                                            GMainContext          *context);
/* Takes SELF, and VALUE or ERROR. */
void            _afork_shared_job_end      (AForkSharedJob        *self,
                                            GVariant              *value,
                                            GError                *error);

G_END_DECLS
