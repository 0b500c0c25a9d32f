/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "font-paths.h"

/* fonts-conf(5) has these. */
char **
font_paths_new (void)
{
  const char *home = g_get_home_dir ();
  g_autoptr(GPtrArray) paths = g_ptr_array_new ();

  g_ptr_array_add (paths, g_strdup ("/etc/fonts"));
  g_ptr_array_add (paths, g_strdup ("/usr/share/fontconfig"));
  g_ptr_array_add (paths, g_strdup ("/usr/share/fonts"));
  g_ptr_array_add (paths, g_strdup ("/usr/local/share/fonts"));
  g_ptr_array_add (paths, g_strdup ("/var/cache/fontconfig"));
  g_ptr_array_add (paths, g_build_filename (g_get_user_config_dir (), "fontconfig", NULL));
  g_ptr_array_add (paths, g_build_filename (g_get_user_data_dir (), "fonts", NULL));
  g_ptr_array_add (paths, g_build_filename (g_get_user_cache_dir (), "fontconfig", NULL));
  g_ptr_array_add (paths, g_build_filename (home, ".fonts", NULL));
  g_ptr_array_add (paths, g_build_filename (home, ".fonts.conf", NULL));
  g_ptr_array_add (paths, g_build_filename (home, ".fontconfig", NULL));
  g_ptr_array_add (paths, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&paths), FALSE);
}
