/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "png-save.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>

GPtrArray *
png_texts_new (GVariant *keys)
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
set_error (GError **error)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR,
               saved_errno == EDQUOT ? G_IO_ERROR_NO_SPACE
                                     : (int) g_io_error_from_errno (saved_errno),
               "The output could not be written: %s", g_strerror (saved_errno));
}

/* The PNG library writes each chunk in four parts. All of them together are written at once. */
static gboolean
append_cb (const char  *bytes,
           gsize        size,
           GError     **error,
           gpointer     user_data)
{
  g_byte_array_append (user_data, (const guint8 *) bytes, (guint) size);
  return TRUE;
}

gboolean
png_save (WorkFile   *file,
          GdkPixbuf  *pixbuf,
          GPtrArray  *texts,
          GError    **error)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) values = g_ptr_array_new ();
  g_autoptr(GByteArray) png = g_byte_array_new ();

  /* If the file exceeds a limit of file sizes, write() fails, but the signal would also end the
   * process. */
  signal (SIGXFSZ, SIG_IGN);

  for (guint i = 0; i + 1 < texts->len; i += 2)
    {
      g_ptr_array_add (keys, g_strconcat ("tEXt::", texts->pdata[i], NULL));
      g_ptr_array_add (values, texts->pdata[i + 1]);
    }
  g_ptr_array_add (keys, NULL);
  g_ptr_array_add (values, NULL);

  if (!gdk_pixbuf_save_to_callbackv (pixbuf, append_cb, png, "png",
                                     (char **) keys->pdata, (char **) values->pdata, error))
    return FALSE;

  if (work_file_write (file, png->data, png->len))
    return TRUE;

  set_error (error);
  return FALSE;
}
