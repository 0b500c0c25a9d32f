/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* For the signatures of loaders. */
#define GDK_PIXBUF_ENABLE_BACKEND

#include "picture-format.h"

#include <gio/gio.h>
#include <string.h>

/* Signatures. */

/* What MASK says about a byte: that it is as in the signature, if there is no mask. */
static gboolean
fits_byte (char   mask,
           guchar expected,
           guchar found)
{
  switch (mask)
    {
    case '!':
      return found != expected;
    case 'x':
      return TRUE;
    case 'z':
      return found == 0;
    case 'n':
      return found != 0;
    default:
      return found == expected;
    }
}

static gboolean
fits_here (const char   *prefix,
           const char   *mask,
           const guchar *bytes,
           gsize         size)
{
  for (gsize i = 0; prefix[i] != '\0'; i++)
    if (i >= size || !fits_byte (mask != NULL ? mask[i] : ' ', (guchar) prefix[i], bytes[i]))
      return FALSE;

  return TRUE;
}

/* A mask that begins with an asterisk is one of a signature that may be anywhere. */
static gboolean
fits (const GdkPixbufModulePattern *pattern,
      const guchar                 *start,
      gsize                         size)
{
  if (pattern->mask == NULL || pattern->mask[0] != '*')
    return fits_here (pattern->prefix, pattern->mask, start, size);

  for (gsize i = 0; i < size; i++)
    if (fits_here (pattern->prefix + 1, pattern->mask + 1, start + i, size - i))
      return TRUE;

  return FALSE;
}

/* How sure it is that FORMAT is that of the file, from 0 to 100. */
static int
get_relevance (const GdkPixbufFormat *format,
               const guchar          *start,
               gsize                  size)
{
  for (const GdkPixbufModulePattern *pattern = format->signature;
       pattern != NULL && pattern->prefix != NULL; pattern++)
    if (fits (pattern, start, size))
      return pattern->relevance;

  return 0;
}

static GdkPixbufFormat *
find_by_signature (GSList       *formats,
                   const guchar *start,
                   gsize         size)
{
  GdkPixbufFormat *best = NULL;
  int most = 0;

  for (GSList *l = formats; l != NULL; l = l->next)
    {
      int relevance = get_relevance (l->data, start, size);

      if (relevance > most && !gdk_pixbuf_format_is_disabled (l->data))
        {
          most = relevance;
          best = l->data;
        }
    }

  return best;
}

/* Names. */

static gboolean
has_extension (const GdkPixbufFormat *format,
               const char            *name)
{
  const gsize length = strlen (name);

  for (gsize i = 0; format->extensions != NULL && format->extensions[i] != NULL; i++)
    {
      const gsize size = strlen (format->extensions[i]);

      if (length > size && name[length - size - 1] == '.'
          && g_ascii_strcasecmp (name + length - size, format->extensions[i]) == 0)
        return TRUE;
    }

  return FALSE;
}

static GdkPixbufFormat *
find_by_name (GSList     *formats,
              const char *name)
{
  for (GSList *l = formats; l != NULL; l = l->next)
    if (has_extension (l->data, name) && !gdk_pixbuf_format_is_disabled (l->data))
      return l->data;

  return NULL;
}

GdkPixbufLoader *
picture_format_new_loader (const guchar  *start,
                           gsize          size,
                           const char    *name,
                           gboolean      *is_guessed,
                           GError       **error)
{
  g_autoptr(GSList) formats = gdk_pixbuf_get_formats ();
  g_autoptr(GError) cause = NULL;
  GdkPixbufLoader *loader;
  GdkPixbufFormat *format = find_by_signature (formats, start, size);

  *is_guessed = format == NULL;
  if (format == NULL)
    format = find_by_name (formats, name);

  if (format == NULL)
    {
      g_propagate_error (error, picture_format_new_error (start, size));
      return NULL;
    }

  loader = gdk_pixbuf_loader_new_with_type (format->name, &cause);
  if (loader == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 "The decoder for %s cannot be used here: %s", format->name, cause->message);
  return loader;
}

/* Loaders that are often not installed. */

static const struct
{
  gsize       offset;
  const char *bytes;
  const char *name;
  const char *package;          /* the usual name of the package with the loader */
} missing[] = {
  { 4, "ftypavif", "AVIF", "libavif-gdk-pixbuf" },
  { 4, "ftypavis", "AVIF", "libavif-gdk-pixbuf" },
  { 4, "ftyphei", "HEIC", "heif-gdk-pixbuf" },
  { 4, "ftyphev", "HEIC", "heif-gdk-pixbuf" },
  { 4, "ftypmif1", "HEIC", "heif-gdk-pixbuf" },
  { 4, "ftypmsf1", "HEIC", "heif-gdk-pixbuf" },
  { 0, "\xff\x0a", "JPEG XL", "libjxl-gdk-pixbuf" },
  { 4, "JXL \r\n\x87\n", "JPEG XL", "libjxl-gdk-pixbuf" },
  { 8, "WEBP", "WebP", "webp-pixbuf-loader" },
};

GError *
picture_format_new_error (const guchar *start,
                          gsize         size)
{
  for (gsize i = 0; i < G_N_ELEMENTS (missing); i++)
    if (size > missing[i].offset
        && fits_here (missing[i].bytes, NULL, start + missing[i].offset, size - missing[i].offset))
      return g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                          "No decoder for %s is installed, which the package %s has",
                          missing[i].name, missing[i].package);

  return g_error_new_literal (GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_UNKNOWN_TYPE,
                              "Unrecognized image file format");
}
