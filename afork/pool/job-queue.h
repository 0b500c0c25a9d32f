/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "heap.h"

G_BEGIN_DECLS

/* A queue of jobs that wait for a worker. Jobs of a higher priority come first, and jobs of one
 * priority in the order in which they were added. With n priorities in use, each operation takes at
 * most O(log n) time, whatever the number of jobs. To put a job back, and to remove it then, takes
 * at most O(log m) time if m jobs were put back.
 *
 * An entry is a part of the job, so the queue allocates no memory for it. */
typedef struct AForkJobQueueLevel AForkJobQueueLevel;

typedef struct AForkJobQueueEntry AForkJobQueueEntry;

struct AForkJobQueueEntry
{
  union
  {
    struct
    {
      AForkJobQueueEntry *previous;
      AForkJobQueueEntry *next;
    };
    AForkHeapNode     node;     /* if the job was put back */
  };
  AForkJobQueueLevel *level;    /* NULL if the job does not wait */
  gboolean            is_put_back;
  guint64             number;   /* the order within the level; 0 if the job was never added */
};

typedef struct
{
  GTree              *levels;       /* of priority to AForkJobQueueLevel, without empty levels */
  AForkJobQueueLevel *first;        /* the level of the highest priority, or NULL */
  AForkJobQueueLevel *spare;        /* an empty level that is used next, or NULL */
  gsize               n_jobs;
  guint64             last_number;
} AForkJobQueue;

void                _afork_job_queue_init         (AForkJobQueue      *self);
/* Frees the memory of the queue, which must be empty. */
void                _afork_job_queue_clear        (AForkJobQueue      *self);

/* Adds a job behind all other jobs of PRIORITY. */
void                _afork_job_queue_add          (AForkJobQueue      *self,
                                                   AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Adds a job that was removed before at its old place among the other jobs of PRIORITY. */
void                _afork_job_queue_put_back     (AForkJobQueue      *self,
                                                   AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Removes a job from its queue. */
void                _afork_job_queue_remove       (AForkJobQueueEntry *entry);
/* Moves a job behind all other jobs of PRIORITY in its queue. Does nothing if the job already has
 * this priority. */
void                _afork_job_queue_set_priority (AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Moves all jobs to OTHER, which must be initialized and empty. */
void                _afork_job_queue_move_all     (AForkJobQueue      *self,
                                                   AForkJobQueue      *other);

/* Returns the next job, or NULL. */
AForkJobQueueEntry *_afork_job_queue_peek         (AForkJobQueue      *self);

static inline gboolean
_afork_job_queue_has (const AForkJobQueueEntry *entry)
{
  return entry->level != NULL;
}

G_END_DECLS
