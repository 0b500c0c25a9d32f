/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The worker module: decodes one picture after the other. A worker is confined, so it can open
 * nothing. It gets the descriptor of the picture, and returns the pixels as a blob.
 *
 * The decoders themselves, and the function `prepare` that loads them in the template, are those
 * of the thumbnailer. */

#include "work.h"

#include "picture-load.h"
#include "pixels.h"

#include <unistd.h>

typedef struct
{
  AForkCall *call;
  goffset    size;            /* of the file, in bytes */
} Progress;

static void
report_cb (gsize    n_bytes,
           gpointer data)
{
  const Progress *self = data;

  afork_call_report (self->call, g_variant_new_double ((double) n_bytes / (double) self->size));
}

static GVariant *
decode (AForkCall  *call,
        GVariant   *args,
        GError    **error)
{
  g_autoptr(LoadedPicture) picture = NULL;
  Progress progress = { call };
  const char *name;
  WorkFile file = WORK_FILE_FOR_FD (-1);
  int handle, bound;
  gsize stride;

  g_variant_get (args, "(h&si)", &handle, &name, &bound);
  file.fd = g_unix_fd_list_peek_fds (afork_call_get_fds (call), NULL)[handle];
  progress.size = MAX (1, lseek (file.fd, 0, SEEK_END));

  /* If another worker has crashed with the same descriptor, it has read from it. */
  work_file_rewind (&file);
  picture = picture_load (&file, name, bound, report_cb, &progress, error);
  if (picture == NULL)
    return NULL;

  afork_call_add_result_blob (call, pixels_from_pixbuf (picture->pixbuf, &stride));
  return g_variant_new (DECODE_RESULT,
                        gdk_pixbuf_get_width (picture->pixbuf),
                        gdk_pixbuf_get_height (picture->pixbuf),
                        (guint64) stride, picture->width, picture->height);
}

/* What the buttons of the window ask for. */
static GVariant *
exercise (AForkCall  *call,
          GVariant   *args,
          GError    **error)
{
  const gint64 milliseconds = g_variant_get_int64 (args);
  const gint64 end = g_get_monotonic_time () + milliseconds * 1000;

  while (milliseconds < 0)
    pause ();
  while (g_get_monotonic_time () < end)
    continue;
  return NULL;
}

GVariant *
work (AForkCall  *call,
      GVariant   *args,
      GError    **error)
{
  if (g_variant_is_of_type (args, G_VARIANT_TYPE (DECODE_ARGS)))
    return decode (call, args, error);
  if (g_variant_is_of_type (args, G_VARIANT_TYPE_INT64))
    return exercise (call, args, error);

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "There is no work of the type %s",
               g_variant_get_type_string (args));
  return NULL;
}
