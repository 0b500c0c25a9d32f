/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The window of the example program `pictures`, on a display. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "decoder.h"
#include "picture.h"
#include "pictures-util.h"
#include "pool-pane.h"
#include "style.h"
#include "window.h"

static GtkApplication *app;

typedef struct
{
  char      *folder;
  guint      n_files;
  AForkPool *pool;
  Window    *window;
} Fixture;

static gboolean G_GNUC_NORETURN
time_out_cb (gpointer data)
{
  g_error ("%s: this has not come", (const char *) data);
}

static gboolean
tick_cb (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

/* Iterates until CONDITION is true. It is looked at again at each event, and now and then. */
static void
await (gboolean   (*condition) (Fixture *fixture),
       Fixture     *fixture,
       const char  *what)
{
  const guint deadline = g_timeout_add_seconds (120, time_out_cb, (gpointer) what);
  const guint tick = g_timeout_add (20, tick_cb, NULL);

  while (!condition (fixture))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (deadline);
  g_source_remove (tick);
}

#define AWAIT(fixture, condition) await (condition, fixture, #condition)

static Window *
open_window (Fixture *fixture)
{
  g_autoptr(GFile) folder = g_file_new_for_path (fixture->folder);
  Window *window = PICTURES_WINDOW (window_new (app, fixture->pool, folder));

  gtk_window_present (GTK_WINDOW (window));
  return window;
}

static void
set_up (Fixture    *fixture,
        const char *module,
        guint       count)
{
  *fixture = (Fixture) {
    .folder = make_folder (count, MIN (count, 24), 600),
    .n_files = count,
  };
  fixture->pool = decoder_new_pool (module);
}

static gboolean
is_closed (Fixture *fixture)
{
  return fixture->window == NULL;
}

static void
close_window (Fixture *fixture)
{
  g_object_add_weak_pointer (G_OBJECT (fixture->window), (gpointer *) &fixture->window);
  gtk_window_destroy (GTK_WINDOW (fixture->window));
  AWAIT (fixture, is_closed);
}

/* Jobs of a window that is closed are cancelled, and no worker stays. */
static void
tear_down (Fixture *fixture)
{
  g_autoptr(GError) error = NULL;

  close_window (fixture);
  afork_pool_shutdown (fixture->pool, AFORK_SHUTDOWN_MODE_ABORT, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (afork_pool_get_n_workers (fixture->pool), ==, 0);
  g_assert_finalize_object (fixture->pool);
  remove_folder (fixture->folder);
}

static void
add_file (Fixture       *fixture,
          const char    *name,
          gconstpointer  data,
          gsize          size)
{
  g_autofree char *path = g_build_filename (fixture->folder, name, NULL);
  g_autoptr(GError) error = NULL;

  fixture->n_files++;
  g_file_set_contents (path, data, (gssize) size, &error);
  g_assert_no_error (error);
}

static guint64
get_count (Fixture    *fixture,
           const char *key)
{
  g_autoptr(GVariant) stats = afork_pool_get_stats (fixture->pool);
  guint64 count = 0;

  g_assert_true (g_variant_lookup (stats, key, "t", &count));
  return count;
}

/* Counts of pictures with a texture, and with a problem. */

static void
count (Window *window,
       guint  *n_pictures,
       guint  *n_textures,
       guint  *n_problems)
{
  GListModel *pictures = window_get_pictures (window);

  *n_pictures = g_list_model_get_n_items (pictures);
  *n_textures = *n_problems = 0;
  for (guint i = 0; i < *n_pictures; i++)
    {
      g_autoptr(Picture) picture = g_list_model_get_item (pictures, i);

      *n_textures += picture_get_texture (picture) != NULL;
      *n_problems += picture_get_problem (picture) != NULL;
    }
}

static gboolean
is_done (Fixture *fixture)
{
  guint n_pictures, n_textures, n_problems;

  count (fixture->window, &n_pictures, &n_textures, &n_problems);
  return n_pictures == fixture->n_files && n_textures + n_problems == n_pictures;
}

static gboolean
has_begun (Fixture *fixture)
{
  return get_count (fixture, "results") > 0;
}

static gboolean
has_nothing_to_do (Fixture *fixture)
{
  return has_begun (fixture) && afork_pool_get_n_queued (fixture->pool) == 0
    && afork_pool_get_n_running (fixture->pool) == 0;
}

static Picture *
find_picture (Window     *window,
              const char *name)
{
  GListModel *pictures = window_get_pictures (window);

  for (guint i = 0; i < g_list_model_get_n_items (pictures); i++)
    {
      g_autoptr(Picture) picture = g_list_model_get_item (pictures, i);

      if (g_str_equal (picture_get_name (picture), name))
        return picture;
    }
  g_assert_not_reached ();
}

static void
test_all (void)
{
  Fixture fixture;

  set_up (&fixture, "pictures-worker", 60);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, is_done);
  g_assert_cmpuint (get_count (&fixture, "results"), ==, 60);
  take_screenshot (GTK_WIDGET (fixture.window), "pictures.png");
  tear_down (&fixture);
}

/* A crash, a file that is cut short and one that is no picture cost a tile each. */
static void
test_broken (void)
{
  Fixture fixture;
  guint n_pictures, n_textures, n_problems;

  set_up (&fixture, "hostile-pictures-worker", 40);
  add_file (&fixture, "picture-0005x.jpg", "crash", strlen ("crash"));
  add_file (&fixture, "picture-0009x.jpg", "no picture", strlen ("no picture"));
  add_file (&fixture, "picture-0013x.png", "\x89PNG\r\n\x1a\n", 8);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, is_done);

  count (fixture.window, &n_pictures, &n_textures, &n_problems);
  g_assert_cmpuint (n_problems, ==, 3);
  g_assert_cmpuint (n_textures, ==, 40);
  g_assert_nonnull (strstr (picture_get_problem (find_picture (fixture.window,
                                                               "picture-0005x.jpg")),
                            "Segmentation fault"));
  take_screenshot (GTK_WIDGET (fixture.window), "pictures-broken.png");
  tear_down (&fixture);
}

/* Two windows on one folder have the same pool, and one of them is closed first. */
static void
test_shared (void)
{
  Fixture fixture;
  Fixture second;

  set_up (&fixture, "pictures-worker", 60);
  afork_pool_set_max_workers (fixture.pool, 1);
  fixture.window = open_window (&fixture);
  second = fixture;
  second.window = open_window (&second);
  AWAIT (&fixture, is_done);
  AWAIT (&second, is_done);
  close_window (&second);
  tear_down (&fixture);
}

static void
scroll_to (Fixture *fixture,
           double   fraction)
{
  GtkAdjustment *adjustment = window_get_adjustment (fixture->window);
  const double range = gtk_adjustment_get_upper (adjustment)
                       - gtk_adjustment_get_page_size (adjustment);

  gtk_adjustment_set_value (adjustment, range * fraction);
}

static gboolean
is_listed (Fixture *fixture)
{
  return g_list_model_get_n_items (window_get_pictures (fixture->window)) == fixture->n_files;
}

/* What was scrolled away is not decoded. The grid keeps the first picture, which has the focus. */
static void
test_scrolled_away (void)
{
  Fixture fixture;

  set_up (&fixture, "pictures-worker", 3000);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, is_listed);
  AWAIT (&fixture, has_begun);
  scroll_to (&fixture, 1);
  AWAIT (&fixture, has_nothing_to_do);
  g_assert_cmpuint (get_count (&fixture, "cancelled"), >, 0);
  g_assert_cmpuint (get_count (&fixture, "results"), <, 1000);
  g_assert_nonnull (picture_get_texture (find_picture (fixture.window, "picture-2999.jpg")));
  g_assert_null (picture_get_texture (find_picture (fixture.window, "picture-0050.jpg")));
  tear_down (&fixture);
}

/* Full size, with progress. */

static void
count_cb (guint *n)
{
  ++*n;
}

static GdkPaintable *
find_full_paintable (GtkWidget *widget)
{
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL;
       child = gtk_widget_get_next_sibling (child))
    {
      GdkPaintable *found = GTK_IS_PICTURE (child) && gtk_widget_get_mapped (child)
                            ? gtk_picture_get_paintable (GTK_PICTURE (child))
                            : find_full_paintable (child);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static gboolean
is_full (Fixture *fixture)
{
  GdkPaintable *paintable = find_full_paintable (GTK_WIDGET (fixture->window));

  return paintable != NULL && gdk_paintable_get_intrinsic_width (paintable) == 600;
}

static GtkWidget *
find_progress_bar (GtkWidget *widget)
{
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child != NULL;
       child = gtk_widget_get_next_sibling (child))
    {
      GtkWidget *found = GTK_IS_PROGRESS_BAR (child) ? child : find_progress_bar (child);

      if (found != NULL)
        return found;
    }
  return NULL;
}

static void
test_full_size (void)
{
  Fixture fixture;
  guint n_steps = 0;

  set_up (&fixture, "pictures-worker", 20);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, is_done);
  g_assert_false (is_full (&fixture));
  g_signal_connect_swapped (find_progress_bar (GTK_WIDGET (fixture.window)), "notify::fraction",
                            G_CALLBACK (count_cb), &n_steps);
  window_open_picture (fixture.window, 3);
  AWAIT (&fixture, is_full);
  g_assert_cmpuint (n_steps, >, 0);
  take_screenshot (GTK_WIDGET (fixture.window), "pictures-full.png");
  window_go_back (fixture.window);
  tear_down (&fixture);
}

/* The buttons */

static void
test_kill (void)
{
  Fixture fixture;
  guint n_pictures, n_textures, n_problems;

  set_up (&fixture, "pictures-worker", 120);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, has_begun);
  for (int i = 0; i < 4; i++)
    pool_pane_kill_worker (PICTURES_POOL_PANE (window_get_pane (fixture.window)));
  AWAIT (&fixture, is_done);
  count (fixture.window, &n_pictures, &n_textures, &n_problems);
  g_assert_cmpuint (n_problems, ==, 0);
  tear_down (&fixture);
}

static gboolean
has_timed_out (Fixture *fixture)
{
  return get_count (fixture, "timed-out") == 1;
}

static void
test_hang (void)
{
  Fixture fixture;
  guint n_pictures, n_textures, n_problems;

  set_up (&fixture, "pictures-worker", 60);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, has_begun);
  pool_pane_hang_worker (PICTURES_POOL_PANE (window_get_pane (fixture.window)));
  AWAIT (&fixture, is_done);
  AWAIT (&fixture, has_timed_out);
  count (fixture.window, &n_pictures, &n_textures, &n_problems);
  g_assert_cmpuint (n_problems, ==, 0);
  tear_down (&fixture);
}

/* Pictures come before what floods the queue. */
static void
test_flood (void)
{
  Fixture fixture;

  set_up (&fixture, "pictures-worker", 60);
  fixture.window = open_window (&fixture);
  pool_pane_flood_queue (PICTURES_POOL_PANE (window_get_pane (fixture.window)));
  AWAIT (&fixture, is_done);
  g_assert_cmpuint (afork_pool_get_n_queued (fixture.pool), >, 1000);
  take_screenshot (GTK_WIDGET (fixture.window), "pictures-flood.png");
  tear_down (&fixture);
}

/* Three passes through 5,000 pictures, each of which is decoded in each pass, while workers are
 * killed. The first pass fills what is kept for later. After that, no memory and no descriptor may
 * stay. */

#define N_PASSES       3
#define N_STEPS        100
#define KILL_INTERVAL  40               /* pictures, so that none is hit twice in a row */
#define MAX_GROWTH     (8 * 1024)       /* KiB */

typedef struct
{
  guint64 memory;       /* KiB */
  guint   n_fds;
} Usage;

static guint
count_fds (void)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static Usage
measure (void)
{
  Usage usage = { 0, count_fds () };
  g_autofree char *status = NULL;
  g_auto(GStrv) lines = NULL;

  malloc_trim (0);
  g_assert_true (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
  lines = g_strsplit (status, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "RssAnon:") || g_str_has_prefix (*line, "RssShmem:"))
      usage.memory += g_ascii_strtoull (strchr (*line, ':') + 1, NULL, 10);
  g_assert_cmpuint (usage.memory, >, 0);
  return usage;
}

/* Scrolls through all pictures. Returns how many workers it has killed. */
static guint
pass (Fixture *fixture)
{
  guint64 last_kill = get_count (fixture, "results");
  guint n_kills = 0;

  for (int i = 0; i <= N_STEPS; i++)
    {
      guint n_pictures, n_textures, n_problems;

      scroll_to (fixture, (double) i / N_STEPS);
      if (get_count (fixture, "results") >= last_kill + KILL_INTERVAL)
        {
          last_kill = get_count (fixture, "results");
          pool_pane_kill_worker (PICTURES_POOL_PANE (window_get_pane (fixture->window)));
          n_kills++;
        }
      AWAIT (fixture, has_nothing_to_do);
      count (fixture->window, &n_pictures, &n_textures, &n_problems);
      g_assert_cmpuint (n_problems, ==, 0);
      g_assert_cmpuint (n_textures, >, 0);
      g_assert_cmpuint (n_textures, <, 1000);
    }
  return n_kills;
}

static void
test_passes (void)
{
  Fixture fixture;
  Usage usages[N_PASSES];
  guint64 n_results = 0;

  set_up (&fixture, "pictures-worker", 5000);
  fixture.window = open_window (&fixture);
  AWAIT (&fixture, is_listed);
  for (int i = 0; i < N_PASSES; i++)
    {
      const guint n_kills = pass (&fixture);

      g_assert_cmpuint (n_kills, >, 10);
      g_assert_cmpuint (get_count (&fixture, "results"), >=, n_results + 4000);
      n_results = get_count (&fixture, "results");
      usages[i] = measure ();
      g_test_message ("pass %d: %" G_GUINT64_FORMAT " KiB, %u descriptors, %u workers killed",
                      i + 1, usages[i].memory, usages[i].n_fds, n_kills);
    }
  g_assert_cmpuint (usages[2].memory, <=, usages[0].memory + MAX_GROWTH);
  g_assert_cmpuint (usages[2].n_fds, <=, usages[0].n_fds + 8);
  tear_down (&fixture);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  app = style_new_application ("org.example.afork.TestPictures");
  g_application_register (G_APPLICATION (app), NULL, &error);
  g_assert_no_error (error);
  style_load ();

  g_test_add_func ("/pictures/all", test_all);
  g_test_add_func ("/pictures/broken", test_broken);
  g_test_add_func ("/pictures/shared", test_shared);
  g_test_add_func ("/pictures/scrolled-away", test_scrolled_away);
  g_test_add_func ("/pictures/full-size", test_full_size);
  g_test_add_func ("/pictures/kill", test_kill);
  g_test_add_func ("/pictures/hang", test_hang);
  g_test_add_func ("/pictures/flood", test_flood);
  g_test_add_func ("/pictures/passes", test_passes);
  status = g_test_run ();
  g_object_unref (app);
  return status;
}
