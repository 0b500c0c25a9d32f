/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture-load.h"

#include "color-profile.h"
#include "picture-end.h"
#include "picture-format.h"

#include <errno.h>
#include <gio/gio.h>

/* A picture of more pixels than this is refused before memory is allocated for it: its pixels alone
 * would take a gigabyte. */
#define MAX_PIXELS (G_GUINT64_CONSTANT (1) << 28)

/* A loader of PNG files copies what it has of a chunk each time that it gets more. So it gets as
 * much each time as it has got before, and a chunk of many megabytes is copied a few times only. */
#define MIN_BLOCK ((gsize) 64 * 1024)
#define MAX_BLOCK ((gsize) 16 * 1024 * 1024)

/* The decoder of JPEG files keeps so many rows until it knows that there are no more. */
#define JPEG_ROWS_KEPT 32

typedef struct
{
  GdkPixbufLoader *loader;
  GByteArray      *block;      /* what the loader gets next */
  gsize            n_fed;      /* bytes */
  PictureEnd       end;
  int              bound;      /* the longest side of the result */
  int              width;      /* from the file; 0 until it was read */
  int              height;

  PictureProgressFunc  progress;    /* or NULL */
  gpointer             data;
} PictureLoad;

static gboolean
is_too_large (const PictureLoad *load)
{
  return (guint64) load->width * (guint64) load->height > MAX_PIXELS;
}

/* The sides of a picture of LONGEST pixels, which is scaled to BOUND pixels, as other programs
 * round them. */
static int
scale_side (int side,
            int longest,
            int bound)
{
  return MAX (1, (int) (((gint64) side * bound + longest / 2) / longest));
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
    gdk_pixbuf_loader_set_size (loader, scale_side (width, longest, load->bound),
                                scale_side (height, longest, load->bound));
}

static void
picture_load_init (PictureLoad     *self,
                   GdkPixbufLoader *loader,
                   int              bound)
{
  *self = (PictureLoad) { .loader = loader, .block = g_byte_array_new (), .bound = bound };
  picture_end_init (&self->end);
  g_signal_connect (loader, "size-prepared", G_CALLBACK (size_prepared_cb), self);
}

static void
picture_load_clear (PictureLoad *self)
{
  g_signal_handlers_disconnect_by_data (self->loader, self);
  g_byte_array_unref (self->block);
}

/* Of an animation only the first frame is needed, and it is complete when there is a second. */
static gboolean
is_animation (PictureLoad *load)
{
  GdkPixbufAnimation *animation = gdk_pixbuf_loader_get_animation (load->loader);

  return animation != NULL && !gdk_pixbuf_animation_is_static_image (animation);
}

static void
set_read_error (GError **error,
                int      saved_errno)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
               "The picture could not be read: %s", g_strerror (saved_errno));
}

static void
set_empty_error (GError **error)
{
  g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                       "The file is empty");
}

/* Reads the next block. Returns its size, 0 at the end of the file, or -1. */
static gssize
read_block (PictureLoad  *load,
            WorkFile     *file,
            GError      **error)
{
  gssize n;

  g_byte_array_set_size (load->block, (guint) CLAMP (load->n_fed, MIN_BLOCK, MAX_BLOCK));
  n = work_file_read (file, load->block->data, load->block->len);
  if (n < 0)
    set_read_error (error, errno);

  return n;
}

/* Returns how many bytes the loader got, 0 at the end of the file, or -1. */
static gssize
feed (PictureLoad  *load,
      WorkFile     *file,
      GError      **error)
{
  gssize n = read_block (load, file, error);

  if (n <= 0)
    return n;

  load->n_fed += (gsize) n;
  picture_end_feed (&load->end, load->block->data, (gsize) n);
  if (!gdk_pixbuf_loader_write (load->loader, load->block->data, (gsize) n, error))
    return -1;

  if (load->progress != NULL)
    load->progress (load->n_fed, load->data);
  return n;
}

static gboolean
feed_all (PictureLoad  *load,
          WorkFile     *file,
          GError      **error)
{
  gssize n = feed (load, file, error);

  if (n == 0)
    {
      set_empty_error (error);
      return FALSE;
    }

  while (n > 0 && !is_animation (load))
    n = feed (load, file, error);

  return n >= 0;
}

/* Files that are cut short. Loaders fill in what is missing, and only some report it. */

typedef struct
{
  int height;
  int end;      /* of the rows that were decoded last */
} RowWatch;

static void
area_prepared_cb (GdkPixbufLoader *loader,
                  RowWatch        *watch)
{
  watch->height = gdk_pixbuf_get_height (gdk_pixbuf_loader_get_pixbuf (loader));
}

static void
area_updated_cb (GdkPixbufLoader *loader,
                 int              x,
                 int              y,
                 int              width,
                 int              height,
                 RowWatch        *watch)
{
  watch->end = y + height;
}

/* Whether a file without its end mark has all rows of the picture. Loaders tell which rows they
 * have only if they do not scale, so this decodes it again, in full size. A loader that has to
 * find the format first does not begin before it has 4 KiB. */
static gboolean
has_all_rows (const PictureEnd *end,
              WorkFile         *file)
{
  g_autoptr(GdkPixbufLoader) loader =
    gdk_pixbuf_loader_new_with_type (end->is_jpeg ? "jpeg" : "png", NULL);
  const int n_kept = end->is_jpeg ? JPEG_ROWS_KEPT : 0;
  PictureLoad load;
  RowWatch watch = { 0 };
  gboolean complete;

  if (loader == NULL)
    return FALSE;

  picture_load_init (&load, loader, G_MAXINT);
  g_signal_connect (loader, "area-prepared", G_CALLBACK (area_prepared_cb), &watch);
  g_signal_connect (loader, "area-updated", G_CALLBACK (area_updated_cb), &watch);
  complete = work_file_rewind (file)
             && feed_all (&load, file, NULL)
             && watch.height > 0 && watch.end >= watch.height - n_kept;
  g_signal_handlers_disconnect_by_data (loader, &watch);
  gdk_pixbuf_loader_close (loader, NULL);
  picture_load_clear (&load);
  return complete;
}

static gboolean
finish (PictureLoad  *load,
        WorkFile     *file,
        GError      **error)
{
  const guchar *end_mark;
  gsize size;

  if (is_animation (load))
    {
      gdk_pixbuf_loader_close (load->loader, NULL);   /* warns about the frames that it did not
                                                       * get */
      return TRUE;
    }

  if (!picture_end_is_missing (&load->end))
    return gdk_pixbuf_loader_close (load->loader, error);

  if (!has_all_rows (&load->end, file))
    {
      gdk_pixbuf_loader_close (load->loader, NULL);
      g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                           "The file is cut short");
      return FALSE;
    }

  end_mark = picture_end_get_mark (&load->end, &size);
  return gdk_pixbuf_loader_write (load->loader, end_mark, size, error)
         && gdk_pixbuf_loader_close (load->loader, error);
}

/* Feeds the loader and closes it, which is always necessary before it is freed. */
static GdkPixbuf *
decode (PictureLoad  *load,
        WorkFile     *file,
        GError      **error)
{
  GdkPixbuf *pixbuf = NULL;

  if (!feed_all (load, file, error))
    gdk_pixbuf_loader_close (load->loader, NULL);
  else if (finish (load, file, error))
    {
      pixbuf = gdk_pixbuf_loader_get_pixbuf (load->loader);
      if (pixbuf == NULL)
        g_set_error_literal (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_CORRUPT_IMAGE,
                             "There is no picture in the file");
    }

  if (pixbuf == NULL && is_too_large (load))
    {
      g_clear_error (error);
      g_set_error (error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_FAILED,
                   "%d × %d pixels are too many", load->width, load->height);
    }

  return pixbuf;
}

GdkPixbuf *
picture_shrink (GdkPixbuf *pixbuf,
                int        bound)
{
  int width = gdk_pixbuf_get_width (pixbuf);
  int height = gdk_pixbuf_get_height (pixbuf);
  int longest = MAX (width, height);

  if (longest <= bound)
    return g_object_ref (pixbuf);

  return gdk_pixbuf_scale_simple (pixbuf, scale_side (width, longest, bound),
                                  scale_side (height, longest, bound), GDK_INTERP_BILINEAR);
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

  /* Some loaders ignore the size that was set. */
  self->pixbuf = picture_shrink (upright, load->bound);
  color_profile_apply (self->pixbuf, gdk_pixbuf_get_option (pixbuf, "icc-profile"));
  self->width = turned ? load->height : load->width;
  self->height = turned ? load->width : load->height;
  self->mime_type = get_mime_type (load->loader);

  return self;
}

static LoadedPicture *
load_with (GdkPixbufLoader      *loader,
           WorkFile             *file,
           int                   bound,
           PictureProgressFunc   progress,
           gpointer              data,
           GError              **error)
{
  PictureLoad load;
  GdkPixbuf *pixbuf;
  LoadedPicture *picture = NULL;

  picture_load_init (&load, loader, bound);
  load.progress = progress;
  load.data = data;
  pixbuf = decode (&load, file, error);
  if (pixbuf != NULL)
    picture = set_upright (&load, pixbuf);
  picture_load_clear (&load);
  return picture;
}

/* START has the first SIZE bytes of the file. */
static LoadedPicture *
load_by_format (const guchar         *start,
                gsize                 size,
                const char           *name,
                WorkFile             *file,
                int                   bound,
                PictureProgressFunc   progress,
                gpointer              data,
                GError              **error)
{
  gboolean is_guessed = FALSE;
  g_autoptr(GError) cause = NULL;
  g_autoptr(GdkPixbufLoader) loader =
    picture_format_new_loader (start, size, name, &is_guessed, &cause);
  LoadedPicture *picture =
    loader != NULL ? load_with (loader, file, bound, progress, data, &cause) : NULL;

  if (picture != NULL)
    return picture;

  /* If the name is wrong, what its loader says means nothing. */
  if (is_guessed && cause->domain == GDK_PIXBUF_ERROR
      && cause->code != GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY)
    g_propagate_error (error, picture_format_new_error (start, size));
  else
    g_propagate_error (error, g_steal_pointer (&cause));
  return NULL;
}

LoadedPicture *
picture_load (WorkFile             *file,
              const char           *name,
              int                   bound,
              PictureProgressFunc   progress,
              gpointer              data,
              GError              **error)
{
  guchar start[PICTURE_FORMAT_BYTES];
  const gssize size = work_file_peek (file, 0, start, sizeof start);

  if (size > 0)
    return load_by_format (start, (gsize) size, name, file, bound, progress, data, error);

  if (size < 0)
    set_read_error (error, errno);
  else
    set_empty_error (error);
  return NULL;
}

void
loaded_picture_free (LoadedPicture *self)
{
  g_clear_object (&self->pixbuf);
  g_free (self->mime_type);
  g_free (self);
}
