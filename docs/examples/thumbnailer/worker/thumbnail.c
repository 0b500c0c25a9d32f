/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include "picture-load.h"
#include "png-save.h"
#include "reply.h"

#include <stdlib.h>

/* The keys that the caller sent, from the @first item on. */
static GPtrArray *
collect_texts (const AForkItem *items,
               size_t           n_items,
               size_t           first)
{
  GPtrArray *texts = g_ptr_array_new_with_free_func (g_free);

  for (size_t i = first; i < n_items; i++)
    g_ptr_array_add (texts, g_strndup (items[i].data, items[i].size));

  return texts;
}

static void
add_text (GPtrArray  *texts,
          const char *key,
          char       *text)
{
  g_ptr_array_add (texts, g_strdup (key));
  g_ptr_array_add (texts, text);
}

static void
describe (GPtrArray     *texts,
          LoadedPicture *picture)
{
  add_text (texts, "Thumb::Image::Width", g_strdup_printf ("%d", picture->width));
  add_text (texts, "Thumb::Image::Height", g_strdup_printf ("%d", picture->height));
  if (picture->mime_type != NULL)
    add_text (texts, "Thumb::Mimetype", g_strdup (picture->mime_type));
}

void
thumbnail (int              socket,
           const AForkItem *items,
           size_t           n_items)
{
  g_autoptr(GPtrArray) texts = collect_texts (items, n_items, 3);
  g_autoptr(LoadedPicture) picture = NULL;
  g_autoptr(GError) error = NULL;

  picture = picture_load (items[0].fd, atoi (items[2].data), &error);
  if (picture == NULL)
    {
      reply_error (socket, error);
      return;
    }

  describe (texts, picture);
  if (!png_save (items[1].fd, picture->pixbuf, texts, &error))
    {
      reply_error (socket, error);
      return;
    }

  reply_ok (socket, picture->width, picture->height);
}

void
record_failure (int              socket,
                const AForkItem *items,
                size_t           n_items)
{
  g_autoptr(GPtrArray) texts = collect_texts (items, n_items, 1);
  g_autoptr(GdkPixbuf) pixel = gdk_pixbuf_new (GDK_COLORSPACE_RGB, TRUE, 8, 1, 1);
  g_autoptr(GError) error = NULL;

  gdk_pixbuf_fill (pixel, 0x00000000);
  if (!png_save (items[0].fd, pixel, texts, &error))
    {
      reply_error (socket, error);
      return;
    }

  reply_ok (socket, 1, 1);
}
