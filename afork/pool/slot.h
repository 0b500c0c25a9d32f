/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-enums.h"
#include "afork-pool-worker-private.h"
#include "afork-process.h"
#include "afork-rpc-private.h"
#include "scheduler.h"
#include "stats.h"
#include "template.h"

G_BEGIN_DECLS

/* One worker of a pool: its process, the jobs that it has, and how it is ended. */
typedef struct _AForkSlot AForkSlot;

/* See shared-job.h. */
typedef struct AForkSharedJob AForkSharedJob;

/* A job of a pool. */
typedef struct
{
  AForkSchedulerJob  base;      /* first */
  AForkPendingCall  *call;      /* a reference; NULL if the call has ended, and the worker has not
                                 * answered yet */
  AForkSlot         *slot;      /* the slot that has the job, or NULL */
  GList              link;      /* in the jobs of the slot */
  guint32            number;    /* of the call, when the call has ended */
  guint32            checked;   /* `n_refused` of the quarantine when the job was last looked up */
  AForkSharedJob    *shared;    /* if several jobs of the program share this one; or NULL */
  guint              n_retries; /* how many retries are left */
  char              *reason;    /* how the first worker exited that only this job may have ended;
                                 * or NULL */
  gint64             waits_since;   /* when the job was accepted, or its last run was lost */
  gint64             given;     /* when the slot got the job */
} AForkPoolJob;

/* The states of the worker.
 *
 *     STARTING ── its init-function returns ──> SERVING ── close() ──> CLOSING
 *        │ │                                      │                       │
 *        │ └── close() ──> CLOSING                │                       │
 *        └────── it serves no more calls ─────────┴───────────────────────┴──> ENDING
 */
typedef enum
{
  AFORK_SLOT_STARTING,
  AFORK_SLOT_SERVING,
  AFORK_SLOT_CLOSING,           /* the worker exits when it has answered its jobs */
  AFORK_SLOT_ENDING,            /* the worker serves no more calls, and exits */
} AForkSlotState;

/* The last step of ending a worker by force. This is for a worker that goes on with a job that has
 * ended, or that does not exit. */
typedef enum
{
  AFORK_SLOT_FORCE_NONE,
  AFORK_SLOT_FORCE_NOTICE,      /* the worker was notified that the job has ended, or that it
                                 * is to exit */
  AFORK_SLOT_FORCE_SIGTERM,
  AFORK_SLOT_FORCE_SIGKILL,
} AForkSlotForce;

/* Asks a template for the memory of a worker. */
typedef struct AForkSlotQuestion AForkSlotQuestion;

/* Functions of the pool. The slot calls them in the main context in which the worker is served. */
typedef struct
{
  void (*started) (AForkSlot    *slot);
  void (*retires) (AForkSlot    *slot);
  void (*event)   (AForkSlot    *slot,
                   GVariant     *event);
  /* `memory` of the slot is known. The function must not use the process. */
  void (*measured) (AForkSlot   *slot);
  /* The worker has answered a job whose call had ended. The function frees the job. */
  void (*rested)  (AForkSlot    *slot,
                   AForkPoolJob *job);
  /* The worker serves no more calls because of ERROR, or because it was closed. After this call,
   * its jobs are lost. */
  void (*ending)  (AForkSlot    *slot,
                   const GError *error);
  /* The worker has exited. The function frees the slot. */
  void (*closed)  (AForkSlot    *slot);
} AForkSlotFuncs;

/* Properties that all workers of a pool share. */
typedef struct
{
  char             *function;
  char             *init_function;      /* or NULL */
  char             *done_function;      /* or NULL */
  AForkCallFunc     func;               /* the functions, if they are given by address; or NULL */
  AForkCallInitFunc init_func;
  AForkCallDoneFunc done_func;
  gboolean          concurrent;
  gboolean          die_with_parent;
  gboolean          forward_stderr;
  gboolean          trusted;
} AForkSlotSetup;

struct _AForkSlot
{
  AForkSchedulerWorker  base;   /* first */
  const AForkSlotFuncs *funcs;
  GWeakRef              pool;   /* weak, because another thread may drop the pool while a function
                                 * is called */
  GObject              *disposed_pool;  /* a reference to the pool after g_object_run_dispose(),
                                         * which clears `pool`; or NULL */
  GList                 link;   /* in the slots of the pool */
  guint                 n_process;      /* the number of the process of its template that was
                                         * forked */
  AForkRpc             *rpc;
  guint                 depth;  /* of the outermost blocking call of the pool that serves the
                                 * worker, or 0 */
  gboolean              concurrent;
  gboolean              waits_for_done; /* the worker has a done-function, which may take long */

  AForkSlotState        state;
  gboolean              was_serving;
  AForkPoolJob         *next;   /* while the jobs are lost: the job that the worker has begun or
                                 * would have begun next; or NULL if that is a job whose call has
                                 * ended; not a reference */
  gboolean              had_one;  /* the worker had only one job */
  GQueue                jobs;   /* of AForkPoolJob, in the order in which they were given */
  gint64                answered; /* when the worker answered a job last */
  guint                 n_unwanted; /* how many of these jobs have a call that has ended */
  GHashTable           *unwanted; /* these jobs by the numbers of their calls; NULL until there is
                                   * one */
  GList                *wanted; /* all jobs before this one have a call that has ended; NULL if all
                                 * have */

  AForkExitCause        exit_cause;
  AForkExitCause        retire_cause;   /* the exit cause if the worker is replaced */
  AForkExitCause        unwanted_cause; /* the exit cause if the worker is ended by force */
  AForkSlotForce        force;
  gint64                force_time; /* of the next step, or -1 */

  guint64               memory; /* the resident memory of the worker, in bytes, when it was last
                                 * measured; 0 if it is unknown */
  AForkPoolWorker      *worker; /* or NULL */
  AForkSlotQuestion    *question; /* the one that the template has not answered, or NULL */
  gint64                last_measure_time; /* or -1 */
  gint64                measure_time; /* when to measure the worker next, or -1 */
};

/* Forks TEMPLATE, and has the worker serve calls. The thread-default main context must be that of
 * the pool. */
AForkSlot    *_afork_slot_new           (AForkPoolTemplate    *template,
                                         const AForkSlotSetup *setup,
                                         const AForkSlotFuncs *funcs,
                                         GObject              *pool);
/* Frees the slot, which must have no jobs. If the worker has not exited, it exits by itself. */
void          _afork_slot_free          (AForkSlot            *self);
AForkProcess *_afork_slot_get_process   (AForkSlot            *self);

/* Returns a reference to the pool, or NULL if the pool is gone. */
GObject      *_afork_slot_ref_pool      (AForkSlot            *self);
/* For g_object_run_dispose(), which clears weak references to the pool when it returns. The slot
 * keeps POOL until the second function is called, or until POOL is NULL. */
void          _afork_slot_keep_pool     (AForkSlot            *self,
                                         GObject              *pool);
void          _afork_slot_restore_pool  (AForkSlot            *self,
                                         GObject              *pool);

/* Whether the worker has used more processor time than its sandbox allows for a job, so that the
 * next job would not get all of that. */
gboolean      _afork_slot_has_used_time (AForkSlot            *self);
/* The largest resident memory that a worker may have between two jobs, in bytes, or 0 for any:
 * OF_POOL, or that of its sandbox. */
guint64       _afork_slot_get_max_memory (AForkSlot           *self,
                                          guint64              of_pool);
AForkPoolTemplate *_afork_slot_get_template (AForkSlot        *self);
/* Whether the process that was forked is still the one of the template, and can be forked. */
gboolean      _afork_slot_has_template  (AForkSlot            *self);

/* Gives the job to the worker. Returns false if the worker serves no more calls. */
gboolean      _afork_slot_give          (AForkSlot            *self,
                                         AForkPoolJob         *job);
/* The oldest job whose call has not ended, or NULL. */
AForkPoolJob *_afork_slot_peek_wanted   (AForkSlot            *self);
/* Removes the job from the jobs of its worker. */
void          _afork_slot_take          (AForkPoolJob         *job);
/* The call of the job has ended, and the worker still has to answer it. */
void          _afork_slot_set_unwanted  (AForkPoolJob         *job,
                                         guint32               number);
/* Returns whether the worker goes on with a job whose call has ended, so that other jobs wait. If
 * the worker runs many jobs at a time, returns whether it has such a job. */
gboolean      _afork_slot_is_stuck      (AForkSlot            *self);

/* Has the worker measured some time after NOW, but not too often. Returns when. */
gint64        _afork_slot_plan_measure  (AForkSlot            *self,
                                         gint64                now);
/* Asks the template for the memory of the worker, if it is planned for NOW or before. Waits for the
 * answer to the question before. */
void          _afork_slot_measure       (AForkSlot            *self,
                                         gint64                now);

/* Returns whether the worker runs the job, as far as is known here: a worker that serves one job
 * after the other runs the job that it got first. */
gboolean      _afork_slot_is_running    (AForkPoolJob         *job);
/* Returns when the worker could begin with the job, if it runs it. */
gint64        _afork_slot_get_begin_time (AForkPoolJob        *job);

/* Returns an entry of afork_pool_get_stats(). */
GVariant     *_afork_slot_describe      (AForkSlot            *self);
/* What the list of workers has of this worker. It is made when it is needed. */
AForkPoolWorker *_afork_slot_get_worker (AForkSlot            *self);
AForkPoolWorker *_afork_slot_take_worker (AForkSlot           *self);
void          _afork_slot_drop_worker   (AForkSlot            *self);
/* Sets the current values of it. */
void          _afork_slot_update_worker (AForkSlot            *self);
void          _afork_slot_get_traffic   (AForkSlot            *self,
                                         guint64              *n_sent,
                                         guint64              *n_received);

/* Notes why the worker exits, unless a cause was noted before. */
void          _afork_slot_set_exit_cause (AForkSlot           *self,
                                         AForkExitCause        cause);
/* Has the worker exit when it has answered its jobs. */
void          _afork_slot_close         (AForkSlot            *self);
/* Has the pool begin to end the worker by force at TIME. */
void          _afork_slot_notice        (AForkSlot            *self,
                                         gint64                time);
void          _afork_slot_stop_force    (AForkSlot            *self);
/* Sends the next signal to the worker, and returns which one. The signal after that is due at
 * TIME. */
AForkSlotForce _afork_slot_use_force    (AForkSlot            *self,
                                         gint64                time);

G_END_DECLS
