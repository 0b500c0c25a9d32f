/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include "picture-load.h"
#include "png-save.h"

/* The keys that the caller has sent. */
static GPtrArray *
collect_texts (GVariant *keys)
{
  GPtrArray *texts = g_ptr_array_new_with_free_func (g_free);
  GVariantIter iter;
  char *key, *text;

  g_variant_iter_init (&iter, keys);
  while (g_variant_iter_next (&iter, "{ss}", &key, &text))
    {
      g_ptr_array_add (texts, key);
      g_ptr_array_add (texts, text);
    }

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

GVariant *
thumbnail (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  const int *files = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL);
  g_autoptr(GVariant) keys = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  g_autoptr(LoadedPicture) picture = NULL;
  int input, output;
  guint pixels;

  g_variant_get (args, "(hhu@a{ss})", &input, &output, &pixels, &keys);
  texts = collect_texts (keys);
  picture = picture_load (files[input], pixels, error);
  if (picture == NULL)
    return NULL;

  describe (texts, picture);
  if (!png_save (files[output], picture->pixbuf, texts, error))
    return NULL;

  return g_variant_new ("(ii)", picture->width, picture->height);
}

GVariant *
record_failure (AForkCall  *call,
                GVariant   *args,
                GError    **error)
{
  const int *files = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL);
  g_autoptr(GdkPixbuf) pixel = gdk_pixbuf_new (GDK_COLORSPACE_RGB, TRUE, 8, 1, 1);
  g_autoptr(GVariant) keys = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  int output;

  g_variant_get (args, "(h@a{ss})", &output, &keys);
  texts = collect_texts (keys);
  gdk_pixbuf_fill (pixel, 0x00000000);
  if (!png_save (files[output], pixel, texts, error))
    return NULL;

  return g_variant_new ("(ii)", 1, 1);
}
