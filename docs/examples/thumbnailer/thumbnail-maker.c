/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-maker.h"

#include "picture-error.h"
#include "thumbnail-keys.h"

#include <gio/gio.h>
#include <unistd.h>

/* Records come before all pictures. If workers crash one after the other and none finishes a job,
 * the pool starts them more and more slowly; a record is a job that is finished. */
#define RECORD_PRIORITY 2

/* If the picture of a failure was changed in this time, it may still be written. */
#define RECENT_TIME     5       /* seconds */

typedef struct
{
  const ThumbnailMaker *maker;
  Picture              *picture;
  int                   fd;          /* of the picture, or -1 */
  GUnixFDList          *files;       /* has the descriptors of the picture and the outputs when the
                                      * worker has got them, and closes them; or NULL */
  OutputFile           *outputs[N_THUMBNAIL_SIZES];  /* those that the worker writes, or NULL */
  OutputFile           *note;        /* of a failure, or NULL */
  GUnixFDList          *note_files;  /* has its descriptor */
  gboolean              tried_again;
} Making;

static void
clear_outputs (Making *self)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    g_clear_pointer (&self->outputs[i], output_file_free);
}

static void
making_free (Making *self)
{
  clear_outputs (self);
  g_clear_pointer (&self->note, output_file_free);
  if (self->fd >= 0 && self->files == NULL)
    close (self->fd);
  g_clear_object (&self->files);
  g_clear_object (&self->note_files);
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
      || !thumbnail_store_commit (self->maker->store, self->picture, self->note, &error))
    g_debug ("%s: the failure could not be noted: %s", self->picture->name, error->message);

  return_picture (task);
}

static void
note_failure (GTask *task)
{
  Making *self = g_task_get_task_data (task);
  g_autoptr(GError) error = NULL;
  const gboolean is_late =
    g_error_matches (self->picture->error, PICTURE_ERROR, PICTURE_ERROR_TIMED_OUT);
  int fd;

  self->note = thumbnail_store_create_failure (self->maker->store, self->picture, &error);
  if (self->note == NULL)
    {
      g_debug ("%s: the failure could not be noted: %s", self->picture->name, error->message);
      return_picture (task);
      return;
    }

  fd = output_file_give_fd (self->note);
  self->note_files = g_unix_fd_list_new_from_array (&fd, 1);
  run (task, "record-failure",
       g_variant_new ("(h@a{ss})", 0,
                      thumbnail_keys_new (self->picture, self->picture->error->message,
                                          is_late ? self->maker->timeout : 0)),
       self->note_files, RECORD_PRIORITY, noted_cb);
}

/* The picture cannot be decoded. */

static void
fail_and_note (GTask  *task,
               GError *error)
{
  Making *self = g_task_get_task_data (task);

  picture_fail (self->picture, error);
  note_failure (task);
}

typedef struct
{
  GTask  *task;
  GError *error;
} Recheck;

/* A picture that is copied is changed about each second, at least. */
static gboolean
recheck_cb (gpointer user_data)
{
  g_autofree Recheck *recheck = user_data;
  g_autoptr(GTask) task = recheck->task;
  Making *self = g_task_get_task_data (task);

  if (picture_has_changed (self->picture, self->fd))
    {
      picture_leave (self->picture,
                     g_error_new_literal (G_IO_ERROR, G_IO_ERROR_BUSY, "It is still written"));
      g_error_free (recheck->error);
      return_picture (task);
    }
  else
    fail_and_note (task, recheck->error);

  return G_SOURCE_REMOVE;
}

static void
handle_picture_error (GTask  *task,
                      GError *error)
{
  Making *self = g_task_get_task_data (task);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  Recheck *recheck;

  if (!picture_has_changed (self->picture, self->fd) && self->picture->mtime < now - RECENT_TIME)
    {
      fail_and_note (task, error);
      return;
    }

  recheck = g_new (Recheck, 1);
  *recheck = (Recheck) { g_object_ref (task), error };
  g_timeout_add_seconds (1, recheck_cb, recheck);
}

/* Making thumbnails */

static gboolean
commit (Making  *self,
        GError **error)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->outputs[i] != NULL)
      {
        if (!thumbnail_store_commit (self->maker->store, self->picture, self->outputs[i], error))
          return FALSE;

        g_free (self->picture->thumbnail);
        self->picture->thumbnail = g_strdup (self->outputs[i]->path);
      }

  return TRUE;
}

/* Whether the file system of the store takes no files. */
static gboolean
is_file_system_error (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE)
         || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
}

/* Whether all further thumbnails will fail, too. */
static gboolean
is_store_error (const GError *error)
{
  return error->domain == THUMBNAIL_STORE_ERROR || is_file_system_error (error);
}

/* Whether the picture has to wait until other files are closed. */
static gboolean
is_lack_of_descriptors (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES);
}

/* Whether the template was lost, or its host, or the folder of the thumbnail. */
static gboolean
is_loss (const GError *error)
{
  return g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST)
         || g_error_matches (error, AFORK_ERROR, AFORK_ERROR_HOST_LOST)
         || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void make (GTask *task);

static void
made_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr(GTask) task = user_data;
  Making *self = g_task_get_task_data (task);
  GError *error = NULL;
  int width, height;

  if (worker_pool_run_finish (result, &width, &height, &error) && commit (self, &error))
    {
      self->picture->outcome = PICTURE_DONE;
      return_picture (task);
      return;
    }

  clear_outputs (self);
  if (is_file_system_error (error))
    thumbnail_store_prefix_error (self->maker->store, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) || is_store_error (error)
      || is_lack_of_descriptors (error))
    g_task_return_error (task, error);
  else if (is_loss (error) && !self->tried_again)
    {
      self->tried_again = TRUE;
      g_error_free (error);
      make (task);
    }
  else if (error->domain == PICTURE_ERROR)
    handle_picture_error (task, error);
  else
    return_failure (task, error);
}

static gboolean
create_outputs (Making  *self,
                GError **error)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    {
      g_autofree char *found = NULL;

      if (!thumbnail_store_wants (self->maker->store, i))
        continue;
      found = thumbnail_store_find (self->maker->store, i, self->picture);
      if (found != NULL)
        continue;

      self->outputs[i] = thumbnail_store_create (self->maker->store, i, self->picture, error);
      if (self->outputs[i] == NULL)
        return FALSE;
    }

  return TRUE;
}

/* Takes the descriptor of the picture from the list of a first worker, and closes the others. */
static void
take_files_back (Making *self)
{
  int n_fds;
  g_autofree int *fds = g_unix_fd_list_steal_fds (self->files, &n_fds);

  self->fd = fds[0];
  for (int i = 1; i < n_fds; i++)
    close (fds[i]);
  g_clear_object (&self->files);
}

/* Puts the descriptors of the picture and of the outputs into a list, without duplicates. */
static void
collect_files (Making *self)
{
  int fds[1 + N_THUMBNAIL_SIZES] = { self->fd };
  int n_fds = 1;

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->outputs[i] != NULL)
      fds[n_fds++] = output_file_give_fd (self->outputs[i]);

  self->files = g_unix_fd_list_new_from_array (fds, n_fds);
}

/* Returns the outputs for the worker as `a(hu)`, floating. */
static GVariant *
describe_outputs (Making *self)
{
  g_auto(GVariantBuilder) outputs = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(hu)"));
  int index = 1;

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (self->outputs[i] != NULL)
      g_variant_builder_add (&outputs, "(hu)", index++, thumbnail_size_get_pixels (i));

  return g_variant_builder_end (&outputs);
}

static void
make (GTask *task)
{
  Making *self = g_task_get_task_data (task);
  g_autofree char *basename = g_path_get_basename (self->picture->path);
  g_autofree char *name = g_utf8_make_valid (basename, -1);
  GError *error = NULL;

  if (self->files != NULL)
    take_files_back (self);
  if (create_outputs (self, &error))
    {
      collect_files (self);
      run (task, "thumbnail",
           g_variant_new ("(hs@a(hu)@a{ss})", 0, name, describe_outputs (self),
                          thumbnail_keys_new (self->picture, NULL, 0)),
           self->files, self->picture->priority, made_cb);
    }
  else if (is_store_error (error) || is_lack_of_descriptors (error))
    g_task_return_error (task, error);
  else
    return_failure (task, error);
}

/* Whether there are thumbnails of all sizes. */
static gboolean
has_thumbnails (Making *self)
{
  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if (thumbnail_store_wants (self->maker->store, i))
      {
        g_free (self->picture->thumbnail);
        self->picture->thumbnail = thumbnail_store_find (self->maker->store, i, self->picture);
        if (self->picture->thumbnail == NULL)
          return FALSE;
      }

  return TRUE;
}

/* The result of an earlier run saves the work, unless the picture was changed. */
static gboolean
is_known (Making *self)
{
  g_autofree char *cause = NULL;

  if (has_thumbnails (self))
    {
      self->picture->outcome = PICTURE_REUSED;
      return TRUE;
    }

  if (!self->maker->retry)
    cause = thumbnail_store_find_failure (self->maker->store, self->picture,
                                          self->maker->timeout);
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
  GError *error = NULL;

  g_task_set_source_tag (task, thumbnail_maker_make_async);
  g_task_set_task_data (task, making, (GDestroyNotify) making_free);
  making->maker = self;
  making->picture = picture;
  making->fd = picture_open (picture, &error);
  if (making->fd < 0 && is_lack_of_descriptors (error))
    g_task_return_error (task, error);
  else if (making->fd < 0)
    return_failure (task, error);
  else if (is_known (making))
    return_picture (task);
  else
    make (task);
}

Picture *
thumbnail_maker_make_finish (GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
