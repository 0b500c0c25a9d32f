/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gdk-pixbuf/gdk-pixbuf.h>

/* A picture that has been read from a descriptor. */
typedef struct
{
  GdkPixbuf *pixbuf;      /* upright, and within the bound that was asked for */
  int        width;       /* of the picture itself, upright */
  int        height;
  char      *mime_type;   /* of what it really is, whatever its name says; or NULL */
} LoadedPicture;

LoadedPicture *picture_load        (int             fd,
                                    int             bound,
                                    GError        **error);
void           loaded_picture_free (LoadedPicture  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LoadedPicture, loaded_picture_free)
