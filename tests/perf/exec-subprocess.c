/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: GSubprocess of `/bin/true`. Variants: `default`, which closes all descriptors in the child,
 * and for that forks the caller; and `inherit-fds`, which leaves them open, so that GLib can use
 * posix_spawn(). */

#include "config.h"

#include <gio/gio.h>

#include "case-subprocess.h"

static GSubprocessFlags flags;

static void
execute_by_subprocess (CaseCreation *creation)
{
  const char *argv[] = { "/bin/true", NULL };
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  process = g_subprocess_newv (argv, flags, &error);
  if (process == NULL)
    case_fail ("%s", error->message);

  case_subprocess_await (process, creation);
  case_creation_started (creation, process, NULL);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  if (g_strcmp0 (options.variant, "inherit-fds") == 0)
    flags = G_SUBPROCESS_FLAGS_INHERIT_FDS;

  case_loop_run (&options, execute_by_subprocess);
  return 0;
}
