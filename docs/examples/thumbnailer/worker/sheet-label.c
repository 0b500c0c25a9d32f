/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "sheet-label.h"

#include <pango/pangocairo.h>

#define COLOR        0xb4   /* gray */
#define GAP          2      /* pixels above and below a name */
#define MIN_SIZE     10     /* pixels, of the font */
#define MAX_SIZE     14
#define ROW_TO_SIZE  10     /* a row is so many times as high as the font, between these two */

struct _SheetLabel
{
  PangoLayout *layout;
  int          height;      /* of a line, in pixels */
  int          baseline;    /* units of Pango below the upper end of the line */
};

static void
set_font (PangoLayout *layout,
          int          pixels)
{
  PangoFontDescription *font = pango_font_description_from_string ("Sans");

  pango_font_description_set_absolute_size (font, (double) pixels * PANGO_SCALE);
  pango_layout_set_font_description (layout, font);
  pango_font_description_free (font);
}

/* A name may have a line break in it. */
SheetLabel *
sheet_label_new (int row_height)
{
  SheetLabel *self = g_new0 (SheetLabel, 1);
  PangoContext *context = pango_font_map_create_context (pango_cairo_font_map_get_default ());

  pango_context_set_round_glyph_positions (context, FALSE);
  self->layout = pango_layout_new (context);
  g_object_unref (context);
  set_font (self->layout, CLAMP (row_height / ROW_TO_SIZE, MIN_SIZE, MAX_SIZE));
  pango_layout_set_alignment (self->layout, PANGO_ALIGN_CENTER);
  pango_layout_set_ellipsize (self->layout, PANGO_ELLIPSIZE_MIDDLE);
  pango_layout_set_single_paragraph_mode (self->layout, TRUE);

  pango_layout_set_text (self->layout, "Åg", -1);
  pango_layout_get_pixel_size (self->layout, NULL, &self->height);
  self->baseline = pango_layout_get_baseline (self->layout);
  return self;
}

void
sheet_label_free (SheetLabel *self)
{
  g_object_unref (self->layout);
  g_free (self);
}

int
sheet_label_get_height (SheetLabel *self)
{
  return self->height + 2 * GAP;
}

/* Returns how much of each pixel the text covers. All names of a row have the same baseline. */
static cairo_surface_t *
draw_mask (SheetLabel *self,
           int         width)
{
  cairo_surface_t *mask = cairo_image_surface_create (CAIRO_FORMAT_A8, width, self->height);
  cairo_t *cr = cairo_create (mask);
  const int shift = self->baseline - pango_layout_get_baseline (self->layout);

  cairo_translate (cr, 0, (double) shift / PANGO_SCALE);
  pango_cairo_show_layout (cr, self->layout);
  cairo_destroy (cr);
  cairo_surface_flush (mask);
  return mask;
}

static void
blend (GdkPixbuf       *sheet,
       int              x,
       int              y,
       cairo_surface_t *mask)
{
  const int width = cairo_image_surface_get_width (mask);
  const int n_channels = gdk_pixbuf_get_n_channels (sheet);
  const int rowstride = gdk_pixbuf_get_rowstride (sheet);
  guint8 *row = gdk_pixbuf_get_pixels (sheet) + y * rowstride + x * n_channels;
  const guint8 *cover = cairo_image_surface_get_data (mask);

  for (int i = 0; i < cairo_image_surface_get_height (mask); i++)
    {
      for (int j = 0; j < width * n_channels; j++)
        row[j] = (guint8) (row[j] + (COLOR - row[j]) * cover[j / n_channels] / 255);
      row += rowstride;
      cover += cairo_image_surface_get_stride (mask);
    }
}

void
sheet_label_draw (SheetLabel     *self,
                  GdkPixbuf      *sheet,
                  const SheetBox *box,
                  const char     *name)
{
  cairo_surface_t *mask;

  pango_layout_set_text (self->layout, name, -1);
  pango_layout_set_width (self->layout, box->width * PANGO_SCALE);
  mask = draw_mask (self, box->width);
  if (cairo_surface_status (mask) == CAIRO_STATUS_SUCCESS)
    blend (sheet, box->x, box->y + box->height + GAP, mask);
  cairo_surface_destroy (mask);
}
