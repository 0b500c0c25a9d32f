/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* AFork itself. Variants: `new`, forks of the default template, which has loaded the module;
 * `decoding` and `no-admin`, the same with a template that was restricted; and `exec`, where each
 * process is executed and loads the module. `new` may also be on another host. The function returns
 * at once; the caller sees the end of file, and the exit status. */

#include "config.h"

#include <afork/afork.h>
#include <stdlib.h>

#include "case-host.h"
#include "case-loop.h"

static AForkRuntime *runtime;
static char *module;
static gboolean execute;

static void
exited_cb (AForkProcess *process,
           int           wait_status,
           gpointer      data)
{
  case_creation_exited (data, wait_status);
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      data)
{
  g_autoptr(GError) error = NULL;
  GSocketConnection *connection;
  int socket;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  if (connection == NULL)
    case_fail ("%s", error->message);

  socket = g_socket_get_fd (g_socket_connection_get_socket (connection));
  case_creation_connected (data, socket, object, connection);
}

static void
create_by_afork (CaseCreation *creation)
{
  AForkProcess *process;

  if (execute)
    process = afork_process_require (afork_process_new_exec (NULL), module);
  else
    process = afork_process_new_for_runtime (runtime);

  g_signal_connect (process, "exited", G_CALLBACK (exited_cb), creation);
  afork_process_run_async (process, "nothing", NULL, run_cb, creation);
}

static void
restrict_template (AForkProcess *template,
                   const char   *variant)
{
  g_autoptr(AForkSandbox) sandbox = NULL;

  if (g_strcmp0 (variant, "decoding") == 0)
    sandbox = afork_sandbox_new_for_decoding ();
  else if (g_strcmp0 (variant, "no-admin") == 0)
    sandbox = g_object_new (AFORK_TYPE_SANDBOX,
                            "system-calls", AFORK_SYSTEM_CALLS_NO_ADMIN,
                            "network", FALSE,
                            NULL);
  if (sandbox != NULL)
    afork_process_restrict (template, sandbox);
}

int
main (int    argc,
      char **argv)
{
  const CasePlace place = case_host_enter (argc, argv);
  AForkProcess *template;
  CaseOptions options;

  case_init (&options, argc, argv);
  runtime = case_host_new_runtime (place);
  module = case_sibling ("perf-module.so");
  execute = g_strcmp0 (options.variant, "exec") == 0;
  if (!execute)
    {
      template = afork_runtime_get_template (runtime);
      afork_process_require (template, module);
      restrict_template (template, options.variant);
    }

  case_loop_run (&options, create_by_afork);
  if (place != CASE_HERE)
    afork_runtime_set_template (runtime, NULL);
  g_clear_object (&runtime);
  free (module);
  return 0;
}
