/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

#include "work-file.h"

/* A picture that was read from a file. */
typedef struct
{
  GdkPixbuf *pixbuf;      /* upright, and not larger than was requested */
  int        width;       /* of the picture itself, upright */
  int        height;
  char      *mime_type;   /* the type of its contents, whatever its name is; or NULL */
} LoadedPicture;

/* Called now and then with the number of bytes of the file that were decoded. */
typedef void (* PictureProgressFunc) (gsize    n_bytes,
                                      gpointer data);

/* FILE is at its start. NAME is that of the original: it is looked at if the bytes do not tell the
 * format. PROGRESS may be NULL. */
LoadedPicture *picture_load        (WorkFile             *file,
                                    const char           *name,
                                    int                   bound,
                                    PictureProgressFunc   progress,
                                    gpointer              data,
                                    GError              **error);
void           loaded_picture_free (LoadedPicture        *self);

/* Returns a picture of at most BOUND pixels a side: this one, or one that is made of it. */
GdkPixbuf     *picture_shrink      (GdkPixbuf            *pixbuf,
                                    int                   bound);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LoadedPicture, loaded_picture_free)
