/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

/* A picture that was read from a descriptor. */
typedef struct
{
  GdkPixbuf *pixbuf;      /* upright, and not larger than was requested */
  int        width;       /* of the picture itself, upright */
  int        height;
  char      *mime_type;   /* the type of its contents, whatever its name is; or NULL */
} LoadedPicture;

LoadedPicture *picture_load        (int             fd,
                                    int             bound,
                                    GError        **error);
void           loaded_picture_free (LoadedPicture  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LoadedPicture, loaded_picture_free)
