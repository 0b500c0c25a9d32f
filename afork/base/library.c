/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "library.h"

#include <dlfcn.h>

/* The dynamic linker writes the path of a directory without a limit, and the path of a working
 * directory may be longer than PATH_MAX. */
enum { MAX_DIRECTORY = 1024 * 1024 };

/* The dynamic linker may find the library in a relative directory, for example one of
 * LD_LIBRARY_PATH. It keeps the absolute path, whatever the working directory is now. */
static char *
dup_absolute_path (const char *path)
{
  g_autofree char *directory = g_malloc0 (MAX_DIRECTORY);
  g_autofree char *name = g_path_get_basename (path);
  void *handle = dlopen (path, RTLD_LAZY | RTLD_NOLOAD);
  gboolean is_known = FALSE;

  if (handle != NULL)
    {
#ifdef __GLIBC__
      is_known = dlinfo (handle, RTLD_DI_ORIGIN, directory) == 0
        && g_path_is_absolute (directory);
#endif
      dlclose (handle);
    }

  return is_known ? g_build_filename (directory, name, NULL) : NULL;
}

static char *
find_path (void)
{
  Dl_info info;

  if (dladdr ((void *) _afork_library_dup_path, &info) == 0 || info.dli_fname == NULL)
    return NULL;
  if (g_path_is_absolute (info.dli_fname))
    return g_strdup (info.dli_fname);

  return dup_absolute_path (info.dli_fname);
}

/* The dynamic linker searches for the path, so it is asked once. */
char *
_afork_library_dup_path (void)
{
  static char *known;           /* atomic; never freed */

  if (g_atomic_pointer_get (&known) == NULL)
    {
      char *found = find_path ();

      if (!g_atomic_pointer_compare_and_exchange (&known, NULL, found))
        g_free (found);
    }

  return g_strdup (g_atomic_pointer_get (&known));
}
