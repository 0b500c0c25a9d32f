/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture-load.h"

#include "picture-end.h"

#include <errno.h>
#include <unistd.h>

/* A picture of more pixels than this is refused before memory is allocated for it: its pixels alone
 * would take a gigabyte. */
#define MAX_PIXELS (G_GUINT64_CONSTANT (1) << 28)

#define CHUNK_SIZE (64 * 1024)

typedef struct
{
  GdkPixbufLoader *loader;
  PictureEnd       end;
  int              bound;      /* the longest side of the result */
  int              width;      /* from the file; 0 until it was read */
  int              height;
} PictureLoad;

static gboolean
is_too_large (const PictureLoad *load)
{
  return (guint64) load->width * (guint64) load->height > MAX_PIXELS;
}

/* Loaders ask for the size of the result when they know that of the picture, and before they
 * allocate it: some can decode less then, and all stop if the answer is zero. */
static void
size_prepared_cb (GdkPixbufLoader *loader,
                  int              width,
                  int              height,
                  PictureLoad     *load)
{
  int longest = MAX (width, height);

  load->width = width;
  load->height = height;

  if (is_too_large (load))
    gdk_pixbuf_loader_set_size (loader, 0, 0);
  else if (longest > load->bound)
    gdk_pixbuf_loader_set_size (loader,
                                MAX (1, (gint64) width * load->bound / longest),
                                MAX (1, (gint64) height * load->bound / longest));
}

/* Of an animation only the first frame is needed, and it is complete when there is a second. */
static gboolean
is_animation (PictureLoad *load)
{
  GdkPixbufAnimation *animation = gdk_pixbuf_loader_get_animation (load->loader);

  return animation != NULL && !gdk_pixbuf_animation_is_static_image (animation);
}

/* Returns how many bytes the loader got, 0 at the end of the file, or -1. */
static gssize
feed (PictureLoad  *load,
      int           fd,
      GError      **error)
{
  guchar chunk[CHUNK_SIZE];
  gssize n = TEMP_FAILURE_RETRY (read (fd, chunk, sizeof chunk));

  if (n < 0)
    {
      int saved_errno = errno;

      g_set_error_literal (error, G_FILE_ERROR, g_file_error_from_errno (saved_errno),
                           g_strerror (saved_errno));
      return -1;
    }

  picture_end_feed (&load->end, chunk, n);
  return n == 0 || gdk_pixbuf_loader_write (load->loader, chunk, n, error) ? n : -1;
}

static gboolean
feed_all (PictureLoad  *load,
          int           fd,
          GError      **error)
{
  gssize n = feed (load, fd, error);

  if (n == 0)
    {
      g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                           "The file is empty");
      return FALSE;
    }

  while (n > 0 && !is_animation (load))
    n = feed (load, fd, error);

  return n >= 0;
}

static gboolean
finish (PictureLoad  *load,
        GError      **error)
{
  if (is_animation (load))
    {
      gdk_pixbuf_loader_close (load->loader, NULL);   /* warns about the frames that it did not
                                                       * get */
      return TRUE;
    }

  if (picture_end_is_missing (&load->end))
    {
      gdk_pixbuf_loader_close (load->loader, NULL);
      g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                           "The file is cut short");
      return FALSE;
    }

  return gdk_pixbuf_loader_close (load->loader, error);
}

/* Feeds the loader and closes it, which is always necessary before it is freed. */
static GdkPixbuf *
decode (PictureLoad  *load,
        int           fd,
        GError      **error)
{
  GdkPixbuf *pixbuf = NULL;

  if (!feed_all (load, fd, error))
    gdk_pixbuf_loader_close (load->loader, NULL);
  else if (finish (load, error))
    {
      pixbuf = gdk_pixbuf_loader_get_pixbuf (load->loader);
      if (pixbuf == NULL)
        g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                             "There is no picture in the file");
    }

  if (pixbuf == NULL && is_too_large (load))
    {
      g_clear_error (error);
      g_set_error (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY,
                   "%d × %d pixels are too many", load->width, load->height);
    }

  return pixbuf;
}

/* Some loaders ignore the size that was set. */
static GdkPixbuf *
shrink (GdkPixbuf *pixbuf,
        int        bound)
{
  int width = gdk_pixbuf_get_width (pixbuf);
  int height = gdk_pixbuf_get_height (pixbuf);
  int longest = MAX (width, height);

  if (longest <= bound)
    return g_object_ref (pixbuf);

  return gdk_pixbuf_scale_simple (pixbuf,
                                  MAX (1, (gint64) width * bound / longest),
                                  MAX (1, (gint64) height * bound / longest),
                                  GDK_INTERP_BILINEAR);
}

static gboolean
lies_on_its_side (GdkPixbuf *pixbuf)
{
  const char *orientation = gdk_pixbuf_get_option (pixbuf, "orientation");

  return orientation != NULL && orientation[0] >= '5' && orientation[0] <= '8';
}

static char *
get_mime_type (GdkPixbufLoader *loader)
{
  GdkPixbufFormat *format = gdk_pixbuf_loader_get_format (loader);
  g_auto(GStrv) mime_types = format != NULL ? gdk_pixbuf_format_get_mime_types (format) : NULL;

  return mime_types != NULL ? g_strdup (mime_types[0]) : NULL;
}

static LoadedPicture *
set_upright (PictureLoad *load,
             GdkPixbuf   *pixbuf)
{
  g_autoptr(GdkPixbuf) upright = gdk_pixbuf_apply_embedded_orientation (pixbuf);
  gboolean turned = lies_on_its_side (pixbuf);
  LoadedPicture *self = g_new (LoadedPicture, 1);

  self->pixbuf = shrink (upright, load->bound);
  self->width = turned ? load->height : load->width;
  self->height = turned ? load->width : load->height;
  self->mime_type = get_mime_type (load->loader);

  return self;
}

LoadedPicture *
picture_load (int      fd,
              int      bound,
              GError **error)
{
  g_autoptr(GdkPixbufLoader) loader = gdk_pixbuf_loader_new ();
  PictureLoad load = { .loader = loader, .bound = bound };
  GdkPixbuf *pixbuf;

  picture_end_init (&load.end);
  g_signal_connect (loader, "size-prepared", G_CALLBACK (size_prepared_cb), &load);

  pixbuf = decode (&load, fd, error);

  return pixbuf != NULL ? set_upright (&load, pixbuf) : NULL;
}

void
loaded_picture_free (LoadedPicture *self)
{
  g_clear_object (&self->pixbuf);
  g_free (self->mime_type);
  g_free (self);
}
