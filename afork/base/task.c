/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "task.h"

#include "i18n.h"

void
_afork_task_watch_cancellable (GTask           *task,
                               AForkWaiterFunc  callback)
{
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (cancellable != NULL)
    g_task_set_task_data (task,
                          _afork_waiter_new_for_cancellable (g_task_get_context (task), cancellable,
                                                             callback, g_object_ref (task),
                                                             g_object_unref),
                          (GDestroyNotify) _afork_waiter_end);
}

void
_afork_task_unwatch_cancellable (GTask *task)
{
  /* It has a reference to the task, and so would keep it for ever. */
  g_task_set_task_data (task, NULL, NULL);
}

/* What a task in a queue has. */
typedef struct
{
  GQueue      *queue;
  GList        link;
  AForkWaiter *waiter;          /* or NULL */
} Place;

static void
place_free (gpointer data)
{
  Place *place = data;

  g_clear_pointer (&place->waiter, _afork_waiter_end);
  g_free (place);
}

/* Gives back the reference of the queue. */
static GTask *
leave_queue (Place *place)
{
  GTask *task = place->link.data;

  g_queue_unlink (place->queue, &place->link);
  g_task_set_task_data (task, NULL, NULL);
  return task;
}

static void
queued_cancelled_cb (gpointer data)
{
  g_autoptr(GTask) task = leave_queue (g_task_get_task_data (data));

  _afork_task_return_cancelled (task);
}

void
_afork_task_queue_push (GQueue *queue,
                        GTask  *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Place *place = g_new0 (Place, 1);

  place->queue = queue;
  place->link.data = g_object_ref (task);
  if (cancellable != NULL)
    place->waiter = _afork_waiter_new_for_cancellable (g_task_get_context (task), cancellable,
                                                       queued_cancelled_cb, task, NULL);
  g_task_set_task_data (task, place, place_free);
  g_queue_push_tail_link (queue, &place->link);
}

GTask *
_afork_task_queue_pop (GQueue *queue)
{
  GTask *task = g_queue_peek_head (queue);

  return task != NULL ? leave_queue (g_task_get_task_data (task)) : NULL;
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
