/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How much private memory a native worker has while it does nothing, in KiB: when it was forked and
 * not run (`unrun-kib`), and when its function sleeps in read() (`running-kib`). Pages that it
 * shares with its template are not private. */

#include "config.h"

#include <afork/afork.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "case.h"

static void
wait_until_asleep (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);

  for (;;)
    {
      g_autofree char *stat = NULL;
      g_autoptr(GError) error = NULL;
      const char *name_end;

      if (!g_file_get_contents (path, &stat, NULL, &error))
        case_fail ("%s", error->message);

      name_end = strrchr (stat, ')');
      if (name_end != NULL && g_str_has_prefix (name_end, ") S"))
        return;
      sched_yield ();
    }
}

static int64_t
get_private_kib (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", pid);
  g_autofree char *smaps = NULL;
  g_autoptr(GError) error = NULL;
  const char *clean, *dirty;

  wait_until_asleep (pid);
  if (!g_file_get_contents (path, &smaps, NULL, &error))
    case_fail ("%s", error->message);

  clean = strstr (smaps, "Private_Clean:");
  dirty = strstr (smaps, "Private_Dirty:");
  if (clean == NULL || dirty == NULL)
    case_fail ("%s does not say what is private", path);

  return g_ascii_strtoll (clean + strlen ("Private_Clean:"), NULL, 10)
         + g_ascii_strtoll (dirty + strlen ("Private_Dirty:"), NULL, 10);
}

static void
measure (const char *module)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  int64_t unrun, running;

  afork_process_require (afork_runtime_get_template (afork_runtime_get_native ()), module);

  process = afork_process_new ();
  while (afork_process_get_pid (process) == 0)
    g_main_context_iteration (NULL, TRUE);
  unrun = get_private_kib (afork_process_get_pid (process));

  connection = afork_process_run (process, "idle", NULL, &error);
  if (connection == NULL)
    case_fail ("%s", error->message);
  running = get_private_kib (afork_process_get_pid (process));

  case_print_series ("unrun-kib", &unrun, 1);
  case_print_series ("running-kib", &running, 1);

  g_clear_object (&connection);
  if (!afork_process_wait (process, NULL, &error))
    case_fail ("%s", error->message);
}

int
main (int    argc,
      char **argv)
{
  char *module = case_sibling ("perf-module.so");

  measure (module);
  free (module);
  return 0;
}
