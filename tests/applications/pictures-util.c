/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "pictures-util.h"

#include <glib/gstdio.h>

char *
make_folder (guint count,
             guint distinct,
             guint width)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp ("afork-pictures-XXXXXX", &error);
  g_autofree char *program = g_test_build_filename (G_TEST_BUILT, "make-pictures", NULL);
  g_autofree char *counted = g_strdup_printf ("%u", count);
  g_autofree char *drawn = g_strdup_printf ("%u", distinct);
  g_autofree char *wide = g_strdup_printf ("%u", width);
  const char *argv[] = { program, folder, counted, drawn, wide, NULL };
  int status;

  g_assert_no_error (error);
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  return folder;
}

void
remove_folder (char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_unlink (path);
    }
  g_rmdir (folder);
  g_free (folder);
}

static void
set_cb (gboolean *flag)
{
  *flag = TRUE;
}

/* Returns what WINDOW shows after the next frame, or NULL if it was not drawn in this frame. */
static GskRenderNode *
draw_frame (GtkWidget *window)
{
  GdkFrameClock *clock = gtk_widget_get_frame_clock (window);
  g_autoptr(GdkPaintable) paintable = NULL;
  GtkSnapshot *snapshot = gtk_snapshot_new ();
  gboolean painted = FALSE;
  const gulong id =
    g_signal_connect_swapped (clock, "after-paint", G_CALLBACK (set_cb), &painted);

  gtk_widget_queue_draw (window);
  while (!painted)
    g_main_context_iteration (NULL, TRUE);
  g_signal_handler_disconnect (clock, id);

  paintable = gtk_widget_paintable_new (window);
  gdk_paintable_snapshot (paintable, snapshot, gtk_widget_get_width (window),
                          gtk_widget_get_height (window));
  return gtk_snapshot_free_to_node (snapshot);
}

void
take_screenshot (GtkWidget  *window,
                 const char *name)
{
  g_autoptr(GskRenderNode) node = NULL;
  g_autoptr(GdkTexture) texture = NULL;
  g_autofree char *path = g_test_build_filename (G_TEST_BUILT, name, NULL);

  while (node == NULL)
    node = draw_frame (window);
  texture = gsk_renderer_render_texture (gtk_native_get_renderer (GTK_NATIVE (window)), node,
                                         NULL);
  g_assert_true (gdk_texture_save_to_png (texture, path));
}
