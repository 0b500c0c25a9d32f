/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* scroll-pictures FOLDER [kill]
 *
 * The window of `pictures`, which scrolls down and up through all of its pictures until SIGTERM. It
 * begins two seconds after its start. With `kill`, it kills a worker every half second. It is built
 * with the decoder of the program and with others. With the former, it fails if nothing was decoded
 * on the way, or no worker was killed. */

#include <glib-unix.h>

#include "decoder.h"
#include "pool-pane.h"
#include "style.h"
#include "window.h"

#define START_DELAY   2         /* seconds */
#define PASS          20        /* seconds for all pictures, in one direction */
#define KILL_INTERVAL 500       /* milliseconds */
#define MIN_RESULTS   100       /* of a pass */

typedef struct
{
  AForkPool *pool;
  Window    *window;
  gint64     start;             /* the time of the first frame, in microseconds, or 0 */
  int        n_passes;
  gboolean   kills;
  guint64    n_results;
} Scroll;

static guint64
get_count (AForkPool  *pool,
           const char *key)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (pool);
  guint64 count = 0;

  if (!g_variant_lookup (stats, key, "t", &count))
    g_error ("the statistics have no %s", key);
  return count;
}

/* At the end of each pass */
static void
check_pass (Scroll *self)
{
#ifdef HAS_WORKERS
  const guint64 n_results = get_count (self->pool, "results");
  const guint64 n_retried = get_count (self->pool, "retried");

  if (n_results < self->n_results + MIN_RESULTS)
    g_error ("only %" G_GUINT64_FORMAT " pictures were decoded", n_results - self->n_results);
  if (self->kills && n_retried == 0)
    g_error ("no worker was killed");
  self->n_results = n_results;
#else
  if (get_count (self->pool, "accepted") != 0)
    g_error ("the pool has jobs");
#endif
}

static gboolean
scroll_cb (GtkWidget     *widget,
           GdkFrameClock *clock,
           gpointer       data)
{
  Scroll *self = data;
  GtkAdjustment *adjustment = window_get_adjustment (self->window);
  const double range = gtk_adjustment_get_upper (adjustment)
                       - gtk_adjustment_get_page_size (adjustment);
  const gint64 now = gdk_frame_clock_get_frame_time (clock);
  double position;
  int pass;

  if (self->start == 0)
    self->start = now;
  position = (double) (now - self->start) / G_USEC_PER_SEC / PASS;
  pass = (int) position;
  if (pass > self->n_passes)
    check_pass (self);
  self->n_passes = pass;
  position -= pass;
  gtk_adjustment_set_value (adjustment, range * (pass % 2 == 0 ? position : 1 - position));
  return G_SOURCE_CONTINUE;
}

static gboolean
kill_cb (gpointer data)
{
  Scroll *self = data;

  pool_pane_kill_worker (PICTURES_POOL_PANE (window_get_pane (self->window)));
  return G_SOURCE_CONTINUE;
}

static gboolean
begin_cb (gpointer data)
{
  Scroll *self = data;

  gtk_widget_add_tick_callback (GTK_WIDGET (self->window), scroll_cb, self, NULL);
  if (self->kills)
    g_timeout_add (KILL_INTERVAL, kill_cb, self);
  return G_SOURCE_REMOVE;
}

static gboolean
quit_cb (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_CONTINUE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GtkApplication) app = NULL;
  g_autoptr(GMainLoop) loop = NULL;
  g_autoptr(GFile) folder = NULL;
  g_autoptr(GError) error = NULL;
  Scroll self = { .kills = argc > 2 && g_str_equal (argv[2], "kill") };

  if (argc < 2)
    g_error ("usage: scroll-pictures FOLDER [kill]");

  app = style_new_application ("org.example.afork.ScrollPictures");
  if (!g_application_register (G_APPLICATION (app), NULL, &error))
    g_error ("%s", error->message);
  style_load ();
  loop = g_main_loop_new (NULL, FALSE);
  folder = g_file_new_for_path (argv[1]);
  self.pool = decoder_new_pool ("pictures-worker");
  self.window = PICTURES_WINDOW (window_new (app, self.pool, folder));
  /* Without a graphics card, a larger window takes longer than a frame just to be drawn. */
  gtk_window_set_default_size (GTK_WINDOW (self.window), 640, 400);
  gtk_window_present (GTK_WINDOW (self.window));
  g_timeout_add_seconds (START_DELAY, begin_cb, &self);
  g_unix_signal_add (SIGTERM, quit_cb, loop);
  g_main_loop_run (loop);

  gtk_window_destroy (GTK_WINDOW (self.window));
  afork_pool_shutdown (self.pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, NULL);
  g_object_unref (self.pool);
  return 0;
}
