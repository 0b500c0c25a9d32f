/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "thumbnail-work.h"

#include <gdk-pixbuf/gdk-pixbuf.h>

/* A loader that is created loads its module. */
void
thumbnail_prepare (void)
{
  const char *formats[] = { "jpeg", "png", "tiff" };

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autoptr(GdkPixbufLoader) loader = gdk_pixbuf_loader_new_with_type (formats[i], NULL);

      if (loader != NULL)
        gdk_pixbuf_loader_close (loader, NULL);
    }
}

gboolean
thumbnail_make (const char  *picture,
                const char  *thumbnail,
                int          pixels,
                GError     **error)
{
  g_autoptr(GdkPixbuf) loaded = gdk_pixbuf_new_from_file_at_scale (picture, pixels, pixels,
                                                                   TRUE, error);
  g_autoptr(GdkPixbuf) upright = NULL;

  if (loaded == NULL)
    return FALSE;

  upright = gdk_pixbuf_apply_embedded_orientation (loaded);
  return gdk_pixbuf_save (upright, thumbnail, "png", error, NULL);
}
