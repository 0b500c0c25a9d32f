/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-queue.h"

typedef struct
{
  const ThumbnailMaker *maker;
  GPtrArray            *pictures;
  guint                 next;         /* the next picture to begin */
  GQueue                waiting;      /* of pictures that come before it, for want of descriptors */
  guint                 n_running;
  guint                 n_at_once;
  ThumbnailQueueFunc    each;
  gpointer              each_data;
  GError               *error;        /* of the store, which ends the work; or NULL */
} ThumbnailQueue;

static void
thumbnail_queue_free (ThumbnailQueue *self)
{
  g_ptr_array_unref (self->pictures);
  g_queue_clear (&self->waiting);
  g_clear_error (&self->error);
  g_free (self);
}

static void fill (GTask *task);

typedef struct
{
  GTask   *task;
  Picture *picture;
} Running;

/* If there are too many open files, the picture waits until another one is done, and from now on
 * fewer are begun at a time. If it is the only one, waiting would not help. */
static void
put_back (ThumbnailQueue *self,
          Picture        *picture,
          GError         *error)
{
  if (self->n_running == 0)
    {
      picture_fail (picture, error);
      self->each (picture, self->each_data);
      return;
    }

  g_error_free (error);
  self->n_at_once = MIN (self->n_at_once, self->n_running);
  g_queue_push_tail (&self->waiting, picture);
}

static void
made_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autofree Running *running = user_data;
  g_autoptr(GTask) task = running->task;
  ThumbnailQueue *self = g_task_get_task_data (task);
  g_autoptr(GError) error = NULL;
  Picture *picture = thumbnail_maker_make_finish (result, &error);

  self->n_running--;
  if (picture != NULL)
    self->each (picture, self->each_data);
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
    put_back (self, running->picture, g_steal_pointer (&error));
  else if (self->error == NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    self->error = g_steal_pointer (&error);

  fill (task);
}

/* Pictures that failed in the search are done already. */
static void
start_next (GTask *task)
{
  ThumbnailQueue *self = g_task_get_task_data (task);
  Picture *picture = g_queue_pop_head (&self->waiting);
  Running *running;

  if (picture == NULL)
    picture = self->pictures->pdata[self->next++];
  if (picture->outcome != PICTURE_WAITING)
    {
      self->each (picture, self->each_data);
      return;
    }

  running = g_new (Running, 1);
  *running = (Running) { g_object_ref (task), picture };
  self->n_running++;
  thumbnail_maker_make_async (self->maker, picture, g_task_get_cancellable (task),
                              made_cb, running);
}

static void
fill (GTask *task)
{
  ThumbnailQueue *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  while (self->n_running < self->n_at_once
         && (self->next < self->pictures->len || !g_queue_is_empty (&self->waiting))
         && self->error == NULL
         && !g_cancellable_is_cancelled (cancellable))
    start_next (task);

  if (self->n_running > 0 || g_task_return_error_if_cancelled (task))
    return;

  if (self->error != NULL)
    g_task_return_error (task, g_steal_pointer (&self->error));
  else
    g_task_return_boolean (task, TRUE);
}

void
thumbnail_queue_run_async (const ThumbnailMaker *maker,
                           GPtrArray            *pictures,
                           guint                 n_at_once,
                           ThumbnailQueueFunc    each,
                           gpointer              each_data,
                           GCancellable         *cancellable,
                           GAsyncReadyCallback   callback,
                           gpointer              user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  ThumbnailQueue *self = g_new0 (ThumbnailQueue, 1);

  g_task_set_source_tag (task, thumbnail_queue_run_async);
  g_task_set_task_data (task, self, (GDestroyNotify) thumbnail_queue_free);

  self->maker = maker;
  self->pictures = g_ptr_array_ref (pictures);
  self->n_at_once = n_at_once;
  self->each = each;
  self->each_data = each_data;

  fill (task);
}

gboolean
thumbnail_queue_run_finish (GAsyncResult  *result,
                            GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
