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
  AForkJobQueueEntry *head;     /* jobs that were not put back, by number */
  AForkJobQueueEntry *tail;
  AForkHeap           put_back; /* jobs that were put back, by number */
};

static AForkJobQueueEntry *
get_entry (const AForkHeapNode *node)
{
  return node != NULL
    ? (AForkJobQueueEntry *) ((char *) node - G_STRUCT_OFFSET (AForkJobQueueEntry, node)) : NULL;
}

static void
level_free (gpointer data)
{
  AForkJobQueueLevel *level = data;

  if (level != NULL)
    _afork_heap_clear (&level->put_back);
  g_free (level);
}

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
  g_clear_pointer (&self->spare, level_free);
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

  level_free (self->spare);
  self->spare = level;
}

void
_afork_job_queue_add (AForkJobQueue      *self,
                      AForkJobQueueEntry *entry,
                      int                 priority)
{
  AForkJobQueueLevel *level = get_level (self, priority);

  g_assert (entry->level == NULL);

  entry->number = ++self->last_number;
  entry->level = level;
  entry->previous = level->tail;
  entry->next = NULL;
  if (level->tail != NULL)
    level->tail->next = entry;
  else
    level->head = entry;
  level->tail = entry;
  self->n_jobs++;
}

void
_afork_job_queue_put_back (AForkJobQueue      *self,
                           AForkJobQueueEntry *entry,
                           int                 priority)
{
  AForkJobQueueLevel *level = get_level (self, priority);

  g_assert (entry->level == NULL);
  g_assert (entry->number != 0);

  entry->level = level;
  entry->is_put_back = TRUE;
  entry->node = (AForkHeapNode) { 0 };
  _afork_heap_put (&level->put_back, &entry->node, entry->number);
  self->n_jobs++;
}

static void
unlink_entry (AForkJobQueueLevel *level,
              AForkJobQueueEntry *entry)
{
  if (entry->previous != NULL)
    entry->previous->next = entry->next;
  else
    level->head = entry->next;
  if (entry->next != NULL)
    entry->next->previous = entry->previous;
  else
    level->tail = entry->previous;
}

void
_afork_job_queue_remove (AForkJobQueueEntry *entry)
{
  AForkJobQueueLevel *level = entry->level;
  AForkJobQueue *self;

  g_assert (level != NULL);

  self = level->queue;

  if (entry->is_put_back)
    _afork_heap_remove (&entry->node);
  else
    unlink_entry (level, entry);
  entry->level = NULL;
  entry->is_put_back = FALSE;
  self->n_jobs--;

  if (level->head == NULL && level->put_back.n_items == 0)
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
  AForkJobQueueEntry *put_back;
  AForkJobQueueEntry *head;

  if (self->first == NULL)
    return NULL;

  put_back = get_entry (_afork_heap_peek (&self->first->put_back));
  head = self->first->head;
  if (put_back == NULL || head == NULL)
    return put_back != NULL ? put_back : head;

  return put_back->number < head->number ? put_back : head;
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
