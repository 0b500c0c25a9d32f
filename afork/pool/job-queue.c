/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "job-queue.h"

/* The jobs of one priority. */
struct AForkJobQueueLevel
{
  AForkJobQueue      *queue;
  int                 priority;
  AForkJobQueueEntry *head;
  AForkJobQueueEntry *tail;
  AForkJobQueueEntry *put_back; /* the job that was put back last, or one before it; or NULL */
};

static int
compare_priorities (gconstpointer a,
                    gconstpointer b,
                    gpointer      data)
{
  const int *left = a;
  const int *right = b;

  return (*left > *right) - (*left < *right);
}

void
_afork_job_queue_init (AForkJobQueue *self)
{
  *self = (AForkJobQueue) { 0 };
  self->levels = g_tree_new_full (compare_priorities, NULL, NULL, NULL);
}

void
_afork_job_queue_clear (AForkJobQueue *self)
{
  g_assert (self->n_jobs == 0);

  g_clear_pointer (&self->levels, g_tree_unref);
  g_clear_pointer (&self->spare, g_free);
}

/* Returns the level of PRIORITY. Adds it if there is none. */
static AForkJobQueueLevel *
get_level (AForkJobQueue *self,
           int            priority)
{
  AForkJobQueueLevel *level;

  if (self->first != NULL && self->first->priority == priority)
    return self->first;

  level = g_tree_lookup (self->levels, &priority);
  if (level != NULL)
    return level;

  level = self->spare != NULL ? g_steal_pointer (&self->spare) : g_new0 (AForkJobQueueLevel, 1);
  level->queue = self;
  level->priority = priority;
  g_tree_insert (self->levels, &level->priority, level);
  if (self->first == NULL || self->first->priority < priority)
    self->first = level;
  return level;
}

static void
drop_level (AForkJobQueue      *self,
            AForkJobQueueLevel *level)
{
  g_tree_remove (self->levels, &level->priority);
  if (self->first == level)
    {
      GTreeNode *last = g_tree_node_last (self->levels);

      self->first = last != NULL ? g_tree_node_value (last) : NULL;
    }

  g_free (self->spare);
  self->spare = level;
}

/* Links ENTRY into LEVEL behind PREVIOUS, or as the first entry if PREVIOUS is NULL. */
static void
link_behind (AForkJobQueue      *self,
             AForkJobQueueLevel *level,
             AForkJobQueueEntry *previous,
             AForkJobQueueEntry *entry)
{
  AForkJobQueueEntry *next = previous != NULL ? previous->next : level->head;

  entry->level = level;
  entry->previous = previous;
  entry->next = next;
  if (previous != NULL)
    previous->next = entry;
  else
    level->head = entry;
  if (next != NULL)
    next->previous = entry;
  else
    level->tail = entry;
  self->n_jobs++;
}

void
_afork_job_queue_add (AForkJobQueue      *self,
                      AForkJobQueueEntry *entry,
                      int                 priority)
{
  AForkJobQueueLevel *level = get_level (self, priority);

  g_assert (entry->level == NULL);

  entry->number = ++self->last_number;
  link_behind (self, level, level->tail, entry);
}

void
_afork_job_queue_put_back (AForkJobQueue      *self,
                           AForkJobQueueEntry *entry,
                           int                 priority)
{
  AForkJobQueueLevel *level = get_level (self, priority);
  AForkJobQueueEntry *previous = NULL;

  g_assert (entry->level == NULL);
  g_assert (entry->number != 0);

  /* Jobs are taken from the head. So only jobs that were also put back can come before this job.
   * The jobs of a worker are put back in order, so the search begins where the last one ended. */
  if (level->put_back != NULL && level->put_back->number < entry->number)
    previous = level->put_back;
  for (AForkJobQueueEntry *next = previous != NULL ? previous->next : level->head;
       next != NULL && next->number < entry->number;
       next = next->next)
    previous = next;

  link_behind (self, level, previous, entry);
  level->put_back = entry;
}

void
_afork_job_queue_remove (AForkJobQueueEntry *entry)
{
  AForkJobQueueLevel *level = entry->level;
  AForkJobQueue *self;

  g_assert (level != NULL);

  self = level->queue;

  if (level->put_back == entry)
    level->put_back = entry->previous;
  if (entry->previous != NULL)
    entry->previous->next = entry->next;
  else
    level->head = entry->next;
  if (entry->next != NULL)
    entry->next->previous = entry->previous;
  else
    level->tail = entry->previous;
  entry->previous = NULL;
  entry->next = NULL;
  entry->level = NULL;
  self->n_jobs--;

  if (level->head == NULL)
    drop_level (self, level);
}

void
_afork_job_queue_set_priority (AForkJobQueueEntry *entry,
                               int                 priority)
{
  AForkJobQueue *self;

  g_assert (entry->level != NULL);

  self = entry->level->queue;
  if (entry->level->priority == priority)
    return;

  _afork_job_queue_remove (entry);
  _afork_job_queue_add (self, entry, priority);
}

AForkJobQueueEntry *
_afork_job_queue_peek (AForkJobQueue *self)
{
  return self->first != NULL ? self->first->head : NULL;
}

static gboolean
set_queue_cb (gpointer key,
              gpointer value,
              gpointer data)
{
  AForkJobQueueLevel *level = value;

  level->queue = data;
  return FALSE;
}

void
_afork_job_queue_move_all (AForkJobQueue *self,
                           AForkJobQueue *other)
{
  const AForkJobQueue emptied = *other;

  g_assert (other->n_jobs == 0);

  *other = *self;
  *self = emptied;
  self->last_number = other->last_number;
  g_tree_foreach (other->levels, set_queue_cb, other);
}
