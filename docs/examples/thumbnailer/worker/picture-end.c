/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "picture-end.h"

#include <string.h>

#define JPEG_START            0xffd8
#define PNG_START             0x8950
#define PNG_REST_OF_SIGNATURE 6
#define PNG_CHUNK_HEADER      8
#define PNG_CHUNK_CRC         4
#define PNG_TYPE_END          0x49454e44   /* IEND */

static const guchar jpeg_mark[] = { 0xff, 0xd9 };
static const guchar png_mark[] = { 0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82 };

/* Adds a byte to the word. Returns whether the word now has @size bytes. */
static gboolean
gather (PictureEnd *self,
        guchar      byte,
        guint       size)
{
  if (self->n_gathered == size)
    self->n_gathered = self->number = 0;

  self->number = self->number << 8 | byte;
  return ++self->n_gathered == size;
}

static gsize
png_chunk_step (PictureEnd   *self,
                const guchar *bytes,
                gsize         size)
{
  if (!gather (self, bytes[0], PNG_CHUNK_HEADER))
    return 1;

  if ((guint32) self->number == PNG_TYPE_END)
    {
      self->missing = FALSE;
      self->step = NULL;
    }

  self->skip = (self->number >> 32) + PNG_CHUNK_CRC;
  return 1;
}

static gsize jpeg_scan_step (PictureEnd   *self,
                             const guchar *bytes,
                             gsize         size);

static gsize
jpeg_length_step (PictureEnd   *self,
                  const guchar *bytes,
                  gsize         size)
{
  if (gather (self, bytes[0], 2))
    {
      self->skip = MAX (self->number, 2) - 2;   /* the length includes itself */
      self->step = jpeg_scan_step;
    }

  return 1;
}

static gsize
jpeg_marker_step (PictureEnd   *self,
                  const guchar *bytes,
                  gsize         size)
{
  guchar marker = bytes[0];

  if (marker == 0xff)
    return 1;      /* there may be any number of these before a marker */

  if (marker == 0xd9)
    {
      self->missing = FALSE;
      self->step = NULL;
    }
  else if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8))
    self->step = jpeg_scan_step;      /* a byte of the picture, or a marker without a segment */
  else
    self->step = jpeg_length_step;

  return 1;
}

/* In the data of the picture, or between two segments: a marker comes next. */
static gsize
jpeg_scan_step (PictureEnd   *self,
                const guchar *bytes,
                gsize         size)
{
  const guchar *found = memchr (bytes, 0xff, size);

  if (found == NULL)
    return size;

  self->step = jpeg_marker_step;
  return found - bytes + 1;
}

static gsize
start_step (PictureEnd   *self,
            const guchar *bytes,
            gsize         size)
{
  if (!gather (self, bytes[0], 2))
    return 1;

  self->is_jpeg = self->number == JPEG_START;
  self->missing = self->is_jpeg || self->number == PNG_START;
  self->skip = self->number == PNG_START ? PNG_REST_OF_SIGNATURE : 0;
  self->step = self->is_jpeg ? jpeg_scan_step
             : self->number == PNG_START ? png_chunk_step
             : NULL;
  self->n_gathered = self->number = 0;
  return 1;
}

void
picture_end_init (PictureEnd *self)
{
  *self = (PictureEnd) { .step = start_step };
}

void
picture_end_feed (PictureEnd   *self,
                  const guchar *bytes,
                  gsize         size)
{
  while (self->step != NULL && size > 0)
    {
      gsize taken;

      if (self->skip > 0)
        {
          taken = MIN (self->skip, size);
          self->skip -= taken;
        }
      else
        taken = self->step (self, bytes, size);

      bytes += taken;
      size -= taken;
    }
}

gboolean
picture_end_is_missing (const PictureEnd *self)
{
  return self->missing;
}

const guchar *
picture_end_get_mark (const PictureEnd *self,
                      gsize            *size)
{
  *size = self->is_jpeg ? sizeof jpeg_mark : sizeof png_mark;
  return self->is_jpeg ? jpeg_mark : png_mark;
}
