/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

#include <gtk/gtk.h>

/* Shows one picture in full. Meanwhile its thumbnail is there, and how much is decoded. */
#define VIEWER_TYPE (viewer_get_type ())
G_DECLARE_FINAL_TYPE (Viewer, viewer, PICTURES, VIEWER, GtkWidget)

GtkWidget *viewer_new    (AForkPool  *pool);

/* Shows PICTURE, or nothing if it is NULL. A picture that is still decoded is cancelled. */
void       viewer_show   (Viewer     *self,
                          Picture    *picture);
