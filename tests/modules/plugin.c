/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A plugin that uses the library for a program that does not: for dlopen() and dlclose(). */

#include <afork/afork.h>

#include "afork/worker/afork-worker.h"

AFORK_WORKER_EXPORT gboolean plugin_use (void);

/* Whether a process was run and has exited properly. What the library keeps for the next one is
 * left to the library. */
gboolean
plugin_use (void)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(AForkRpc) rpc = NULL;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GError) error = NULL;

  afork_process_require (process, "lifecycle");
  connection = afork_process_run (process, "done", NULL, &error);
  if (connection == NULL || !afork_process_wait (process, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return FALSE;
    }

  g_clear_object (&process);
  process = afork_process_require (afork_process_new (), "calls");
  rpc = afork_rpc_new (process, "calls_echo");
  answer = afork_rpc_call (rpc, g_variant_new ("(s)", "hello"), NULL, &error);
  if (answer == NULL || !afork_rpc_close (rpc, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return FALSE;
    }

  return TRUE;
}
