/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-maker.h"

#include "auto-fd.h"
#include "thumbnail-keys.h"

#include <gio/gio.h>

/* Records come before all pictures. If workers crash one after the other and none finishes a job,
 * the pool starts them more and more slowly; a record is a job that is finished. */
#define RECORD_PRIORITY 2

typedef struct
{
  const ThumbnailMaker *maker;
  Picture              *picture;
  OutputFile           *output;      /* of the worker that runs */
} Making;

static void
making_free (Making *self)
{
  g_clear_pointer (&self->output, output_file_free);
  g_free (self);
}

static void
return_picture (GTask *task)
{
  Making *self = g_task_get_task_data (task);

  if (!g_task_return_error_if_cancelled (task))
    g_task_return_pointer (task, self->picture, NULL);
}

static void
return_failure (GTask  *task,
                GError *error)
{
  Making *self = g_task_get_task_data (task);

  picture_fail (self->picture, error);
  return_picture (task);
}

/* The worker gets the files that it needs, and opens none. */
static void
run (GTask               *task,
     const char          *what,
     GVariant            *args,
     GUnixFDList         *files,
     int                  priority,
     GAsyncReadyCallback  callback)
{
  Making *self = g_task_get_task_data (task);

  worker_pool_run_async (self->maker->workers, what, args, files, priority, self->maker->timeout,
                         g_task_get_cancellable (task), callback, g_object_ref (task));
}

/* Noting a failure */

/* If a failure cannot be recorded, it only means that the next run tries again. */
static void
noted_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Making *self = g_task_get_task_data (task);
  g_autoptr(GError) error = NULL;
  int width, height;

  if (!worker_pool_run_finish (result, &width, &height, &error)
      || !thumbnail_store_commit (self->maker->store, self->picture, self->output, &error))
    g_debug ("%s: the failure could not be noted: %s", self->picture->name, error->message);

  return_picture (task);
}

static void
note_failure (GTask *task)
{
  Making *self = g_task_get_task_data (task);
  g_autoptr(GUnixFDList) files = g_unix_fd_list_new ();
  g_autoptr(GError) error = NULL;
  int output = -1;

  self->output = thumbnail_store_create_failure (self->maker->store, self->picture, &error);
  if (self->output != NULL)
    output = g_unix_fd_list_append (files, self->output->fd, &error);
  if (output < 0)
    {
      g_debug ("%s: the failure could not be noted: %s", self->picture->name, error->message);
      return_picture (task);
      return;
    }

  run (task, "record-failure",
       g_variant_new ("(h@a{ss})", output,
                      thumbnail_keys_new (self->picture, self->picture->error->message)),
       files, RECORD_PRIORITY, noted_cb);
}

/* Making a thumbnail */

static void
made_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Making *self = g_task_get_task_data (task);
  GError *error = NULL;
  int width, height;

  if (worker_pool_run_finish (result, &width, &height, &error)
      && thumbnail_store_commit (self->maker->store, self->picture, self->output, &error))
    {
      self->picture->outcome = PICTURE_DONE;
      self->picture->thumbnail = g_strdup (self->output->path);
      return_picture (task);
      return;
    }

  g_clear_pointer (&self->output, output_file_free);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_task_return_error (task, error);
      return;
    }

  picture_fail (self->picture, error);
  if (error->domain == WORKER_ERROR)
    note_failure (task);
  else
    return_picture (task);
}

static void
make (GTask *task,
      int    fd)
{
  Making *self = g_task_get_task_data (task);
  g_autoptr(GUnixFDList) files = g_unix_fd_list_new ();
  GError *error = NULL;
  int picture, output;

  picture = g_unix_fd_list_append (files, fd, &error);
  output = picture >= 0 ? g_unix_fd_list_append (files, self->output->fd, &error) : -1;
  if (output < 0)
    {
      return_failure (task, error);
      return;
    }

  run (task, "thumbnail",
       g_variant_new ("(hhu@a{ss})", picture, output, self->maker->pixels,
                      thumbnail_keys_new (self->picture, NULL)),
       files, self->picture->priority, made_cb);
}

/* The result of an earlier run saves the work, unless the picture was changed. */
static gboolean
is_known (Making *self)
{
  g_autofree char *cause = NULL;

  self->picture->thumbnail = thumbnail_store_find (self->maker->store, self->picture);
  if (self->picture->thumbnail != NULL)
    {
      self->picture->outcome = PICTURE_REUSED;
      return TRUE;
    }

  if (!self->maker->retry)
    cause = thumbnail_store_find_failure (self->maker->store, self->picture);
  if (cause == NULL)
    return FALSE;

  picture_fail (self->picture,
                g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "As before: %s", cause));
  return TRUE;
}

void
thumbnail_maker_make_async (const ThumbnailMaker *self,
                            Picture              *picture,
                            GCancellable         *cancellable,
                            GAsyncReadyCallback   callback,
                            gpointer              user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Making *making = g_new0 (Making, 1);
  g_auto(AutoFd) fd = -1;
  GError *error = NULL;

  g_task_set_source_tag (task, thumbnail_maker_make_async);
  g_task_set_task_data (task, making, (GDestroyNotify) making_free);
  making->maker = self;
  making->picture = picture;

  fd = picture_open (picture, &error);
  if (fd < 0)
    {
      return_failure (task, error);
      return;
    }

  if (is_known (making))
    {
      return_picture (task);
      return;
    }

  making->output = thumbnail_store_create (self->store, picture, &error);
  if (making->output == NULL)
    {
      return_failure (task, error);
      return;
    }

  make (task, fd);
}

Picture *
thumbnail_maker_make_finish (GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
