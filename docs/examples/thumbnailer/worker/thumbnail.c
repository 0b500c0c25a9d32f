/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "worker.h"

#include "picture-load.h"
#include "png-save.h"

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

/* A loader may have failed only because there is too little memory now. That of drawings passes
 * errors of librsvg on. */
static void
mark_error (GError *error)
{
  if ((error->domain == GDK_PIXBUF_ERROR
       && error->code != GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY)
      || error->domain == g_quark_try_string ("rsvg-error-quark"))
    error->domain = PICTURE_ERROR;
}

static guint
find_largest (GVariant *outputs)
{
  guint largest = 0, pixels;
  GVariantIter iter;

  g_variant_iter_init (&iter, outputs);
  while (g_variant_iter_next (&iter, "(hu)", NULL, &pixels))
    largest = MAX (largest, pixels);

  return largest;
}

GVariant *
thumbnail (WorkFile  *files,
           guint      n_files,
           GVariant  *args,
           GError   **error)
{
  g_autoptr(GVariant) outputs = NULL;
  g_autoptr(GVariant) keys = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  g_autoptr(LoadedPicture) picture = NULL;
  const char *name;
  GVariantIter iter;
  int input, output;
  guint pixels;

  g_variant_get (args, "(h&s@a(hu)@a{ss})", &input, &name, &outputs, &keys);
  texts = png_texts_new (keys);
  picture = picture_load (&files[input], name, (int) find_largest (outputs), NULL, NULL, error);
  if (picture == NULL)
    {
      mark_error (*error);
      return NULL;
    }

  describe (texts, picture);
  g_variant_iter_init (&iter, outputs);
  while (g_variant_iter_next (&iter, "(hu)", &output, &pixels))
    {
      g_autoptr(GdkPixbuf) pixbuf = picture_shrink (picture->pixbuf, (int) pixels);

      if (!png_save (&files[output], pixbuf, texts, error))
        return NULL;
    }

  return g_variant_new ("(ii)", picture->width, picture->height);
}

GVariant *
record_failure (WorkFile  *files,
                guint      n_files,
                GVariant  *args,
                GError   **error)
{
  g_autoptr(GdkPixbuf) pixel = gdk_pixbuf_new (GDK_COLORSPACE_RGB, TRUE, 8, 1, 1);
  g_autoptr(GVariant) keys = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  int output;

  g_variant_get (args, "(h@a{ss})", &output, &keys);
  texts = png_texts_new (keys);
  gdk_pixbuf_fill (pixel, 0x00000000);
  if (!png_save (&files[output], pixel, texts, error))
    return NULL;

  return g_variant_new ("(ii)", 1, 1);
}

GVariant *
types (WorkFile  *files,
       guint      n_files,
       GVariant  *args,
       GError   **error)
{
  g_autoptr(GSList) formats = gdk_pixbuf_get_formats ();
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (GSList *l = formats; l != NULL; l = l->next)
    {
      g_auto(GStrv) mime_types = gdk_pixbuf_format_get_mime_types (l->data);

      for (char **type = mime_types; *type != NULL; type++)
        g_variant_builder_add (&builder, "s", *type);
    }

  return g_variant_builder_end (&builder);
}
