/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "contact-sheet.h"
#include "descriptors.h"
#include "options.h"
#include "picture-finder.h"
#include "progress.h"
#include "standard-output.h"
#include "summary.h"
#include "thumbnail-queue.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE  2
#define EXIT_SIGNAL 128      /* and the number of the signal */

/* Pictures that are open and wait for a worker. For workers on other hosts, they are in memory. */
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
  DescriptorPlan plan;
  guint          pixels;        /* the longest side of the largest thumbnails */
  GError        *error;         /* of the present step */
  OutputFile    *sheet_file;    /* the first, or NULL if no sheet is wanted */
  ContactSheet   sheet;         /* that was made last */
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

static gboolean
hang_up_cb (gpointer user_data)
{
  return interrupt (user_data, SIGHUP);
}

/* A signal that is ignored from the start stays so: nohup(1) and shells do this to programs that
 * are not to end. Returns 0 then. */
static guint
watch_signal (Thumbnailer *self,
              int          number,
              GSourceFunc  callback)
{
  struct sigaction action;

  if (sigaction (number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
    return 0;

  return g_unix_signal_add (number, callback, self);
}

/* A process that reads the output may exit. Then writing fails, and the signal must not end the
 * program before it has cleaned up. A handler, unlike SIG_IGN, does not hold for programs that are
 * executed. */
static void
ignore_signal (int number)
{
}

/* Thumbnails */

static void
picture_finished_cb (const Picture *picture,
                     gpointer       user_data)
{
  Thumbnailer *self = user_data;

  progress_advance (self->progress, picture);
  if (standard_output_get_error () == EPIPE && self->signal == 0)
    interrupt (self, SIGPIPE);
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

static void
print_summary (Thumbnailer *self,
               double       seconds)
{
  g_autofree char *workers = worker_pool_describe (self->maker.workers);

  if (!self->options->quiet)
    summary_print (self->pictures, seconds, workers, isatty (STDOUT_FILENO));
}

static gboolean
make_thumbnails (Thumbnailer *self)
{
  gint64 started = g_get_monotonic_time ();

  self->progress = progress_new (self->pictures->len, self->options->quiet);
  thumbnail_queue_run_async (&self->maker, self->pictures, self->plan.n_pictures,
                             picture_finished_cb, self,
                             self->cancellable, thumbnails_made_cb, self);
  g_main_loop_run (self->loop);
  g_clear_pointer (&self->progress, progress_free);

  if (self->signal == 0)
    print_summary (self, (g_get_monotonic_time () - started) / (double) G_USEC_PER_SEC);
  return self->error == NULL;
}

/* Contact sheets */

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
make_contact_sheet (Thumbnailer *self,
                    guint        number,
                    OutputFile  *file)
{
  g_autofree char *name = g_filename_display_name (file->path);

  contact_sheet_make_async (self->maker.workers, self->pictures, self->plan.n_shown, number,
                            self->pixels, file, self->cancellable, sheet_made_cb, self);
  g_main_loop_run (self->loop);
  if (self->error != NULL)
    return FALSE;

  if (!self->options->quiet)
    g_print ("%sContact sheet: %s, %u %s on %d × %d pixels\n", number == 0 ? "\n" : "",
             name, self->sheet.n_pictures, self->sheet.n_pictures == 1 ? "picture" : "pictures",
             self->sheet.width, self->sheet.height);
  return TRUE;
}

/* The second sheet is called FILE-2.png, and so on. */
static char *
make_further_path (const char *path,
                   guint       number)
{
  const char *dot = strrchr (path, '.');
  gsize length = dot != NULL && strchr (dot, '/') == NULL ? (gsize) (dot - path) : strlen (path);

  return g_strdup_printf ("%.*s-%u%s", (int) length, path, number + 1, path + length);
}

/* Whether no file that is not a sheet has the name of one. */
static gboolean
check_further_paths (const char  *path,
                     guint        n_sheets,
                     GError     **error)
{
  for (guint i = 1; i < n_sheets; i++)
    {
      g_autofree char *further = make_further_path (path, i);

      if (!contact_sheet_may_replace (further, error))
        return FALSE;
    }

  return TRUE;
}

static guint
count_thumbnails (GPtrArray *pictures)
{
  guint n = 0;

  for (guint i = 0; i < pictures->len; i++)
    n += ((Picture *) pictures->pdata[i])->thumbnail != NULL;

  return n;
}

static gboolean
make_contact_sheets (Thumbnailer *self)
{
  const guint n_sheets = contact_sheet_count (count_thumbnails (self->pictures),
                                              self->plan.n_shown);

  if (!make_contact_sheet (self, 0, self->sheet_file))
    return FALSE;

  for (guint i = 1; i < n_sheets; i++)
    {
      g_autofree char *path = make_further_path (self->options->contact_sheet, i);
      g_autoptr(OutputFile) file = contact_sheet_open (path, &self->error);

      if (file == NULL || !make_contact_sheet (self, i, file))
        return FALSE;
    }

  return TRUE;
}

/* All of it */

static gboolean
work (Thumbnailer *self)
{
  if (!make_thumbnails (self))
    return FALSE;

  if (self->sheet_file == NULL)
    return TRUE;

  if (count_thumbnails (self->pictures) > 0)
    return make_contact_sheets (self);

  /* A sheet of an earlier run must not be taken for the one of this run. */
  if (contact_sheet_remove (self->options->contact_sheet) && !self->options->quiet)
    g_print ("\nThe contact sheet was removed, because there are no thumbnails\n");

  return TRUE;
}

static int
run (Thumbnailer *self)
{
  guint interrupt_id = watch_signal (self, SIGINT, interrupt_cb);
  guint terminate_id = watch_signal (self, SIGTERM, terminate_cb);
  guint hang_up_id = watch_signal (self, SIGHUP, hang_up_cb);
  gboolean worked = work (self);

  g_clear_handle_id (&interrupt_id, g_source_remove);
  g_clear_handle_id (&terminate_id, g_source_remove);
  g_clear_handle_id (&hang_up_id, g_source_remove);

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

static guint
get_largest_pixels (guint sizes)
{
  guint pixels = 0;

  for (ThumbnailSize i = 0; i < N_THUMBNAIL_SIZES; i++)
    if ((sizes & 1u << i) != 0)
      pixels = thumbnail_size_get_pixels (i);

  return pixels;
}

static void
clean (const ThumbnailStore *store,
       gboolean              is_quiet)
{
  guint n_removed = thumbnail_store_clean (store);

  if (!is_quiet)
    g_print ("%u %s of pictures that are gone removed\n", n_removed,
             n_removed == 1 ? "thumbnail" : "thumbnails");
}

static guint
count_hosts (const Options *options)
{
  return options->hosts != NULL ? g_strv_length (options->hosts) : 1;
}

/* Returns how many workers there may be, and pictures at a time, and thumbnails on a sheet. */
static DescriptorPlan
make_plan (const Options *options)
{
  const guint n_workers = (guint) options->n_jobs * count_hosts (options);
  DescriptorPlan plan = {
    .n_workers = n_workers,
    .n_pictures = options->hosts != NULL ? 2 * n_workers : n_workers + N_WAITING,
    .n_shown = options->contact_sheet != NULL ? CONTACT_SHEET_MAX_PICTURES : 0,
  };

  descriptor_plan_fit (&plan, 1 + (guint) __builtin_popcount (options->sizes));
  return plan;
}

static int
run_with_options (Options        *options,
                  GError        **error)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(ThumbnailStore) store = thumbnail_store_new (options->output, options->sizes, error);
  g_autoptr(OutputFile) sheet_file = NULL;
  g_autoptr(WorkerPool) workers = NULL;
  g_autoptr(GPtrArray) pictures = NULL;
  Thumbnailer self = { .options = options, .cancellable = cancellable, .loop = loop };
  int status;

  if (store == NULL)
    return EXIT_FAILURE;

  if (options->clean)
    clean (store, options->quiet);
  if (options->filenames == NULL && options->first == NULL)
    return EXIT_SUCCESS;

  /* It is better to know that it cannot be written before all the work than after it. */
  if (options->contact_sheet != NULL)
    {
      sheet_file = contact_sheet_open (options->contact_sheet, error);
      if (sheet_file == NULL)
        return EXIT_FAILURE;
    }

  self.plan = make_plan (options);
  options->n_jobs = MAX (1, (int) (self.plan.n_workers / count_hosts (options)));
  workers = worker_pool_new (options);
  pictures = picture_finder_find ((const char * const *) options->first,
                                  (const char * const *) options->filenames, store);
  if (sheet_file != NULL
      && !check_further_paths (options->contact_sheet,
                               contact_sheet_count (pictures->len, self.plan.n_shown), error))
    return EXIT_FAILURE;

  self.pictures = pictures;
  self.sheet_file = sheet_file;
  self.maker.store = store;
  self.maker.workers = workers;
  self.pixels = get_largest_pixels (options->sizes);
  self.maker.timeout = options->timeout;
  self.maker.retry = options->retry;

  status = run (&self);
  g_clear_error (&self.error);
  return status;
}

/* A relative path would be another folder in each working directory. Without HOME, the program uses
 * the home that the system has for the user. The standard for the other variables says that
 * relative paths are ignored. */
static void
ignore_relative_directories (void)
{
  static const char * const variables[] = {
    "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (variables); i++)
    {
      const char *value = g_getenv (variables[i]);

      if (value != NULL && !g_path_is_absolute (value))
        g_unsetenv (variables[i]);
    }
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(Options) options = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  standard_output_prepare ();
  ignore_relative_directories ();
  setlocale (LC_ALL, "");

  signal (SIGPIPE, ignore_signal);

  options = options_parse (argc, argv, &error);
  if (options == NULL)
    {
      g_printerr ("%s: %s\nSee %s --help.\n", g_get_prgname (), error->message, g_get_prgname ());
      return EXIT_USAGE;
    }

  if (options->help || options->version)
    {
      g_print ("%s", options->help ? options->help_text
                                   : "afork-thumbnailer " THUMBNAILER_VERSION "\n");
      return standard_output_check (EXIT_SUCCESS);
    }

  status = run_with_options (options, &error);
  if (error != NULL)
    g_printerr ("%s: %s\n", g_get_prgname (), error->message);

  /* If no process reads the output, this has stopped the program, or came too late. */
  return standard_output_check (status);
}
