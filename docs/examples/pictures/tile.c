/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "tile.h"

#define TILE_SIZE 152       /* pixels */

struct _Tile
{
  GtkWidget  parent_instance;
  GtkWidget *thumbnail;
  GtkWidget *broken;
  GtkWidget *cause;
  Picture   *picture;       /* or NULL */
};

G_DEFINE_FINAL_TYPE (Tile, tile, GTK_TYPE_WIDGET)

static void
update (Tile *self)
{
  GdkTexture *texture = self->picture != NULL ? picture_get_texture (self->picture) : NULL;
  const char *problem = self->picture != NULL ? picture_get_problem (self->picture) : NULL;

  gtk_picture_set_paintable (GTK_PICTURE (self->thumbnail), GDK_PAINTABLE (texture));
  gtk_label_set_text (GTK_LABEL (self->cause), problem != NULL ? problem : "");
  gtk_widget_set_visible (self->broken, problem != NULL);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self),
                               problem != NULL ? problem
                               : self->picture != NULL ? picture_get_name (self->picture) : NULL);
}

void
tile_set_picture (Tile    *self,
                  Picture *picture)
{
  if (picture == self->picture)
    return;

  if (picture != NULL)
    {
      g_signal_connect_swapped (picture, "notify", G_CALLBACK (update), self);
      picture_show (picture);
    }
  if (self->picture != NULL)
    {
      g_signal_handlers_disconnect_by_func (self->picture, update, self);
      picture_hide (self->picture);
    }
  g_set_object (&self->picture, picture);
  update (self);
}

Picture *
tile_get_picture (Tile *self)
{
  return self->picture;
}

static void
tile_dispose (GObject *object)
{
  Tile *self = PICTURES_TILE (object);

  if (self->thumbnail != NULL)
    tile_set_picture (self, NULL);
  g_clear_pointer (&self->thumbnail, gtk_widget_unparent);
  g_clear_pointer (&self->broken, gtk_widget_unparent);
  G_OBJECT_CLASS (tile_parent_class)->dispose (object);
}

static void
tile_class_init (TileClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = tile_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_css_name (GTK_WIDGET_CLASS (klass), "tile");
}

static GtkWidget *
new_cause (void)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_wrap (GTK_LABEL (label), TRUE);
  gtk_label_set_wrap_mode (GTK_LABEL (label), PANGO_WRAP_WORD_CHAR);
  gtk_label_set_lines (GTK_LABEL (label), 4);
  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_label_set_justify (GTK_LABEL (label), GTK_JUSTIFY_CENTER);
  gtk_label_set_max_width_chars (GTK_LABEL (label), 16);
  gtk_widget_add_css_class (label, "caption");
  return label;
}

static void
tile_init (Tile *self)
{
  self->thumbnail = gtk_picture_new ();
  gtk_picture_set_content_fit (GTK_PICTURE (self->thumbnail), GTK_CONTENT_FIT_COVER);
  gtk_widget_set_parent (self->thumbnail, GTK_WIDGET (self));

  self->broken = gtk_box_new (GTK_ORIENTATION_VERTICAL, 6);
  self->cause = new_cause ();
  gtk_box_append (GTK_BOX (self->broken), gtk_image_new_from_icon_name ("dialog-error-symbolic"));
  gtk_box_append (GTK_BOX (self->broken), self->cause);
  gtk_widget_set_valign (self->broken, GTK_ALIGN_CENTER);
  gtk_widget_set_visible (self->broken, FALSE);
  gtk_widget_set_parent (self->broken, GTK_WIDGET (self));

  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
  gtk_widget_set_size_request (GTK_WIDGET (self), TILE_SIZE, TILE_SIZE);
}

GtkWidget *
tile_new (void)
{
  return g_object_new (TILE_TYPE, NULL);
}
