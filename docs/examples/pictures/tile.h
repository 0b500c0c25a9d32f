/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"

#include <gtk/gtk.h>

/* Shows the thumbnail of a picture, or why there is none. */
#define TILE_TYPE (tile_get_type ())
G_DECLARE_FINAL_TYPE (Tile, tile, PICTURES, TILE, GtkWidget)

GtkWidget *tile_new          (void);

/* PICTURE may be NULL. */
void       tile_set_picture  (Tile     *self,
                              Picture  *picture);
Picture   *tile_get_picture  (Tile     *self);
