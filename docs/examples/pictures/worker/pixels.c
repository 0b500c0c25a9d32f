/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "pixels.h"

static guint32
multiply (guint32 color,
          guint32 alpha)
{
  return (color * alpha + 127) / 255;
}

static void
convert_row (const guchar *from,
             guint         n_channels,
             guint32      *to,
             int           width)
{
  for (int x = 0; x < width; x++, from += n_channels)
    {
      const guint32 alpha = n_channels == 4 ? from[3] : 255;

      to[x] = alpha << 24
              | multiply (from[0], alpha) << 16
              | multiply (from[1], alpha) << 8
              | multiply (from[2], alpha);
    }
}

GBytes *
pixels_from_pixbuf (GdkPixbuf *pixbuf,
                    gsize     *stride)
{
  const int width = gdk_pixbuf_get_width (pixbuf);
  const int height = gdk_pixbuf_get_height (pixbuf);
  const guint n_channels = (guint) gdk_pixbuf_get_n_channels (pixbuf);
  const guchar *row = gdk_pixbuf_read_pixels (pixbuf);
  guint32 *pixels = g_new (guint32, (gsize) width * (gsize) height);

  for (int y = 0; y < height; y++, row += gdk_pixbuf_get_rowstride (pixbuf))
    convert_row (row, n_channels, pixels + (gsize) y * (gsize) width, width);

  *stride = (gsize) width * sizeof *pixels;
  return g_bytes_new_take (pixels, *stride * (gsize) height);
}
