/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include "picture-load.h"
#include "png-save.h"
#include "sheet-label.h"
#include "sheet-layout.h"

#define BACKGROUND  0x1b1b1fff
#define MOUNT       0x26262bff   /* behind a picture that does not fill its box, or is
                                  * transparent */
#define MAX_ASPECT  3.0
#define MAX_ENLARGE 1.25

/* The width and height have a fixed position in a PNG file. */
static double
read_aspect (WorkFile *file)
{
  guint32 size[2];

  if (work_file_peek (file, 16, size, sizeof size) != sizeof size || size[0] == 0 || size[1] == 0)
    return 1;

  return CLAMP ((double) GUINT32_FROM_BE (size[0]) / GUINT32_FROM_BE (size[1]),
                1 / MAX_ASPECT, MAX_ASPECT);
}

static SheetBox *
measure (WorkFile *thumbnails,
         guint     n_thumbnails)
{
  SheetBox *boxes = g_new0 (SheetBox, n_thumbnails);

  for (guint i = 0; i < n_thumbnails; i++)
    boxes[i].aspect = read_aspect (&thumbnails[i]);

  return boxes;
}

static void
draw_centred (GdkPixbuf      *sheet,
              const SheetBox *box,
              GdkPixbuf      *picture)
{
  double x_scale = (double) box->width / gdk_pixbuf_get_width (picture);
  double y_scale = (double) box->height / gdk_pixbuf_get_height (picture);
  double scale = MIN (MIN (x_scale, y_scale), MAX_ENLARGE);
  int width = CLAMP (gdk_pixbuf_get_width (picture) * scale + 0.5, 1, box->width);
  int height = CLAMP (gdk_pixbuf_get_height (picture) * scale + 0.5, 1, box->height);
  int x = box->x + (box->width - width) / 2;
  int y = box->y + (box->height - height) / 2;

  gdk_pixbuf_composite (picture, sheet, x, y, width, height, x, y,
                        (double) width / gdk_pixbuf_get_width (picture),
                        (double) height / gdk_pixbuf_get_height (picture),
                        GDK_INTERP_BILINEAR, 255);
}

/* A thumbnail that cannot be read leaves its box empty. */
static void
draw_thumbnail (GdkPixbuf      *sheet,
                const SheetBox *box,
                WorkFile       *file)
{
  g_autoptr(GdkPixbuf) mount =
    gdk_pixbuf_new_subpixbuf (sheet, box->x, box->y, box->width, box->height);
  const int bound = 2 * MAX (box->width, box->height);
  g_autoptr(LoadedPicture) picture = picture_load (file, "thumbnail.png", bound, NULL, NULL, NULL);

  gdk_pixbuf_fill (mount, MOUNT);
  if (picture != NULL)
    draw_centred (sheet, box, picture->pixbuf);
}

static GdkPixbuf *
draw_sheet (WorkFile           *thumbnails,
            const char * const *names,
            guint               n_thumbnails,
            int                 row_height)
{
  g_autofree SheetBox *boxes = measure (thumbnails, n_thumbnails);
  g_autoptr(SheetLabel) label = sheet_label_new (row_height);
  GdkPixbuf *sheet;
  int width, height;

  sheet_layout (boxes, n_thumbnails, row_height, sheet_label_get_height (label), &width, &height);
  sheet = gdk_pixbuf_new (GDK_COLORSPACE_RGB, FALSE, 8, width, height);
  gdk_pixbuf_fill (sheet, BACKGROUND);
  for (guint i = 0; i < n_thumbnails; i++)
    {
      draw_thumbnail (sheet, &boxes[i], &thumbnails[i]);
      sheet_label_draw (label, sheet, &boxes[i], names[i]);
    }

  return sheet;
}

GVariant *
contact_sheet (WorkFile  *files,
               guint      n_files,
               GVariant  *args,
               GError   **error)
{
  g_autoptr(GdkPixbuf) sheet = NULL;
  g_autoptr(GVariant) keys = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  g_autofree const char **names = NULL;
  guint row_height;

  g_variant_get (args, "(hu^a&s@a{ss})", NULL, &row_height, &names, &keys);
  if (g_strv_length ((char **) names) != n_files - 1)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                           "A contact sheet needs a name for each thumbnail");
      return NULL;
    }

  sheet = draw_sheet (files + 1, names, n_files - 1, (int) row_height);
  texts = png_texts_new (keys);
  if (!png_save (&files[0], sheet, texts, error))
    return NULL;

  return g_variant_new ("(ii)", gdk_pixbuf_get_width (sheet), gdk_pixbuf_get_height (sheet));
}
