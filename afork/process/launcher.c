/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a fresh process of a runtime executes, or is forked from instead. */

#include "config.h"

#include "afork-runtime-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "afork-early-private.h"
#include "afork-error.h"
#include "afork-init-private.h"
#include "afork-process-private.h"
#include "base/i18n.h"
#include "base/library.h"

static void
send_module_path (AForkClient        *client,
                  const char * const *folders)
{
  AForkFrame frame = { .kind = AFORK_FRAME_MODULE_PATH };
  g_autofree G_GNUC_UNUSED guint8 *bytes = _afork_client_pack_strings (folders, &frame.strings);

  _afork_client_send (client, &frame, -1);
}

/* What a worker that serves calls needs, wherever its own code is linked. */
static void
send_library (AForkClient *client)
{
  g_autofree char *path = _afork_library_dup_path ();
  AForkFrame frame = { .kind = AFORK_FRAME_LIBRARY, .string = { path } };

  if (path != NULL)
    _afork_client_send (client, &frame, -1);
}

static AForkSpawnSocket
get_socket_place (AForkRuntime *self)
{
  switch (self->kind)
    {
    case AFORK_RUNTIME_KIND_NATIVE:
      return AFORK_SPAWN_SOCKET_NUMBERED;
    case AFORK_RUNTIME_KIND_SELF:
      return AFORK_SPAWN_SOCKET_HIDDEN;
    default:
      return AFORK_SPAWN_SOCKET_STANDARD;
    }
}

static void
execute (AForkRuntime *self,
         AForkClient  *client)
{
  g_auto(GStrv) argv = NULL;
  g_auto(GStrv) environment = NULL;
  g_autofree char *working_directory = NULL;
  g_autoptr(GError) error = NULL;

  _afork_mutex_lock (&self->mutex);
  argv = _afork_runtime_find_argv (self);
  environment = g_strdupv (self->environment);
  working_directory = g_strdup (self->working_directory);
  _afork_mutex_unlock (&self->mutex);

  if (argv == NULL || argv[0] == NULL)
    g_set_error (&error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                 _("The runtime “%s” has no command"), self->name);
  else if (self->kind == AFORK_RUNTIME_KIND_SELF && _afork_init_check (&error)
           && strcmp (argv[0], AFORK_SELF_PATH) == 0 && access (AFORK_SELF_PATH, F_OK) < 0)
    g_set_error (&error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                 _("The program cannot be executed as its own worker: %s is not there (%s)"),
                 AFORK_SELF_PATH, g_strerror (errno));
  if (error != NULL)
    {
      _afork_client_kill_with_error (client, error);
      return;
    }

  _afork_client_spawn (client, (const char * const *) argv, (const char * const *) environment,
                       working_directory, get_socket_place (self));
}

/* The process to be forked instead of executing the server program, or NULL. */
static AForkProcess *
get_early (AForkRuntime *self)
{
  gboolean has_own_settings;

  if (self->kind != AFORK_RUNTIME_KIND_NATIVE)
    return NULL;

  _afork_mutex_lock (&self->mutex);
  has_own_settings = self->argv != NULL || self->environment != NULL
    || self->working_directory != NULL;
  _afork_mutex_unlock (&self->mutex);
  return has_own_settings ? NULL : _afork_early_get ();
}

void
_afork_runtime_spawn (AForkRuntime *self,
                      AForkClient  *client)
{
  g_auto(GStrv) module_path = afork_runtime_dup_module_path (self);
  AForkProcess *early = get_early (self);

  _afork_client_set_start_timeout (client, afork_runtime_get_start_timeout (self));
  if (early != NULL)
    _afork_client_fork (client, early->client);
  else if (self->kind == AFORK_RUNTIME_KIND_PROGRAM)
    _afork_client_fork_program (client);
  else
    execute (self, client);

  send_library (client);
  if (module_path != NULL)
    send_module_path (client, (const char * const *) module_path);
}
