/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "contact-sheet.h"
#include "options.h"
#include "output-file.h"
#include "picture-finder.h"
#include "progress.h"
#include "summary.h"
#include "thumbnail-queue.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>

#define EXIT_USAGE  2
#define EXIT_SIGNAL 128      /* and the number of the signal */

#define SHEET_MODE  0666

/* Pictures that are open and wait for a worker. */
#define N_WAITING   32

typedef struct
{
  const Options *options;
  ThumbnailMaker maker;
  GPtrArray     *pictures;
  Progress      *progress;
  GCancellable  *cancellable;
  GMainLoop     *loop;
  int            signal;        /* that the user or the system has sent to stop this program */
  GError        *error;         /* of the present step */
  OutputFile    *sheet_file;    /* NULL if no sheet is wanted */
  ContactSheet   sheet;
} Thumbnailer;

/* Signals. The main loop runs until all workers have exited, and half-written files are removed. */

static gboolean
interrupt (Thumbnailer *self,
           int          number)
{
  self->signal = number;
  g_cancellable_cancel (self->cancellable);

  return G_SOURCE_CONTINUE;
}

static gboolean
interrupt_cb (gpointer user_data)
{
  return interrupt (user_data, SIGINT);
}

static gboolean
terminate_cb (gpointer user_data)
{
  return interrupt (user_data, SIGTERM);
}

/* Thumbnails */

static void
picture_finished_cb (const Picture *picture,
                     gpointer       user_data)
{
  Thumbnailer *self = user_data;

  progress_advance (self->progress, picture);
}

static void
thumbnails_made_cb (GObject      *object,
                    GAsyncResult *result,
                    gpointer      user_data)
{
  Thumbnailer *self = user_data;

  thumbnail_queue_run_finish (result, &self->error);
  g_main_loop_quit (self->loop);
}

static gboolean
make_thumbnails (Thumbnailer *self)
{
  gint64 started = g_get_monotonic_time ();
  g_autofree char *workers = NULL;

  self->progress = progress_new (self->pictures->len);
  thumbnail_queue_run_async (&self->maker, self->pictures, self->options->n_jobs + N_WAITING,
                             picture_finished_cb, self,
                             self->cancellable, thumbnails_made_cb, self);
  g_main_loop_run (self->loop);
  g_clear_pointer (&self->progress, progress_free);

  if (self->error != NULL)
    return FALSE;

  workers = worker_pool_describe (self->maker.workers);
  summary_print (self->pictures, (g_get_monotonic_time () - started) / (double) G_USEC_PER_SEC,
                 workers);
  return TRUE;
}

/* Contact sheet */

static void
sheet_made_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      user_data)
{
  Thumbnailer *self = user_data;

  contact_sheet_make_finish (result, &self->sheet, &self->error);
  g_main_loop_quit (self->loop);
}

static gboolean
make_contact_sheet (Thumbnailer *self)
{
  g_autofree char *name = g_filename_display_name (self->options->contact_sheet);

  contact_sheet_make_async (self->maker.workers, self->pictures, self->maker.pixels,
                            self->sheet_file,
                            self->cancellable, sheet_made_cb, self);
  g_main_loop_run (self->loop);
  if (self->error != NULL)
    return FALSE;

  g_print ("\nContact sheet: %s, %u %s on %d × %d pixels\n",
           name, self->sheet.n_pictures, self->sheet.n_pictures == 1 ? "picture" : "pictures",
           self->sheet.width, self->sheet.height);
  return TRUE;
}

/* All of it */

static gboolean
has_thumbnails (GPtrArray *pictures)
{
  for (guint i = 0; i < pictures->len; i++)
    if (((Picture *) pictures->pdata[i])->thumbnail != NULL)
      return TRUE;

  return FALSE;
}

static gboolean
work (Thumbnailer *self)
{
  if (!make_thumbnails (self))
    return FALSE;

  if (self->sheet_file == NULL)
    return TRUE;

  if (has_thumbnails (self->pictures))
    return make_contact_sheet (self);

  /* A sheet of an earlier run must not be taken for the one of this run. */
  if (g_unlink (self->sheet_file->path) == 0)
    g_print ("\nThe contact sheet was removed, for there are no thumbnails\n");

  return TRUE;
}

static int
run (Thumbnailer *self)
{
  guint interrupt_id = g_unix_signal_add (SIGINT, interrupt_cb, self);
  guint terminate_id = g_unix_signal_add (SIGTERM, terminate_cb, self);
  gboolean worked = work (self);

  g_source_remove (interrupt_id);
  g_source_remove (terminate_id);

  if (self->signal != 0)
    {
      g_printerr ("Stopped.\n");
      return EXIT_SIGNAL + self->signal;
    }

  if (!worked)
    {
      g_printerr ("%s: %s\n", g_get_prgname (), self->error->message);
      return EXIT_FAILURE;
    }

  return summary_all_succeeded (self->pictures) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
run_with_options (const Options  *options,
                  GError        **error)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(ThumbnailStore) store = thumbnail_store_new (options->output, options->size, error);
  g_autoptr(OutputFile) sheet_file = NULL;
  g_autoptr(WorkerPool) workers = NULL;
  g_autoptr(GPtrArray) pictures = NULL;
  Thumbnailer self = { .options = options, .cancellable = cancellable, .loop = loop };
  int status;

  if (store == NULL)
    return EXIT_FAILURE;

  /* It is better to know that it cannot be written before all the work than after it. */
  if (options->contact_sheet != NULL)
    {
      sheet_file = output_file_new (options->contact_sheet, SHEET_MODE, error);
      if (sheet_file == NULL)
        return EXIT_FAILURE;
    }

  workers = worker_pool_new (options);
  pictures = picture_finder_find ((const char * const *) options->first,
                                  (const char * const *) options->filenames, store);

  self.pictures = pictures;
  self.sheet_file = sheet_file;
  self.maker.store = store;
  self.maker.workers = workers;
  self.maker.pixels = thumbnail_size_get_pixels (options->size);
  self.maker.timeout = options->timeout;
  self.maker.retry = options->retry;

  status = run (&self);
  g_clear_error (&self.error);
  return status;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(Options) options = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  setlocale (LC_ALL, "");

  options = options_parse (&argc, &argv, &error);
  if (options == NULL)
    {
      g_printerr ("%s: %s\nSee %s --help.\n", g_get_prgname (), error->message, g_get_prgname ());
      return EXIT_USAGE;
    }

  if (options->version)
    {
      g_print ("afork-thumbnailer %s\n", THUMBNAILER_VERSION);
      return EXIT_SUCCESS;
    }

  status = run_with_options (options, &error);
  if (error != NULL)
    g_printerr ("%s: %s\n", g_get_prgname (), error->message);

  return status;
}
