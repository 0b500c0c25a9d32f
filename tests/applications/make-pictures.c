/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* make-pictures FOLDER COUNT DISTINCT WIDTH
 *
 * Draws pictures and saves them as JPEG files of WIDTH pixels, the first DISTINCT of COUNT. The
 * others are links to these. Files that are there already stay. */

#include <gdk-pixbuf/gdk-pixbuf.h>
#include <glib/gstdio.h>
#include <gtk/gtk.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct
{
  cairo_t *cr;
  GRand   *random;
  double   width;
  double   height;
  double   hue;
} Canvas;

static double
vary (Canvas *canvas,
      double  from,
      double  to)
{
  return g_rand_double_range (canvas->random, from, to);
}

static void
get_color (double hue,
           double saturation,
           double value,
           float  rgb[3])
{
  gtk_hsv_to_rgb ((float) (hue - floor (hue)), (float) saturation, (float) value,
                  &rgb[0], &rgb[1], &rgb[2]);
}

static void
set_color (Canvas *canvas,
           double  hue,
           double  saturation,
           double  value,
           double  alpha)
{
  float rgb[3];

  get_color (hue, saturation, value, rgb);
  cairo_set_source_rgba (canvas->cr, rgb[0], rgb[1], rgb[2], alpha);
}

static void
draw_sky (Canvas *canvas)
{
  cairo_pattern_t *sky = cairo_pattern_create_linear (0, 0, 0, canvas->height);
  float top[3], bottom[3];

  get_color (canvas->hue + vary (canvas, 0.05, 0.15), 0.7, vary (canvas, 0.3, 0.6), top);
  get_color (canvas->hue, 0.45, 0.98, bottom);
  cairo_pattern_add_color_stop_rgb (sky, 0, top[0], top[1], top[2]);
  cairo_pattern_add_color_stop_rgb (sky, 0.75, bottom[0], bottom[1], bottom[2]);
  cairo_set_source (canvas->cr, sky);
  cairo_paint (canvas->cr);
  cairo_pattern_destroy (sky);
}

static void
draw_disc (Canvas *canvas,
           double  x,
           double  y,
           double  radius)
{
  cairo_arc (canvas->cr, x, y, radius, 0, 2 * G_PI);
  cairo_fill (canvas->cr);
}

static void
draw_hill (Canvas *canvas,
           double  base,
           double  amplitude)
{
  const double phase = vary (canvas, 0, 6), wave = vary (canvas, 1.5, 4);

  cairo_move_to (canvas->cr, 0, canvas->height);
  for (double x = 0; x <= canvas->width; x += 4)
    {
      const double t = x / canvas->width * wave;

      cairo_line_to (canvas->cr, x,
                     base - amplitude * (sin (t * 2 + phase) + 0.4 * sin (t * 5 + phase * 3)
                                         + 0.12 * sin (t * 17 + phase * 5)));
    }
  cairo_line_to (canvas->cr, canvas->width, canvas->height);
  cairo_fill (canvas->cr);
}

static void
draw_hills (Canvas *canvas)
{
  draw_sky (canvas);
  set_color (canvas, canvas->hue + 0.05, 0.2, 1, 0.9);
  draw_disc (canvas, canvas->width * vary (canvas, 0.2, 0.8),
             canvas->height * vary (canvas, 0.2, 0.45),
             canvas->height * vary (canvas, 0.05, 0.12));
  for (int i = 0; i < 6; i++)
    {
      set_color (canvas, canvas->hue + 0.03 * i, 0.3 + 0.08 * i, 0.75 - 0.11 * i, 1);
      draw_hill (canvas, canvas->height * (0.5 + 0.09 * i), canvas->height * 0.07);
    }
}

static void
draw_bubbles (Canvas *canvas)
{
  draw_sky (canvas);
  for (int i = 0; i < 90; i++)
    {
      set_color (canvas, canvas->hue + vary (canvas, 0, 0.25), vary (canvas, 0.3, 0.9),
                 vary (canvas, 0.6, 1), vary (canvas, 0.15, 0.6));
      draw_disc (canvas, canvas->width * vary (canvas, 0, 1), canvas->height * vary (canvas, 0, 1),
                 canvas->height * vary (canvas, 0.01, 0.14));
    }
}

static void
draw_flower (Canvas *canvas)
{
  const int n_petals = 5 + (int) vary (canvas, 0, 8);

  draw_sky (canvas);
  cairo_translate (canvas->cr, canvas->width * vary (canvas, 0.35, 0.65), canvas->height / 2);
  for (int ring = 4; ring > 0; ring--)
    for (int i = 0; i < n_petals; i++)
      {
        cairo_save (canvas->cr);
        cairo_rotate (canvas->cr, 2 * G_PI * i / n_petals + ring * 0.35);
        cairo_scale (canvas->cr, 1, 0.42);
        set_color (canvas, canvas->hue + 0.5 + 0.04 * ring, 0.75 - 0.1 * ring, 0.95, 0.75);
        draw_disc (canvas, canvas->height * 0.1 * ring, 0, canvas->height * 0.095 * ring);
        cairo_restore (canvas->cr);
      }
  set_color (canvas, 0.13, 0.8, 0.95, 1);
  draw_disc (canvas, 0, 0, canvas->height * 0.07);
}

static void
draw_glass (Canvas *canvas)
{
  const int columns = 6 + (int) vary (canvas, 0, 6);
  const double side = canvas->width / columns;

  for (double y = 0; y < canvas->height; y += side)
    for (double x = 0; x < canvas->width; x += side)
      for (int half = 0; half < 2; half++)
        {
          set_color (canvas, canvas->hue + vary (canvas, 0, 0.3), vary (canvas, 0.4, 0.8),
                     vary (canvas, 0.5, 1), 1);
          cairo_move_to (canvas->cr, x, y);
          cairo_line_to (canvas->cr, x + (half ? side : 0), y + (half ? 0 : side));
          cairo_line_to (canvas->cr, x + side, y + side);
          cairo_fill (canvas->cr);
        }
}

static void
draw (guint       seed,
      int         width,
      int         height,
      const char *path)
{
  static void (*const kinds[]) (Canvas *) = { draw_hills, draw_bubbles, draw_hills, draw_flower,
                                              draw_glass };
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);
  Canvas canvas = { cairo_create (surface), random, width, height, seed * 0.381966 };
  g_autoptr(GdkPixbuf) pixbuf = NULL;
  g_autoptr(GError) error = NULL;

  kinds[seed % G_N_ELEMENTS (kinds)] (&canvas);
  pixbuf = gdk_pixbuf_get_from_surface (surface, 0, 0, width, height);
  if (!gdk_pixbuf_save (pixbuf, path, "jpeg", &error, "quality", "90", NULL))
    g_error ("%s", error->message);
  cairo_destroy (canvas.cr);
  cairo_surface_destroy (surface);
}

int
main (int    argc,
      char **argv)
{
  if (argc != 5)
    g_error ("usage: make-pictures FOLDER COUNT DISTINCT WIDTH");

  g_mkdir_with_parents (argv[1], 0700);
  for (int i = 0; i < atoi (argv[2]); i++)
    {
      const int n_distinct = atoi (argv[3]), width = atoi (argv[4]);
      g_autofree char *path = g_strdup_printf ("%s/picture-%04d.jpg", argv[1], i);
      g_autofree char *first = g_strdup_printf ("%s/picture-%04d.jpg", argv[1], i % n_distinct);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        continue;
      if (i < n_distinct)
        draw ((guint) i, width, width * 2 / 3, path);
      else if (link (first, path) != 0)
        g_error ("%s cannot be linked", path);
    }
  return 0;
}
