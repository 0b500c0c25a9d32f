/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-agent.h"

#include <errno.h>
#include <string.h>

#include "afork-error.h"
#include "afork-runtime-private.h"
#include "base/i18n.h"
#include "wire/afork-mux-frame.h"

/* What a connection is made with: copies of the runtime's properties. */
typedef struct
{
  AForkRuntimeCommand command;
  char               *remote_runtime;
  char               *executable;       /* the interpreter there, or NULL */
  guint               generation;       /* the number of changes of the properties */
} Settings;

static void
settings_init (Settings     *self,
               AForkRuntime *runtime)
{
  /* If another thread changes a property meanwhile, the connection is not used again. */
  self->generation = _afork_runtime_get_generation (runtime);
  self->command = _afork_runtime_dup_command (runtime);
  self->remote_runtime = afork_runtime_dup_remote_runtime (runtime);
  self->executable = afork_runtime_dup_executable (runtime);
}

static void
settings_clear (Settings *self)
{
  _afork_runtime_command_clear (&self->command);
  g_clear_pointer (&self->remote_runtime, g_free);
  g_clear_pointer (&self->executable, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Settings, settings_clear)

static gboolean
is_too_long (const char *string)
{
  return string != NULL && strlen (string) > AFORK_MUX_MAX_STRING;
}

/* Returns why there can be no connection, or NULL. */
static char *
dup_obstacle (const Settings *self,
              AForkRuntime   *runtime)
{
  char *refusal = _afork_runtime_dup_refusal (runtime);

  if (refusal != NULL)
    return refusal;
  if (self->command.argv == NULL || self->command.argv[0] == NULL)
    return g_strdup (_("the runtime has no command"));
  if (is_too_long (self->remote_runtime) || is_too_long (self->executable))
    return g_strdup (g_strerror (ENAMETOOLONG));

  return NULL;
}

/* A connection to an agent, with the number of changes of the runtime's properties when it was
 * made. */
typedef struct
{
  AForkClient *client;
  guint        generation;
} Connection;

static void
copy_cb (gpointer value,
         gpointer copied)
{
  Connection *connection = copied;

  *connection = *(const Connection *) value;
  _afork_client_ref (connection->client);
}

static void
free_cb (gpointer value)
{
  Connection *connection = value;

  _afork_client_unref (connection->client);
  g_free (connection);
}

/* Executes the relay, which executes the command. */
static void
spawn_relay (AForkRuntime   *runtime,
             AForkClient    *connection,
             const Settings *settings)
{
  const AForkRuntimeCommand *command = &settings->command;
  const char *executable = settings->executable;
  g_autofree char *server = _afork_runtime_dup_server ();
  g_autofree char *keepalive = g_strdup_printf ("%u", afork_runtime_get_keepalive (runtime));
  g_autofree char *timeout = g_strdup_printf ("%u", afork_runtime_get_start_timeout (runtime));
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();

  g_ptr_array_add (argv, server);
  g_ptr_array_add (argv, (char *) "--relay");
  g_ptr_array_add (argv, (char *) afork_runtime_get_name (runtime));
  g_ptr_array_add (argv, keepalive);
  g_ptr_array_add (argv, timeout);
  g_ptr_array_add (argv, settings->remote_runtime);
  g_ptr_array_add (argv, (char *) (executable != NULL ? executable : ""));
  for (guint i = 0; command->argv[i] != NULL; i++)
    g_ptr_array_add (argv, command->argv[i]);
  g_ptr_array_add (argv, NULL);
  _afork_client_spawn (connection, (const char * const *) argv->pdata,
                       (const char * const *) command->environment, command->working_directory,
                       AFORK_SPAWN_SOCKET_STANDARD, NULL);
  /* The relay ends with this program, and with it all processes there. */
  _afork_client_set_die_with_parent (connection);
}

/* Whether CONNECTION can be used for CLIENT. It cannot if properties have changed since it was
 * made. */
static gboolean
can_use (const Connection *connection,
         const Settings   *settings,
         AForkClient      *client)
{
  return connection->generation == settings->generation
    && _afork_client_is_open (connection->client)
    && _afork_client_get_home (connection->client) == _afork_client_get_home (client)
    && !_afork_pid_watch_poll_exited (_afork_client_get_pid_watch (connection->client));
}

/* Returns the connection of the thread-default main context. */
static AForkClient *
ensure_connection (AForkRuntime   *runtime,
                   AForkClient    *client,
                   const Settings *settings)
{
  AForkContextTable *connections = _afork_runtime_get_connections (runtime);
  Connection connection = { 0 };

  if (_afork_context_table_get (connections, copy_cb, &connection)
      && can_use (&connection, settings, client))
    return connection.client;

  g_clear_pointer (&connection.client, _afork_client_unref);
  connection.client = _afork_client_new_connection (_afork_client_get_home (client),
                                                    afork_runtime_get_name (runtime));
  connection.generation = settings->generation;
  spawn_relay (runtime, connection.client, settings);
  _afork_client_ref (connection.client);
  _afork_context_table_set (connections, g_memdup2 (&connection, sizeof connection), free_cb);
  return connection.client;
}

static void
start (AForkRuntime *runtime,
       AForkClient  *client)
{
  g_auto(Settings) settings = { 0 };
  g_autofree char *reason = NULL;
  g_autoptr(GError) error = NULL;
  GMainContext *home = _afork_context_peek (_afork_client_get_home (client));
  AForkClient *connection;

  settings_init (&settings, runtime);
  reason = dup_obstacle (&settings, runtime);
  if (reason != NULL)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                           _("There is no connection to “%s”: %s"),
                           afork_runtime_get_name (runtime), reason);
      _afork_client_kill_with_error (client, error);
      return;
    }

  /* A process may be started during a blocking call, which has another context. */
  g_main_context_push_thread_default (home);
  connection = ensure_connection (runtime, client, &settings);
  g_main_context_pop_thread_default (home);
  _afork_client_fork (client, connection);
  _afork_client_unref (connection);
}

const AForkLauncher _afork_launcher_agent = { start, NULL };
