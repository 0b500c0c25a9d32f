/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-agent.h"

#include "afork-error.h"
#include "afork-runtime-private.h"
#include "base/i18n.h"

static void
ref_cb (gpointer value,
        gpointer copied)
{
  *(AForkClient **) copied = _afork_client_ref (value);
}

static void
unref_cb (gpointer value)
{
  _afork_client_unref (value);
}

/* Executes the relay, which executes the command. */
static void
spawn_relay (AForkRuntime *runtime,
             AForkClient  *connection,
             AForkRuntimeCommand *command)
{
  g_autofree char *server = _afork_runtime_dup_server ();
  g_autofree char *keepalive = g_strdup_printf ("%u", afork_runtime_get_keepalive (runtime));
  g_autofree char *timeout = g_strdup_printf ("%u", afork_runtime_get_start_timeout (runtime));
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();

  g_ptr_array_add (argv, server);
  g_ptr_array_add (argv, (char *) "--relay");
  g_ptr_array_add (argv, (char *) afork_runtime_get_name (runtime));
  g_ptr_array_add (argv, keepalive);
  g_ptr_array_add (argv, timeout);
  for (guint i = 0; command->argv[i] != NULL; i++)
    g_ptr_array_add (argv, command->argv[i]);
  g_ptr_array_add (argv, NULL);
  _afork_client_spawn (connection, (const char * const *) argv->pdata,
                       (const char * const *) command->environment, command->working_directory,
                       AFORK_SPAWN_SOCKET_STANDARD, NULL);
  /* The relay ends with this program, and with it all processes there. */
  _afork_client_set_die_with_parent (connection);
}

/* Returns the connection of the thread-default main context. */
static AForkClient *
ensure_connection (AForkRuntime        *runtime,
                   AForkClient         *client,
                   AForkRuntimeCommand *command)
{
  AForkContextTable *connections = _afork_runtime_get_connections (runtime);
  AForkClient *connection = NULL;

  if (_afork_context_table_get (connections, ref_cb, &connection)
      && _afork_client_is_open (connection)
      && _afork_client_get_home (connection) == _afork_client_get_home (client)
      && !_afork_pid_watch_poll_exited (_afork_client_get_pid_watch (connection)))
    return connection;

  g_clear_pointer (&connection, _afork_client_unref);
  connection = _afork_client_new_connection (_afork_client_get_home (client),
                                             afork_runtime_get_name (runtime));
  spawn_relay (runtime, connection, command);
  _afork_context_table_set (connections, _afork_client_ref (connection), unref_cb);
  return connection;
}

static void
start (AForkRuntime *runtime,
       AForkClient  *client)
{
  g_auto(AForkRuntimeCommand) command = _afork_runtime_dup_command (runtime);
  g_autofree char *reason = _afork_runtime_dup_refusal (runtime);
  g_autoptr(GError) error = NULL;
  GMainContext *home = _afork_context_peek (_afork_client_get_home (client));
  AForkClient *connection;

  if (reason == NULL && (command.argv == NULL || command.argv[0] == NULL))
    reason = g_strdup (_("the runtime has no command"));
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
  connection = ensure_connection (runtime, client, &command);
  g_main_context_pop_thread_default (home);
  _afork_client_fork (client, connection);
  _afork_client_unref (connection);
}

const AForkLauncher _afork_launcher_agent = { start, NULL };
