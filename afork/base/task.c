/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "task.h"

#include "i18n.h"

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

typedef struct
{
  GTask  *task;
  GError *error;
} Later;

static gboolean
return_later_cb (gpointer data)
{
  Later *self = data;

  g_task_return_error (self->task, g_steal_pointer (&self->error));
  return G_SOURCE_REMOVE;
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
  g_autoptr(GSource) source = g_idle_source_new ();
  Later *later = g_new0 (Later, 1);

  later->task = g_object_ref (task);
  later->error = error;
  g_source_set_priority (source, g_task_get_priority (task));
  g_source_set_static_name (source, "[afork] operation has ended");
  g_source_set_callback (source, return_later_cb, later, later_free);
  g_source_attach (source, g_task_get_context (task));
}

void
_afork_task_return_cancelled (GTask *task)
{
  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}
