/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: g_spawn_async() of `/bin/true`, with a child watch. Variants: `default`, which closes all
 * descriptors in the child, and for that forks the caller; and `leave-open`, which leaves them
 * open, so that GLib can use posix_spawn(). */

#include "config.h"

#include <glib.h>

#include "case-loop.h"

static GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD;

static void
ended_cb (GPid     pid,
          int      wait_status,
          gpointer data)
{
  g_spawn_close_pid (pid);
  case_creation_exited (data, wait_status);
}

static void
execute_by_gspawn (CaseCreation *creation)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  g_autoptr(GError) error = NULL;
  GPid pid;

  if (!g_spawn_async (NULL, argv, NULL, flags, NULL, NULL, &pid, &error))
    case_fail ("%s", error->message);

  g_child_watch_add (pid, ended_cb, creation);
  case_creation_started (creation, NULL, NULL);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  if (g_strcmp0 (options.variant, "leave-open") == 0)
    flags |= G_SPAWN_LEAVE_DESCRIPTORS_OPEN;

  case_loop_run (&options, execute_by_gspawn);
  return 0;
}
