/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-self.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "afork-error.h"
#include "afork-init-private.h"
#include "afork-runtime-private.h"
#include "base/i18n.h"

/* Whether this program, executed again, would be found and would serve. */
static gboolean
check_program (AForkRuntime  *runtime,
               GError       **error)
{
  g_auto(AForkRuntimeCommand) command = _afork_runtime_dup_command (runtime);

  /* _afork_launcher_execute() fails then. */
  if (command.argv[0] == NULL)
    return TRUE;
  if (!_afork_init_check (error))
    return FALSE;
  if (strcmp (command.argv[0], AFORK_SELF_PATH) != 0 || access (AFORK_SELF_PATH, F_OK) == 0)
    return TRUE;

  g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
               _("The program cannot be executed as its own worker: %s is not there (%s)"),
               AFORK_SELF_PATH, g_strerror (errno));
  return FALSE;
}

static void
start_self (AForkRuntime *runtime,
            AForkClient  *client)
{
  g_autoptr(GError) error = NULL;

  if (!check_program (runtime, &error))
    _afork_client_kill_with_error (client, error);
  else
    _afork_launcher_execute (runtime, client, AFORK_SPAWN_SOCKET_HIDDEN,
                             _("it has to call afork_init() before anything else"));
}

const AForkLauncher _afork_launcher_self = { start_self, NULL };

static void
start_program (AForkRuntime *runtime,
               AForkClient  *client)
{
  _afork_client_fork_program (client);
}

static const char *
find_program_obstacle (AForkRuntime *runtime)
{
  return _("it is a template of the program itself, or a fork of one");
}

const AForkLauncher _afork_launcher_program = { start_program, find_program_obstacle };
