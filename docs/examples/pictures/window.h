/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>
#include <gtk/gtk.h>

/* A window on a folder of pictures. Several windows may have the same pool. */
#define WINDOW_TYPE (window_get_type ())
G_DECLARE_FINAL_TYPE (Window, window, PICTURES, WINDOW, GtkApplicationWindow)

GtkWidget     *window_new            (GtkApplication *app,
                                      AForkPool      *pool,
                                      GFile          *folder);

/* The pictures, and the position of the view. */
GListModel    *window_get_pictures   (Window         *self);
GtkAdjustment *window_get_adjustment (Window         *self);
GtkWidget     *window_get_pane       (Window         *self);

/* Shows one picture in full, as a double click does, or the folder again. */
void           window_open_picture   (Window         *self,
                                      guint           position);
void           window_go_back        (Window         *self);
