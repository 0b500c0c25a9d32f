/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "style.h"

#ifdef HAVE_ADWAITA
# include <adwaita.h>
#endif

static const char css[] =
  "gridview { padding: 6px; }"
  "gridview > child { padding: 4px; border-radius: 10px; }"
  "tile { border-radius: 8px; background: alpha(currentColor, 0.07); }"
  "tile > box { color: @error_color; padding: 8px; }"
  "viewer { background: alpha(currentColor, 0.04); }"
  "poolpane > box { padding: 14px; }"
  "poolpane listview { background: none; }"
  "poolpane listview > row { padding: 4px 0; }";

GtkApplication *
style_new_application (const char *id)
{
#ifdef HAVE_ADWAITA
  return GTK_APPLICATION (adw_application_new (id, G_APPLICATION_HANDLES_OPEN));
#else
  return gtk_application_new (id, G_APPLICATION_HANDLES_OPEN);
#endif
}

void
style_load (void)
{
  g_autoptr(GtkCssProvider) provider = gtk_css_provider_new ();

  gtk_css_provider_load_from_data (provider, css, -1);
  gtk_style_context_add_provider_for_display (gdk_display_get_default (),
                                              GTK_STYLE_PROVIDER (provider),
                                              GTK_STYLE_PROVIDER_PRIORITY_APPLICATION);
}
