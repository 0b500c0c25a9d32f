/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "oom-counter.h"

#include <string.h>

#include "base/atfork.h"

static AForkMutex lock;         /* protects the variables below */
static char *counter_path;      /* NULL if there is none, or it was not searched for yet */
static guint64 last_count;

/* Returns the mount point of a file system of TYPE that has OPTION, which may be NULL. In a line of
 * mountinfo, see proc(5), the mount point is the fifth field, and the type follows “ - ”. */
static char *
find_mount (const char *type,
            const char *option)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/self/mountinfo", &text, NULL, NULL))
    return NULL;

  lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    {
      const char *rest = strstr (lines[i], " - ");
      g_auto(GStrv) fields = g_strsplit (lines[i], " ", 6);
      g_auto(GStrv) later = rest != NULL ? g_strsplit (rest + strlen (" - "), " ", 3) : NULL;
      g_auto(GStrv) options = NULL;

      if (later == NULL || g_strv_length (later) < 3 || g_strv_length (fields) < 5
          || strcmp (later[0], type) != 0)
        continue;

      options = g_strsplit (later[2], ",", -1);
      if (option == NULL || g_strv_contains ((const char * const *) options, option))
        return g_strcompress (fields[4]);
    }

  return NULL;
}

/* Returns the control group of this program in the hierarchy of CONTROLLER, or in that of version 2
 * if CONTROLLER is "". A line of the file is NUMBER:CONTROLLERS:PATH, see cgroups(7). */
static char *
find_group (const char *controller)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return NULL;

  lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    {
      g_auto(GStrv) fields = g_strsplit (lines[i], ":", 3);
      g_auto(GStrv) controllers = NULL;

      if (g_strv_length (fields) < 3)
        continue;

      controllers = g_strsplit (fields[1], ",", -1);
      if (strcmp (fields[1], controller) == 0
          || g_strv_contains ((const char * const *) controllers, controller))
        return g_strdup (fields[2]);
    }

  return NULL;
}

static char *
find_counter (const char *type,
              const char *controller,
              const char *name)
{
  g_autofree char *mount = find_mount (type, *controller != '\0' ? controller : NULL);
  g_autofree char *group = find_group (controller);
  g_autofree char *path = NULL;

  if (mount == NULL || group == NULL)
    return NULL;

  path = g_build_filename (mount, group, name, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}

static guint64
read_count (void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (counter_path == NULL || !g_file_get_contents (counter_path, &text, NULL, NULL))
    return 0;

  lines = g_strsplit (text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], "oom_kill "))
      return g_ascii_strtoull (lines[i] + strlen ("oom_kill "), NULL, 10);

  return 0;
}

void
_afork_oom_counter_start (void)
{
  static gboolean begun;

  _afork_mutex_lock (&lock);
  if (!begun)
    {
      counter_path = find_counter ("cgroup2", "", "memory.events.local");
      if (counter_path == NULL)
        counter_path = find_counter ("cgroup", "memory", "memory.oom_control");
      last_count = read_count ();
      begun = TRUE;
    }
  _afork_mutex_unlock (&lock);
}

gboolean
_afork_oom_counter_has_killed (void)
{
  guint64 count;
  gboolean has_killed;

  _afork_mutex_lock (&lock);
  count = read_count ();
  has_killed = count > last_count;
  last_count = count;
  _afork_mutex_unlock (&lock);

  return has_killed;
}
