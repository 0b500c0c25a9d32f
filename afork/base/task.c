/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "task.h"

#include "i18n.h"
#include "turn.h"

void
_afork_pending_task_set (AForkPendingTask *self,
                         GTask            *task,
                         AForkWaiterFunc   cancelled,
                         gpointer          data)
{
  GCancellable *cancellable = g_task_get_cancellable (task);

  self->task = g_object_ref (task);
  if (cancellable != NULL)
    self->waiter = _afork_waiter_new_for_cancellable (g_task_get_context (task), cancellable,
                                                      cancelled, data, NULL);
}

GTask *
_afork_pending_task_steal (AForkPendingTask *self)
{
  g_clear_pointer (&self->waiter, _afork_waiter_end);
  return g_steal_pointer (&self->task);
}

typedef struct
{
  GList            link;        /* first; its data is the task */
  GQueue          *queue;
  AForkPendingTask pending;
} QueuedTask;

/* Returns the reference to the task. */
static GTask *
leave_queue (QueuedTask *queued)
{
  GTask *task = _afork_pending_task_steal (&queued->pending);

  g_queue_unlink (queued->queue, &queued->link);
  g_free (queued);
  return task;
}

static void
queued_cancelled_cb (gpointer data)
{
  g_autoptr(GTask) task = leave_queue (data);

  _afork_task_return_cancelled (task);
}

void
_afork_task_queue_push (GQueue *queue,
                        GTask  *task)
{
  QueuedTask *queued = g_new0 (QueuedTask, 1);

  queued->queue = queue;
  queued->link.data = task;
  _afork_pending_task_set (&queued->pending, task, queued_cancelled_cb, queued);
  g_queue_push_tail_link (queue, &queued->link);
}

GTask *
_afork_task_queue_pop (GQueue *queue)
{
  return queue->head != NULL ? leave_queue ((QueuedTask *) queue->head) : NULL;
}

void
_afork_task_queue_fail (GQueue       *queue,
                        const GError *error)
{
  GTask *task;

  while ((task = _afork_task_queue_pop (queue)) != NULL)
    {
      g_task_return_error (task, g_error_copy (error));
      g_object_unref (task);
    }
}

/* Tasks of a queue that fail. */
typedef struct
{
  GQueue   *queue;
  GObject  *owner;
  GError   *error;
  gboolean  has_begun;
} Failing;

static void
failing_free (gpointer data)
{
  Failing *self = data;
  GTask *task;

  /* If the context is gone, they are not awaited. */
  while (!self->has_begun && (task = _afork_task_queue_pop (self->queue)) != NULL)
    g_object_unref (task);
  g_object_unref (self->owner);
  g_error_free (self->error);
  g_free (self);
}

static void fail_some_cb (gpointer data);

static void
fail_some_later (GQueue  *queue,
                 GObject *owner,
                 GError  *error)
{
  const QueuedTask *first = (QueuedTask *) queue->head;
  Failing *self = g_new0 (Failing, 1);

  self->queue = queue;
  self->owner = g_object_ref (owner);
  self->error = error;
  _afork_waiter_run_later (g_task_get_context (first->pending.task), fail_some_cb, self,
                           failing_free);
}

static void
fail_some_cb (gpointer data)
{
  Failing *self = data;
  AForkTurn turn;
  gboolean has_time = _afork_turn_begin (&turn, NULL);
  gboolean goes_on = TRUE;
  GTask *task;

  /* If a callback iterates the context, that goes on with the rest. */
  self->has_begun = TRUE;
  if (self->queue->length > 1)
    fail_some_later (self->queue, self->owner, g_error_copy (self->error));
  while (goes_on && (task = _afork_task_queue_pop (self->queue)) != NULL)
    {
      g_task_return_error (task, g_error_copy (self->error));
      g_object_unref (task);
      goes_on = has_time && _afork_turn_goes_on (&turn);
    }
  if (has_time)
    _afork_turn_end (&turn, NULL, NULL, FALSE);
}

void
_afork_task_queue_fail_later (GQueue  *queue,
                              GObject *owner,
                              GError  *error)
{
  if (g_queue_is_empty (queue))
    g_error_free (error);
  else
    fail_some_later (queue, owner, error);
}

/* One task. */
typedef struct
{
  GTask  *task;
  GError *error;
} Later;

static void
return_later_cb (gpointer data)
{
  Later *self = data;

  g_task_return_error (self->task, g_steal_pointer (&self->error));
}

static void
later_free (gpointer data)
{
  Later *self = data;

  g_object_unref (self->task);
  g_clear_error (&self->error);
  g_free (self);
}

void
_afork_task_return_error_later (GTask  *task,
                                GError *error)
{
  Later *later = g_new0 (Later, 1);

  later->task = g_object_ref (task);
  later->error = error;
  _afork_waiter_run_later (g_task_get_context (task), return_later_cb, later, later_free);
}

void
_afork_task_return_cancelled (GTask *task)
{
  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}
