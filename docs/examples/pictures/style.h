/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gtk/gtk.h>

/* The application is one of libadwaita if the program was built with it. */
GtkApplication *style_new_application (const char *id);

/* Call this once the application has started. */
void            style_load            (void);
