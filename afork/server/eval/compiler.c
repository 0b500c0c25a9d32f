/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "compiler.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes the directory of the object that has this code to DIRECTORY. For a program, the dynamic
 * linker has only the name by which it was started, so the path is read from /proc. Returns false
 * if it is not known. */
static bool
find_own_directory (char directory[PATH_MAX])
{
  struct link_map *object;
  Dl_info info;
  char *slash;

  if (dladdr1 ((void *) find_own_directory, &info, (void **) &object, RTLD_DL_LINKMAP) == 0)
    return false;

  if (object->l_name[0] != '\0')
    {
      if (snprintf (directory, PATH_MAX, "%s", object->l_name) >= PATH_MAX)
        return false;
    }
  else
    {
      ssize_t length = readlink ("/proc/self/exe", directory, PATH_MAX);

      /* A path of that length may have been cut. */
      if (length < 0 || length == PATH_MAX)
        return false;
      directory[length] = '\0';
    }

  slash = strrchr (directory, '/');
  if (slash == NULL)
    return false;

  *slash = '\0';
  return true;
}

/* Writes the plugin's path in the build tree, below the directory of the server, to PATH. Returns
 * whether the file exists. */
static bool
find_uninstalled (char path[PATH_MAX])
{
  char directory[PATH_MAX];

  return find_own_directory (directory)
    && snprintf (path, PATH_MAX, "%s/%s", directory, AFORK_EVAL_UNINSTALLED) < PATH_MAX
    && access (path, F_OK) == 0;
}

const AForkCompiler *
afork_compiler_load (AForkFailure *failure)
{
  const char *path = secure_getenv ("AFORK_EVAL");
  const AForkCompiler *compiler = NULL;
  char uninstalled[PATH_MAX];
  void *handle;

  if (path == NULL || *path == '\0')
    path = find_uninstalled (uninstalled) ? uninstalled : AFORK_EVAL_INSTALLED;

  handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  if (handle != NULL)
    compiler = dlsym (handle, AFORK_COMPILER_SYMBOL);
  if (compiler == NULL)
    afork_failure_set (failure, AFORK_WIRE_ERROR_NOT_SUPPORTED,
                       "Code in C cannot be evaluated without AFork's compiler plugin, which is "
                       "built where libtcc is installed: %s", dlerror ());

  return compiler;
}
