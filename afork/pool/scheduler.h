/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "heap.h"
#include "job-queue.h"

G_BEGIN_DECLS

/* Decides for a pool when to start a worker, which worker gets which job, and when to end a worker.
 * The scheduler only decides; the pool does these things. The scheduler has no clock: times are
 * arguments, in microseconds. The pool reports each event to the scheduler, and then does the steps
 * of _afork_scheduler_next() until this function returns AFORK_SCHEDULER_WAIT.
 *
 * Rules:
 *
 * - The worker with the fewest jobs gets the next job. Of several such workers, the one that was
 *   added first gets it. A job with a key goes to the worker that had this key last, if this worker
 *   has room. No worker has more than `load` jobs, and at most max-workers workers have jobs.
 * - A job that is to run *alone* goes to a worker without jobs. This worker gets no other job until
 *   it has finished this one. If there is no such worker, the jobs behind it in the queue wait as
 *   well: otherwise the workers would never be without jobs.
 * - Jobs that no worker has room for *lack* a worker, unless workers that start have room for them.
 *   If jobs lack a worker, a worker is started at once if the pool has none, and otherwise one
 *   worker after each start-delay. At most max-workers workers start or serve. In addition, other
 *   workers may be leaving.
 * - Each worker is a fork of a *template*. At most as many workers of a template as its own limit
 *   start or serve, and have jobs. The next worker is a fork of the template that has the most room
 *   left. Of several such templates, the one that was added first is used. If a template cannot be
 *   used before some time, the others come first.
 * - The workers of a template may be *slow to start*, because its host has to be connected first.
 *   If none of them has started for AFORK_SCHEDULER_PATIENCE, those that start do not count as
 *   workers that have room, and no more workers of the template are started until one of them has
 *   started or exited.
 * - If fewer workers than min-idle are idle, or will be idle when they have started, more are
 *   started at once.
 * - While no job waits and more workers than min-idle are idle, one worker is ended after each
 *   stop-delay: the idle worker that was added last.
 * - A worker that exits unexpectedly is replaced at once if jobs lack a worker. But if workers exit
 *   one after the other and no job is finished in between, the second and later ones are replaced
 *   after a time that doubles each time.
 * - A worker that retires, or serves for longer than max-age, goes on until another worker has
 *   started, which may be one more than max-workers. Then the first worker gets no more jobs, and
 *   is ended when it has none. If it has no jobs and is not needed, it is ended at once.
 * - A worker gets at most max-calls jobs. When it can get no more than `load` further jobs, and
 *   jobs lack a worker, another worker is started at once, which may also be one more than
 *   max-workers.
 * - If there are more workers than max-workers, or more workers of a template than its limit, idle
 *   workers are ended first, then workers that start, and then workers with jobs, when they have
 *   finished these. Of each kind, the worker that was added last is ended first. */

/* The states of a worker.
 *
 *     STARTING ── it can serve ──> SERVING ── it gets no more jobs ──> LEAVING
 *        │                           │ ^                                 │
 *        │                      hold v │ release                         │ it has no jobs
 *        │                          HELD                                 v
 *        └────────── it is not needed, it exits, or is ended ─────────> ENDED
 *
 * A worker may exit, or be ended by the pool, in any state. */
typedef enum
{
  AFORK_SCHEDULER_WORKER_STARTING,
  AFORK_SCHEDULER_WORKER_SERVING,
  AFORK_SCHEDULER_WORKER_HELD,      /* the worker gets no jobs until it is released */
  AFORK_SCHEDULER_WORKER_LEAVING,   /* the worker gets no more jobs */
  AFORK_SCHEDULER_WORKER_ENDED,     /* the scheduler does not use the worker any more */
} AForkSchedulerWorkerState;

/* How long workers of another host may take to start before others are started, in microseconds. */
#define AFORK_SCHEDULER_PATIENCE (2 * G_GINT64_CONSTANT (1000000))

/* A part of a template of the pool. The scheduler sets all fields. */
typedef struct
{
  struct AForkScheduler    *scheduler;
  GList                     link;         /* in `templates` */
  guint                     number;       /* in the order in which templates were added, from 0 */
  guint                     max_workers;  /* 0: any number */
  gint64                    not_before;   /* when it can be used again; G_MAXINT64 for never */
  AForkHeap                 idle;         /* its workers that serve and have no jobs; the next to
                                           * get a job is first */
  AForkHeap                 counted;      /* its workers that start, serve or are held; the first
                                           * one is ended first if there are too many */
  AForkHeapNode             ready;        /* in `ready` */
  AForkHeapNode             ending;       /* in `ending` */
  AForkHeapNode             waiting;      /* in `waiting` */
  AForkHeapNode             room;         /* in `usable`, `later` or `crowded` */
  guint                     n_counted;    /* see AForkScheduler, for its own workers */
  guint                     n_busy;
  guint                     n_expiring;
  guint                     n_starting;
  guint                     n_slow;       /* workers that start, and are slow to start */
  gboolean                  may_be_slow;  /* to start workers */
  gint64                    started;      /* when a worker has started, or before, the first one of
                                           * those that start was begun */
} AForkSchedulerTemplate;

/* A part of a worker of the pool. The scheduler sets all fields. */
typedef struct
{
  AForkSchedulerTemplate   *template;
  AForkSchedulerWorkerState state;
  guint64                   number;       /* in the order in which workers were added, from 1 */
  GList                     link;         /* in `workers` */
  GList                     age_link;     /* in `young`; data is NULL if the worker is not there */
  GList                     end_link;     /* in `to_end`; data as in `age_link` */
  AForkHeapNode             serve;        /* in `idle` of the template or in `busy` */
  AForkHeapNode             counted;      /* in `counted` of the template */
  AForkHeapNode             other;        /* in `idle`, `retiring_idle` or `retiring_busy` */
  gint64                    started;      /* when the worker began to serve */
  guint                     n_jobs;       /* jobs that the worker has now */
  guint                     n_given;      /* all jobs that the worker has got */
  gboolean                  retires;      /* the worker goes on until another one has started */
  gboolean                  is_expiring;  /* the worker retires, or can get at most `load` more
                                           * jobs */
  gboolean                  has_finished; /* the worker has finished a job */
  gboolean                  runs_alone;   /* the worker has a job that runs alone */
  GQueue                    keys;         /* of Key: the keys of its most recent jobs */
} AForkSchedulerWorker;

/* A part of a job of the pool. */
typedef struct
{
  AForkJobQueueEntry    entry;
  AForkSchedulerWorker *worker;           /* the worker that has the job, or NULL */
  const char           *key;              /* owned by the pool; or NULL */
  int                   priority;
  gboolean              is_alone;         /* no other job may run in the same worker meanwhile */
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

/* With n workers, n templates and n priorities of jobs, each operation takes at most O(log n) time,
 * but for _afork_scheduler_set_limits(), which may take O(n). */
typedef struct AForkScheduler
{
  AForkSchedulerLimits limits;
  AForkJobQueue        queue;             /* the jobs that no worker has */
  GQueue               templates;         /* in the order in which they were added */
  GQueue               workers;           /* in the order of their numbers; without ENDED ones */
  GQueue               young;             /* workers that serve and have not reached max-age, in the
                                           * order in which they began to serve */
  GQueue               to_end;            /* workers that leave and have no jobs */
  AForkHeap            busy;              /* workers that serve and have jobs; the next to get a job
                                           * is first */
  AForkHeap            idle;              /* workers that serve, have no jobs and do not retire; the
                                           * one that was added last is first */
  AForkHeap            retiring_idle;     /* counted workers that retire and have no jobs; the one
                                           * that was added first is first */
  AForkHeap            retiring_busy;     /* those that have jobs; in the same order */
  AForkHeap            ready;             /* templates with an idle worker that may get a job; the
                                           * one whose worker is to get the next job is first */
  AForkHeap            ending;            /* templates with counted workers; the one whose worker is
                                           * ended first if there are too many is first */
  AForkHeap            waiting;           /* templates whose workers start and may become slow; by
                                           * the time when they are */
  AForkHeap            usable;            /* templates of which a worker may be started now; the
                                           * one with the most room is first */
  AForkHeap            later;             /* templates of which a worker may be started later; by
                                           * time */
  AForkHeap            crowded;           /* templates with more workers than their limit, in the
                                           * order in which they were added */
  GHashTable          *keys;              /* of key to Key */
  gint64               now;               /* the time of the last decision */
  guint64              last_number;

  guint                n_starting;
  guint                n_slow;            /* workers that start, and are slow to start */
  guint                n_counted;         /* workers that start, serve or are held */
  guint                n_idle;            /* workers that serve, have no jobs and do not retire */
  guint                n_busy;            /* workers that serve, are held or leave, and have jobs */
  guint                n_expiring;        /* counted workers that are expiring */
  guint                n_retiring;        /* counted workers that retire */

  guint                n_replacements;    /* workers that may be started without a delay */
  guint                n_failures;        /* workers that have exited since a job was finished */
  gint64               no_start_before;
  gint64               wait_time;         /* when the worker that is wanted now may be started, or
                                           * -1 */
  gint64               start_time;        /* when the next worker may be started, or -1 */
  gint64               stop_time;         /* when the next worker may be ended, or -1 */
} AForkScheduler;

typedef enum
{
  AFORK_SCHEDULER_WAIT,                   /* do nothing until the next event, or the time of
                                           * _afork_scheduler_get_wake_time() */
  AFORK_SCHEDULER_START,                  /* start a worker of `template`, and add it before
                                           * anything else */
  AFORK_SCHEDULER_GIVE,                   /* give `job` to `worker` */
  AFORK_SCHEDULER_END,                    /* end `worker`, which has no jobs */
} AForkSchedulerStep;

typedef struct
{
  AForkSchedulerTemplate *template;
  AForkSchedulerWorker   *worker;
  AForkSchedulerJob      *job;
} AForkSchedulerSubject;

void               _afork_scheduler_init          (AForkScheduler             *self,
                                                   const AForkSchedulerLimits *limits);
/* No jobs and no workers may be left. The templates may be freed after this call. */
void               _afork_scheduler_clear         (AForkScheduler             *self);
void               _afork_scheduler_set_limits    (AForkScheduler             *self,
                                                   const AForkSchedulerLimits *limits);

/* Returns what the pool has to do now. Sets the fields of SUBJECT that this step needs. The
 * scheduler assumes that the pool does the step. */
AForkSchedulerStep _afork_scheduler_next          (AForkScheduler             *self,
                                                   gint64                      now,
                                                   AForkSchedulerSubject      *subject);
/* Returns when to call _afork_scheduler_next() again if there is no event before, or -1 for never.
 * Call this function after AFORK_SCHEDULER_WAIT. */
gint64             _afork_scheduler_get_wake_time (AForkScheduler             *self);

/* Jobs. */
void               _afork_scheduler_add_job       (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job,
                                                   int                         priority,
                                                   const char                 *key);
void               _afork_scheduler_remove_job    (AForkSchedulerJob          *job);
/* Moves a job that waits behind all other jobs of PRIORITY. A job that a worker has gets this
 * priority if it is put back. */
void               _afork_scheduler_set_priority  (AForkSchedulerJob          *job,
                                                   int                         priority);
/* The worker that has JOB has answered this job. */
void               _afork_scheduler_job_finished  (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);
/* The worker that has JOB will not answer this job. The job may then be put back. */
void               _afork_scheduler_job_lost      (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);
void               _afork_scheduler_put_back      (AForkScheduler             *self,
                                                   AForkSchedulerJob          *job);
/* Has JOB run alone from now on. No worker may have it. */
void               _afork_scheduler_set_alone     (AForkSchedulerJob          *job);

/* Templates. MAX_WORKERS is the limit of the template, or 0. */
void               _afork_scheduler_add_template  (AForkScheduler             *self,
                                                   AForkSchedulerTemplate     *template,
                                                   guint                       max_workers);
void               _afork_scheduler_set_template_limit (AForkSchedulerTemplate *template,
                                                   guint                       max_workers);
/* The workers of TEMPLATE may be slow to start. */
void               _afork_scheduler_set_template_slow (AForkSchedulerTemplate *template);
/* No worker of TEMPLATE is started before TIME. If TIME is G_MAXINT64, none will be. */
void               _afork_scheduler_set_template_time (AForkSchedulerTemplate *template,
                                                   gint64                      time);
/* The worker of the last AFORK_SCHEDULER_START could not be started, and was not added. */
void               _afork_scheduler_not_started   (AForkScheduler             *self);

/* Workers. */
void               _afork_scheduler_add_worker    (AForkScheduler             *self,
                                                   AForkSchedulerTemplate     *template,
                                                   AForkSchedulerWorker       *worker);
void               _afork_scheduler_started       (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker,
                                                   gint64                      now);
/* The worker is to be replaced. Does nothing if the worker already retires, or does not serve. */
void               _afork_scheduler_retire        (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The worker gets no jobs until it is released. */
void               _afork_scheduler_hold          (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
void               _afork_scheduler_release       (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The pool ends the worker, without a step of the scheduler. The worker may have jobs, which it
 * finishes or loses. */
void               _afork_scheduler_end_worker    (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker);
/* The worker has exited by itself. Its jobs are lost: see _afork_scheduler_job_lost(). */
void               _afork_scheduler_exited        (AForkScheduler             *self,
                                                   AForkSchedulerWorker       *worker,
                                                   gint64                      now);

/* Returns how long to wait, in microseconds, before the next attempt after so many failures. */
gint64             _afork_scheduler_get_back_off (guint                       n_failures);

G_END_DECLS
