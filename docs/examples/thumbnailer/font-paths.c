/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "font-paths.h"

/* Takes PATH. A relative one, as that of a relative home, would be another one in each folder. */
static void
add (GPtrArray *paths,
     char      *path)
{
  if (g_path_is_absolute (path))
    g_ptr_array_add (paths, path);
  else
    g_free (path);
}

/* fonts-conf(5) has these. */
char **
font_paths_new (void)
{
  const char *home = g_get_home_dir ();
  g_autoptr(GPtrArray) paths = g_ptr_array_new ();

  add (paths, g_strdup ("/etc/fonts"));
  add (paths, g_strdup ("/usr/share/fontconfig"));
  add (paths, g_strdup ("/usr/share/fonts"));
  add (paths, g_strdup ("/usr/local/share/fonts"));
  add (paths, g_strdup ("/var/cache/fontconfig"));
  add (paths, g_build_filename (g_get_user_config_dir (), "fontconfig", NULL));
  add (paths, g_build_filename (g_get_user_data_dir (), "fonts", NULL));
  add (paths, g_build_filename (g_get_user_cache_dir (), "fontconfig", NULL));
  add (paths, g_build_filename (home, ".fonts", NULL));
  add (paths, g_build_filename (home, ".fonts.conf", NULL));
  add (paths, g_build_filename (home, ".fontconfig", NULL));
  g_ptr_array_add (paths, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&paths), FALSE);
}
