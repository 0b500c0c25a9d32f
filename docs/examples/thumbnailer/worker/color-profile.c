/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "color-profile.h"

#include <lcms2.h>

static cmsHPROFILE
open_profile (const char *profile)
{
  gsize size;
  g_autofree guchar *bytes = g_base64_decode (profile, &size);

  return cmsOpenProfileFromMem (bytes, (cmsUInt32Number) size);
}

static cmsHTRANSFORM
make_transform (cmsHPROFILE profile,
                gboolean    has_alpha)
{
  const cmsUInt32Number format = has_alpha ? TYPE_RGBA_8 : TYPE_RGB_8;
  cmsHPROFILE srgb = cmsCreate_sRGBProfile ();
  cmsHTRANSFORM transform = cmsCreateTransform (profile, format, srgb, format, INTENT_PERCEPTUAL,
                                                cmsFLAGS_COPY_ALPHA);

  cmsCloseProfile (srgb);
  return transform;
}

static void
transform_rows (cmsHTRANSFORM  transform,
                GdkPixbuf     *pixbuf)
{
  guchar *row = gdk_pixbuf_get_pixels (pixbuf);

  for (int y = 0; y < gdk_pixbuf_get_height (pixbuf); y++)
    {
      cmsDoTransform (transform, row, row, (cmsUInt32Number) gdk_pixbuf_get_width (pixbuf));
      row += gdk_pixbuf_get_rowstride (pixbuf);
    }
}

void
color_profile_apply (GdkPixbuf  *pixbuf,
                     const char *profile)
{
  cmsHPROFILE opened = profile != NULL ? open_profile (profile) : NULL;
  cmsHTRANSFORM transform = NULL;

  if (opened != NULL && cmsGetColorSpace (opened) == cmsSigRgbData)
    transform = make_transform (opened, gdk_pixbuf_get_has_alpha (pixbuf));
  if (transform != NULL)
    {
      transform_rows (transform, pixbuf);
      cmsDeleteTransform (transform);
    }
  if (opened != NULL)
    cmsCloseProfile (opened);
}
