/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "job-queue.h"

G_BEGIN_DECLS

/* The decisions of a pool: when to start a worker, which worker gets which job, and when to end a
 * worker. The scheduler does none of it. It has no clock: each time is an argument, in
 * microseconds. It is told what happens, and then asked what to do until it says
 * AFORK_SCHEDULER_WAIT.
 *
 * Rules:
 *
 * - The worker with the fewest jobs gets the next job, and of those with equally many the one that
 *   was added first. A job with a key goes to the worker that had this key last, if that has room.
 *   No worker has more than `load` jobs, and at most max-workers have jobs.
 * - Jobs that no worker has room for *lack* a worker, unless workers that start have room for them.
 *   If jobs lack a worker, one is started at once if the pool has none; then one after each
 *   start-delay. At most max-workers start or serve; there may be more that leave.
 * - If fewer workers than min-idle are idle, or will be when they have started, more are started at
 *   once.
 * - While no job waits and more workers than min-idle are idle, one is ended after each stop-delay:
 *   the one that was added last.
 * - A worker that exits unexpectedly is replaced at once if jobs lack a worker. But if workers exit
 *   one after the other and no job is finished in between, the second and later ones are replaced
 *   after a time that doubles each time.
 * - A worker that retires, or serves for longer than max-age, goes on until another worker has
 *   started, which may be one more than max-workers. Then it gets no more jobs, and is ended when
 *   it has none. If it has no jobs and is not needed, it is ended at once.
 * - A worker gets at most max-calls jobs. When it can get no more than `load`, a worker that jobs
 *   lack is started at once, and may be one more than max-workers, too.
 * - If there are more workers than max-workers, idle ones are ended first, then those that start,
 *   then those with jobs, once they have none. Of each kind, the one that was added last goes
 *   first. */

/* What becomes of a worker.
 *
 *     STARTING ── it can serve ──> SERVING ── it gets no more jobs ──> LEAVING
 *        │                           │ ^                                 │
 *        │                      hold v │ release                         │ it has no jobs
 *        │                          HELD                                 v
 *        └────────── it is not needed, it exits, or is abandoned ─────> ENDED
 *
 * A worker may exit, or be abandoned, in each state. */
typedef enum
{
  AFORK_SCHEDULER_WORKER_STARTING,
  AFORK_SCHEDULER_WORKER_SERVING,
  AFORK_SCHEDULER_WORKER_HELD,      /* it gets no jobs for now */
  AFORK_SCHEDULER_WORKER_LEAVING,   /* it gets no more jobs */
  AFORK_SCHEDULER_WORKER_ENDED,     /* the scheduler has forgotten it */
} AForkSchedulerWorkerState;

/* A part of a worker of the pool. The scheduler sets all fields. */
typedef struct
{
  AForkSchedulerWorkerState state;
  guint64                   number;       /* in the order in which workers were added, from 1 */
  GList                     link;         /* in `workers` */
  GList                     age_link;     /* in `young`; its data is NULL if it is not there */
  GList                     end_link;     /* in `to_end`; likewise */
  guint                     place;        /* in `idle` or `busy`, from 1; 0 if it is not there */
  GPtrArray                *heap;         /* in which of these; or NULL */
  gint64                    started;      /* when it began to serve */
  guint                     n_jobs;       /* that it has now */
  guint                     n_given;      /* that it has got in all */
  gboolean                  retires;      /* it goes on until another one has started */
  gboolean                  is_expiring;  /* it retires, or can get no more jobs than `load` */
  gboolean                  has_finished; /* a job of it */
  GQueue                    keys;         /* of Key: those of its last jobs */
} AForkSchedulerWorker;

/* A part of a job of the pool. */
typedef struct
{
  AForkJobQueueEntry    entry;
  AForkSchedulerWorker *worker;           /* the worker that has the job, or NULL */
  const char           *key;              /* the pool's; or NULL */
  int                   priority;
} AForkSchedulerJob;

/* Times are in microseconds. */
typedef struct
{
  guint  max_workers;                     /* at least 1 */
  guint  min_idle;
  guint  load;                            /* at least 1 */
  gint64 start_delay;
  gint64 stop_delay;
  guint  max_calls;                       /* 0: any number */
  gint64 max_age;                         /* 0: any age */
} AForkSchedulerLimits;

typedef struct
{
  AForkSchedulerLimits limits;
  AForkJobQueue        queue;             /* of jobs that no worker has */
  GQueue               workers;           /* in the order of their numbers; without ENDED ones */
  GQueue               young;             /* that serve and are not past max-age, in the order in
                                           * which they began */
  GQueue               to_end;            /* that leave and have no jobs */
  GPtrArray           *idle;              /* heaps of workers that serve: those without jobs and */
  GPtrArray           *busy;              /* those with jobs; the next one to get a job is first */
  GHashTable          *keys;              /* of key to Key */
  guint64              last_number;

  guint                n_starting;
  guint                n_counted;         /* that start, serve or are held */
  guint                n_idle;            /* that serve, have no jobs and do not retire */
  guint                n_busy;            /* that serve, are held or leave, and have jobs */
  guint                n_expiring;        /* among those counted */
  guint                n_retiring;        /* among those */

  guint                n_replacements;    /* that may be started without a delay */
  guint                n_failures;        /* workers that have exited since a job was finished */
  gint64               no_start_before;
  gboolean             waits_to_start;    /* for that time */
  gint64               start_time;        /* when the next worker may be started, or -1 */
  gint64               stop_time;         /* when the next worker may be ended, or -1 */
} AForkScheduler;

typedef enum
{
  AFORK_SCHEDULER_WAIT,                   /* nothing, until something happens, or the time of
                                           * _afork_scheduler_get_wake_time() has come */
  AFORK_SCHEDULER_START,                  /* start a worker, and add it before anything else */
  AFORK_SCHEDULER_GIVE,                   /* give `job` to `worker` */
  AFORK_SCHEDULER_END,                    /* end `worker`, which has no jobs */
} AForkSchedulerStep;

typedef struct
{
  AForkSchedulerWorker *worker;
  AForkSchedulerJob    *job;
} AForkSchedulerSubject;

void               _afork_scheduler_init          (AForkScheduler             *self,
                                                   const AForkSchedulerLimits *limits);
/* There must be no jobs and no workers left. */
void               _afork_scheduler_clear         (AForkScheduler             *self);
void               _afork_scheduler_set_limits    (AForkScheduler             *self,
                                                   const AForkSchedulerLimits *limits);

/* What is to be done now. SUBJECT is set as the step says. The scheduler counts it as done. */
AForkSchedulerStep _afork_scheduler_next          (AForkScheduler             *self,
                                                   gint64                      now,
                                                   AForkSchedulerSubject      *subject);
/* When to ask again if nothing happens, or -1. To be called after AFORK_SCHEDULER_WAIT. */
gint64             _afork_scheduler_get_wake_time (AForkScheduler             *self);

/* Jobs. */
void               _afork_scheduler_add_job       (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job,
                                                   int                         priority,
                                                   const char                 *key);
void               _afork_scheduler_remove_job    (AForkSchedulerJob          *job);
/* A job that waits goes behind all others of PRIORITY; one that a worker has, if it is put back. */
void               _afork_scheduler_set_priority  (AForkSchedulerJob          *job,
                                                   int                         priority);
/* The worker that has JOB has answered it. */
void               _afork_scheduler_job_finished  (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);
/* The worker that has JOB does not answer it any more. The job may then be put back. */
void               _afork_scheduler_job_lost      (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);
void               _afork_scheduler_put_back      (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);

/* Workers. */
void               _afork_scheduler_add_worker    (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
void               _afork_scheduler_started       (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker,
                                                   gint64                      now);
/* The worker is to be replaced. Does nothing the second time, and unless the worker serves. */
void               _afork_scheduler_retire        (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The worker gets no jobs until it is released. */
void               _afork_scheduler_hold          (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
void               _afork_scheduler_release       (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The pool ends the worker by itself. The worker may have jobs, which it finishes or loses. */
void               _afork_scheduler_abandon       (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The worker has exited by itself. Its jobs are lost: see _afork_scheduler_job_lost(). */
void               _afork_scheduler_exited        (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker,
                                                   gint64                      now);

G_END_DECLS
