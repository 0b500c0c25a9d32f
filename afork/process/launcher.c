/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher.h"

#include "afork-error.h"
#include "afork-runtime-private.h"
#include "base/i18n.h"
#include "base/library.h"

static void
send_module_path (AForkClient        *client,
                  const char * const *directories)
{
  AForkFrame frame = { .kind = AFORK_FRAME_MODULE_PATH };
  g_autofree G_GNUC_UNUSED guint8 *bytes = _afork_client_pack_strings (directories, &frame.strings);

  _afork_client_send (client, &frame, -1);
}

/* A worker that serves calls needs this library, even if its own code is linked without it. */
static void
send_library (AForkClient *client)
{
  g_autofree char *path = _afork_library_dup_path ();
  AForkFrame frame = { .kind = AFORK_FRAME_LIBRARY, .string = { path } };

  if (path != NULL)
    _afork_client_send (client, &frame, -1);
}

void
_afork_launcher_execute (AForkRuntime     *runtime,
                         AForkClient      *client,
                         AForkSpawnSocket  how,
                         const char       *hint)
{
  g_auto(AForkRuntimeCommand) command = _afork_runtime_dup_command (runtime);
  g_autoptr(GError) error = NULL;

  if (command.argv == NULL || command.argv[0] == NULL)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                           _("The runtime “%s” has no command"), afork_runtime_get_name (runtime));
      _afork_client_kill_with_error (client, error);
      return;
    }

  _afork_client_spawn (client, (const char * const *) command.argv,
                       (const char * const *) command.environment, command.working_directory,
                       how, hint);
}

gboolean
_afork_launcher_check_again (const AForkLauncher  *self,
                             AForkRuntime         *runtime,
                             const char           *name,
                             GError              **error)
{
  const char *obstacle = self->find_obstacle != NULL ? self->find_obstacle (runtime) : NULL;

  if (obstacle == NULL)
    return TRUE;

  g_set_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
               _("%s cannot be created again: %s"), name, obstacle);
  return FALSE;
}

void
_afork_launcher_start (const AForkLauncher *self,
                       AForkRuntime        *runtime,
                       AForkClient         *client)
{
  g_auto(GStrv) search_path = NULL;

  _afork_client_set_start_timeout (client, afork_runtime_get_start_timeout (runtime));
  self->start (runtime, client);
  send_library (client);
  search_path = _afork_runtime_dup_search_path (runtime);
  if (search_path != NULL)
    send_module_path (client, (const char * const *) search_path);
}
