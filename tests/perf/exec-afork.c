/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFork executes programs: a fork of the default template executes `/bin/true`. The caller sees the
 * exit status. */

#include "config.h"

#include <afork/afork.h>

#include "case-loop.h"

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  case_creation_exited (data, wait_status);
}

static void
exec_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      data)
{
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection;

  connection = afork_process_exec_finish (AFORK_PROCESS (object), result, &error);
  if (connection == NULL)
    case_fail ("%s", error->message);

  case_creation_started (data, object, connection);
}

static void
execute_by_afork (CaseCreation *creation)
{
  const char *argv[] = { "/bin/true", NULL };
  AForkProcess *process = afork_process_new ();

  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), creation);
  afork_process_exec_async (process, argv, NULL, exec_cb, creation);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  case_loop_run (&options, execute_by_afork);
  return 0;
}
