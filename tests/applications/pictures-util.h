/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gtk/gtk.h>

/* Makes and removes a folder with COUNT pictures of WIDTH pixels, of which DISTINCT are drawn. */
char *make_folder     (guint       count,
                       guint       distinct,
                       guint       width);
void  remove_folder   (char       *folder);

/* Writes what WINDOW shows to a PNG file. */
void  take_screenshot (GtkWidget  *window,
                       const char *name);
