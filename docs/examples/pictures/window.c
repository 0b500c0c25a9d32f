/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "window.h"

#include "picture.h"
#include "pool-pane.h"
#include "tile.h"
#include "viewer.h"

#define VISIBLE_PRIORITY 1

struct _Window
{
  GtkApplicationWindow  parent_instance;
  AForkPool            *pool;
  GListModel           *pictures;
  GPtrArray            *tiles;          /* those that the view has now, of Tile */
  guint                 tick_id;        /* 0 if nothing was scrolled since the last frame */
  GtkWidget            *title;
  GtkWidget            *back;
  GtkWidget            *stack;
  GtkWidget            *scrolled;
  GtkWidget            *viewer;
  GtkWidget            *pane;
};

G_DEFINE_FINAL_TYPE (Window, window, GTK_TYPE_APPLICATION_WINDOW)

/* Visible pictures first. The view also has rows above and below, so that they are there when they
 * are scrolled into view. */

static gboolean
is_visible (Window    *self,
            GtkWidget *tile)
{
  graphene_rect_t bounds;

  return gtk_widget_get_mapped (tile)
    && gtk_widget_compute_bounds (tile, self->scrolled, &bounds)
    && bounds.origin.y < (float) gtk_widget_get_height (self->scrolled)
    && bounds.origin.y + bounds.size.height > 0;
}

static gboolean
set_priorities_cb (GtkWidget     *widget,
                   GdkFrameClock *clock,
                   gpointer       user_data)
{
  Window *self = PICTURES_WINDOW (widget);

  self->tick_id = 0;
  for (guint i = 0; i < self->tiles->len; i++)
    {
      Tile *tile = g_ptr_array_index (self->tiles, i);
      Picture *picture = tile_get_picture (tile);

      if (picture != NULL)
        picture_set_priority (picture,
                              is_visible (self, GTK_WIDGET (tile)) ? VISIBLE_PRIORITY : 0);
    }
  return G_SOURCE_REMOVE;
}

static void
queue_priorities (Window *self)
{
  if (self->tick_id == 0)
    self->tick_id = gtk_widget_add_tick_callback (GTK_WIDGET (self), set_priorities_cb, NULL, NULL);
}

/* The grid makes a few hundred tiles, and binds them to the pictures that are scrolled to. */

static void
setup_cb (GtkListItemFactory *factory,
          GtkListItem        *item,
          Window             *self)
{
  GtkWidget *tile = tile_new ();

  g_ptr_array_add (self->tiles, tile);
  gtk_list_item_set_child (item, tile);
}

static void
bind_cb (GtkListItemFactory *factory,
         GtkListItem        *item,
         Window             *self)
{
  tile_set_picture (PICTURES_TILE (gtk_list_item_get_child (item)),
                    gtk_list_item_get_item (item));
  queue_priorities (self);
}

static void
unbind_cb (GtkListItemFactory *factory,
           GtkListItem        *item,
           Window             *self)
{
  tile_set_picture (PICTURES_TILE (gtk_list_item_get_child (item)), NULL);
}

static void
teardown_cb (GtkListItemFactory *factory,
             GtkListItem        *item,
             Window             *self)
{
  g_ptr_array_remove_fast (self->tiles, gtk_list_item_get_child (item));
  gtk_list_item_set_child (item, NULL);
}

/* The model: the files of the folder, those of them that are pictures, in the order of their names,
 * and an object for each that is on the screen. */

static gboolean
is_picture (gpointer item,
            gpointer user_data)
{
  const char *type =
    g_file_info_get_attribute_string (item, G_FILE_ATTRIBUTE_STANDARD_FAST_CONTENT_TYPE);

  return type != NULL && g_str_has_prefix (type, "image/");
}

static int
compare_names (gconstpointer a,
               gconstpointer b,
               gpointer      user_data)
{
  return g_strcmp0 (g_file_info_get_display_name ((GFileInfo *) a),
                    g_file_info_get_display_name ((GFileInfo *) b));
}

static gpointer
map_to_picture (gpointer item,
                gpointer user_data)
{
  g_autoptr(GFileInfo) info = item;
  GObject *file = g_file_info_get_attribute_object (info, "standard::file");

  return picture_new (user_data, G_FILE (file), g_file_info_get_display_name (info));
}

static GListModel *
new_pictures (AForkPool *pool,
              GFile     *folder)
{
  GListModel *files =
    G_LIST_MODEL (gtk_directory_list_new (G_FILE_ATTRIBUTE_STANDARD_NAME ","
                                          G_FILE_ATTRIBUTE_STANDARD_DISPLAY_NAME ","
                                          G_FILE_ATTRIBUTE_STANDARD_FAST_CONTENT_TYPE, folder));
  GtkFilter *filter = GTK_FILTER (gtk_custom_filter_new (is_picture, NULL, NULL));
  GListModel *found = G_LIST_MODEL (gtk_filter_list_model_new (files, filter));
  GtkSorter *sorter = GTK_SORTER (gtk_custom_sorter_new (compare_names, NULL, NULL));
  GListModel *sorted = G_LIST_MODEL (gtk_sort_list_model_new (found, sorter));

  return G_LIST_MODEL (gtk_map_list_model_new (sorted, map_to_picture, g_object_ref (pool),
                                               g_object_unref));
}

static void
update_title (Window *self)
{
  g_autofree char *text =
    g_strdup_printf ("%'u pictures", g_list_model_get_n_items (self->pictures));

  gtk_label_set_text (GTK_LABEL (self->title), text);
}

/* One picture */

void
window_open_picture (Window *self,
                     guint   position)
{
  g_autoptr(Picture) picture = g_list_model_get_item (self->pictures, position);

  viewer_show (PICTURES_VIEWER (self->viewer), picture);
  gtk_label_set_text (GTK_LABEL (self->title), picture_get_name (picture));
  gtk_stack_set_visible_child (GTK_STACK (self->stack), self->viewer);
  gtk_widget_set_visible (self->back, TRUE);
}

void
window_go_back (Window *self)
{
  viewer_show (PICTURES_VIEWER (self->viewer), NULL);
  update_title (self);
  gtk_stack_set_visible_child (GTK_STACK (self->stack), self->scrolled);
  gtk_widget_set_visible (self->back, FALSE);
}

/* The window */

static void
window_dispose (GObject *object)
{
  Window *self = PICTURES_WINDOW (object);

  if (self->pictures != NULL)
    g_signal_handlers_disconnect_by_data (self->pictures, self);
  G_OBJECT_CLASS (window_parent_class)->dispose (object);
  g_clear_object (&self->pictures);
  g_clear_object (&self->pool);
  g_clear_pointer (&self->tiles, g_ptr_array_unref);
}

static void
window_class_init (WindowClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = window_dispose;
}

static void
window_init (Window *self)
{
  self->tiles = g_ptr_array_new ();
}

static GtkWidget *
new_header (Window *self)
{
  GtkWidget *header = gtk_header_bar_new ();

  self->title = gtk_label_new (NULL);
  gtk_widget_add_css_class (self->title, "title");
  gtk_header_bar_set_title_widget (GTK_HEADER_BAR (header), self->title);

  self->back = gtk_button_new_from_icon_name ("go-previous-symbolic");
  gtk_widget_set_visible (self->back, FALSE);
  g_signal_connect_swapped (self->back, "clicked", G_CALLBACK (window_go_back), self);
  gtk_header_bar_pack_start (GTK_HEADER_BAR (header), self->back);
  return header;
}

static GtkWidget *
new_grid (Window *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  GtkSelectionModel *selection =
    GTK_SELECTION_MODEL (gtk_no_selection_new (g_object_ref (self->pictures)));
  GtkWidget *grid = gtk_grid_view_new (selection, factory);
  GtkWidget *scrolled = gtk_scrolled_window_new ();

  g_signal_connect (factory, "setup", G_CALLBACK (setup_cb), self);
  g_signal_connect (factory, "bind", G_CALLBACK (bind_cb), self);
  g_signal_connect (factory, "unbind", G_CALLBACK (unbind_cb), self);
  g_signal_connect (factory, "teardown", G_CALLBACK (teardown_cb), self);
  g_signal_connect_swapped (grid, "activate", G_CALLBACK (window_open_picture), self);
  gtk_grid_view_set_max_columns (GTK_GRID_VIEW (grid), 12);
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (scrolled), grid);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (scrolled), GTK_POLICY_NEVER,
                                  GTK_POLICY_AUTOMATIC);
  gtk_widget_set_hexpand (scrolled, TRUE);
  g_signal_connect_swapped (gtk_scrolled_window_get_vadjustment (GTK_SCROLLED_WINDOW (scrolled)),
                            "value-changed", G_CALLBACK (queue_priorities), self);
  return scrolled;
}

static GtkWidget *
new_contents (Window *self)
{
  GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 0);

  self->scrolled = new_grid (self);
  self->viewer = viewer_new (self->pool);
  self->pane = pool_pane_new (self->pool);
  self->stack = gtk_stack_new ();
  gtk_stack_add_child (GTK_STACK (self->stack), self->scrolled);
  gtk_stack_add_child (GTK_STACK (self->stack), self->viewer);
  gtk_box_append (GTK_BOX (box), self->stack);
  gtk_box_append (GTK_BOX (box), gtk_separator_new (GTK_ORIENTATION_VERTICAL));
  gtk_box_append (GTK_BOX (box), self->pane);
  return box;
}

GtkWidget *
window_new (GtkApplication *app,
            AForkPool      *pool,
            GFile          *folder)
{
  Window *self = g_object_new (WINDOW_TYPE, "application", app, NULL);

  self->pool = g_object_ref (pool);
  self->pictures = new_pictures (pool, folder);
  gtk_window_set_titlebar (GTK_WINDOW (self), new_header (self));
  gtk_window_set_child (GTK_WINDOW (self), new_contents (self));
  gtk_window_set_default_size (GTK_WINDOW (self), 1200, 760);
  g_signal_connect_swapped (self->pictures, "items-changed", G_CALLBACK (update_title), self);
  update_title (self);
  return GTK_WIDGET (self);
}

GListModel *
window_get_pictures (Window *self)
{
  return self->pictures;
}

GtkAdjustment *
window_get_adjustment (Window *self)
{
  return gtk_scrolled_window_get_vadjustment (GTK_SCROLLED_WINDOW (self->scrolled));
}

GtkWidget *
window_get_pane (Window *self)
{
  return self->pane;
}
