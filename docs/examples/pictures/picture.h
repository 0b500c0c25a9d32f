/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>
#include <gdk/gdk.h>

/* A picture of the folder. It has a texture while it is shown. */
#define PICTURE_TYPE (picture_get_type ())
G_DECLARE_FINAL_TYPE (Picture, picture, PICTURES, PICTURE, GObject)

Picture    *picture_new            (AForkPool       *pool,
                                    GFile           *file,
                                    const char      *name);

const char *picture_get_name       (Picture         *self);
GFile      *picture_get_file       (Picture         *self);
/* The texture is NULL until the picture is decoded, and so is the reason why it cannot be decoded.
 * Both are properties, `texture` and `problem`, which are notified. */
GdkTexture *picture_get_texture    (Picture         *self);
const char *picture_get_problem    (Picture         *self);

/* A view calls this when it is to show the picture, and when it does not show it any more. Then the
 * job is cancelled and the texture is dropped, unless there is another view. */
void        picture_show           (Picture         *self);
void        picture_hide           (Picture         *self);

/* Pictures of a higher priority are decoded first. */
void        picture_set_priority   (Picture         *self,
                                    int              priority);
