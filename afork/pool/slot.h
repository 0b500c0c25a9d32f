/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-process.h"
#include "afork-rpc-private.h"
#include "scheduler.h"

G_BEGIN_DECLS

/* One worker of a pool: its process, the jobs that it has, and how it is ended. */
typedef struct _AForkSlot AForkSlot;

/* A job of a pool. */
typedef struct
{
  AForkSchedulerJob  base;      /* first */
  AForkPendingCall  *call;      /* a reference; NULL once it has ended, and only the worker's answer
                                 * is awaited */
  AForkSlot         *slot;      /* that has the job, or NULL */
  GList              link;      /* in the jobs of the slot */
  guint32            number;    /* of the call, once that has ended */
  guint              n_retries; /* that are left */
  guint              n_ended;   /* workers that have exited while they ran the job */
  char              *reason;    /* how the first of them exited, or NULL */
} AForkPoolJob;

/* What becomes of the worker.
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
  AFORK_SLOT_CLOSING,           /* it exits when it has answered its jobs */
  AFORK_SLOT_ENDING,            /* it serves no more calls, and exits */
} AForkSlotState;

/* What has been done to a worker that goes on with a job that has ended, or does not exit. */
typedef enum
{
  AFORK_SLOT_FORCE_NONE,
  AFORK_SLOT_FORCE_NOTICE,      /* it was told that the job has ended, or that it is to exit */
  AFORK_SLOT_FORCE_SIGTERM,
  AFORK_SLOT_FORCE_SIGKILL,
} AForkSlotForce;

/* Functions of the pool. They are called in the main context in which the worker is served. */
typedef struct
{
  void (*started) (AForkSlot    *slot);
  void (*retires) (AForkSlot    *slot);
  void (*event)   (AForkSlot    *slot,
                   GVariant     *event);
  /* The worker has answered a job whose call had ended. The function frees the job. */
  void (*rested)  (AForkSlot    *slot,
                   AForkPoolJob *job);
  /* The worker serves no more calls because of ERROR, or because it was closed. Its jobs are lost
   * next. */
  void (*ending)  (AForkSlot    *slot,
                   const GError *error);
  /* The worker has exited. The function frees the slot. */
  void (*closed)  (AForkSlot    *slot);
} AForkSlotFuncs;

/* What all workers of a pool have in common. */
typedef struct
{
  AForkProcess *process;        /* the template */
  char         *function;
  char         *init_function;  /* or NULL */
  char         *done_function;  /* or NULL */
  gboolean      concurrent;
  gboolean      die_with_parent;
  gboolean      forward_stderr;
  gboolean      trusted;
} AForkSlotSetup;

struct _AForkSlot
{
  AForkSchedulerWorker  base;   /* first */
  const AForkSlotFuncs *funcs;
  GWeakRef              pool;   /* another thread may drop the pool while a function is called */
  GList                 link;   /* in the slots of the pool */
  AForkRpc             *rpc;
  guint                 depth;  /* of the outermost blocking call of the pool that serves the
                                 * worker, or 0 */
  gboolean              concurrent;
  gboolean              waits_for_done; /* it has a done-function, which may take long */

  AForkSlotState        state;
  gboolean              was_serving;
  AForkPoolJob         *suspect;  /* while its jobs are lost: the one that it had got first; not a
                                   * reference */
  gboolean              had_one;  /* it had no other */
  GQueue                jobs;   /* of AForkPoolJob, in the order in which they were given */
  guint                 n_unwanted; /* of these: their calls have ended */

  AForkSlotForce        force;
  gint64                force_time; /* of the next step, or -1 */
};

/* Forks the template, and has the worker serve calls. The thread-default main context is that of
 * the pool. */
AForkSlot    *_afork_slot_new           (const AForkSlotSetup *setup,
                                         const AForkSlotFuncs *funcs,
                                         GObject              *pool);
/* The worker exits by itself if it has not. */
void          _afork_slot_free          (AForkSlot            *self);
AForkProcess *_afork_slot_get_process   (AForkSlot            *self);

/* Gives the job to the worker. Returns false if it serves no more calls. */
gboolean      _afork_slot_give          (AForkSlot            *self,
                                         AForkPoolJob         *job);
/* Removes the job from those of its worker. */
void          _afork_slot_take          (AForkPoolJob         *job);
/* The call of the job has ended, and the worker still has to answer it. */
void          _afork_slot_set_unwanted  (AForkPoolJob         *job,
                                         guint32               number);
/* Whether the worker goes on with a job whose call has ended, so that other jobs wait; or, if it
 * runs many jobs at a time, whether it has such a job. */
gboolean      _afork_slot_is_stuck      (AForkSlot            *self);

/* The worker exits when it has answered its jobs. */
void          _afork_slot_close         (AForkSlot            *self);
/* Begins to end the worker by force at TIME. */
void          _afork_slot_notice        (AForkSlot            *self,
                                         gint64                time);
void          _afork_slot_stop_force    (AForkSlot            *self);
/* Sends the worker the next signal. Returns which. The one after that is due at TIME. */
AForkSlotForce _afork_slot_use_force    (AForkSlot            *self,
                                         gint64                time);

G_END_DECLS
