/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Jobs that wait for a worker: those of a higher priority first, and within one priority in the
 * order in which they were added. Each operation takes at most O(log n) for n priorities that are
 * in use, whatever the number of jobs.
 *
 * An entry is a part of the job, so that the queue allocates nothing for it. */
typedef struct AForkJobQueueLevel AForkJobQueueLevel;

typedef struct AForkJobQueueEntry AForkJobQueueEntry;

struct AForkJobQueueEntry
{
  AForkJobQueueEntry *previous;
  AForkJobQueueEntry *next;
  AForkJobQueueLevel *level;    /* NULL if the job does not wait */
  guint64             number;   /* the order within the level; 0 until the job was added once */
};

typedef struct
{
  GTree              *levels;       /* of priority to AForkJobQueueLevel, without empty ones */
  AForkJobQueueLevel *first;        /* the one of the highest priority, or NULL */
  AForkJobQueueLevel *spare;        /* an empty one that is used next, or NULL */
  gsize               n_jobs;
  guint64             last_number;
} AForkJobQueue;

void                _afork_job_queue_init         (AForkJobQueue      *self);
/* The queue must be empty. */
void                _afork_job_queue_clear        (AForkJobQueue      *self);

/* Adds a job behind all others of PRIORITY. */
void                _afork_job_queue_add          (AForkJobQueue      *self,
                                                   AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Adds a job that was taken before to the place that it had among the others of PRIORITY. */
void                _afork_job_queue_put_back     (AForkJobQueue      *self,
                                                   AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Removes a job from its queue. */
void                _afork_job_queue_remove       (AForkJobQueueEntry *entry);
/* Moves a job behind all others of PRIORITY in its queue, unless that is the priority that it
 * has. */
void                _afork_job_queue_set_priority (AForkJobQueueEntry *entry,
                                                   int                 priority);
/* Moves all jobs to OTHER, which is initialized, and empty. */
void                _afork_job_queue_move_all     (AForkJobQueue      *self,
                                                   AForkJobQueue      *other);

/* The next job, or NULL. */
AForkJobQueueEntry *_afork_job_queue_peek         (AForkJobQueue      *self);

static inline gboolean
_afork_job_queue_has (const AForkJobQueueEntry *entry)
{
  return entry->level != NULL;
}

G_END_DECLS
