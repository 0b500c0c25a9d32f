/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: GDBus between two processes, without a bus. The other one registers an object with a method
 * that returns its argument. */

#include "config.h"

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call-loop.h"

static const char PATH[] = "/org/afork/Peer";
static const char INTERFACE[] = "org.afork.Peer";
static const char XML[] =
  "<node><interface name='org.afork.Peer'><method name='Echo'>"
  "<arg type='ay' direction='in'/><arg type='ay' direction='out'/>"
  "</method></interface></node>";

static GDBusConnection *
connect_socket (int                  fd,
                GDBusConnectionFlags flags)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSocket) socket = g_socket_new_from_fd (fd, &error);
  g_autoptr(GSocketConnection) stream = NULL;
  g_autofree char *guid = g_dbus_generate_guid ();
  GDBusConnection *connection;

  if (socket == NULL)
    case_fail ("%s", error->message);
  stream = g_socket_connection_factory_create_connection (socket);
  connection = g_dbus_connection_new_sync (G_IO_STREAM (stream),
                                           (flags & G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER)
                                           ? guid : NULL,
                                           flags, NULL, NULL, &error);
  if (connection == NULL)
    case_fail ("%s", error->message);
  return connection;
}

static void
method_cb (GDBusConnection       *connection,
           const char            *sender,
           const char            *path,
           const char            *interface,
           const char            *method,
           GVariant              *parameters,
           GDBusMethodInvocation *invocation,
           gpointer               data)
{
  g_dbus_method_invocation_return_value (invocation, parameters);
}

static void
closed_cb (GDBusConnection *connection,
           gboolean         vanished,
           GError          *error,
           gpointer         data)
{
  _exit (0);
}

G_GNUC_NORETURN static void
serve (int fd)
{
  static const GDBusInterfaceVTable vtable = { .method_call = method_cb };
  g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (XML, NULL);
  GDBusConnection *connection;

  /* Calls are not dispatched before the object is registered. */
  connection = connect_socket (fd, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER
                                   | G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING);
  g_signal_connect (connection, "closed", G_CALLBACK (closed_cb), NULL);
  g_dbus_connection_register_object (connection, PATH, node->interfaces[0], &vtable, NULL, NULL,
                                     NULL);
  g_dbus_connection_start_message_processing (connection);
  for (;;)
    g_main_context_iteration (NULL, TRUE);
}

static void
answer_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;
  g_autoptr(GVariant) bytes = NULL;

  answer = g_dbus_connection_call_finish (G_DBUS_CONNECTION (object), result, &error);
  if (answer == NULL)
    case_fail ("%s", error->message);

  bytes = g_variant_get_child_value (answer, 0);
  call_check_result (g_variant_get_data (bytes), g_variant_get_size (bytes), CALL_ECHO_SIZE);
  call_ended (GPOINTER_TO_INT (data));
}

static void
begin (int   ticket,
       void *data)
{
  char bytes[CALL_ECHO_SIZE];
  GVariant *value;

  memset (bytes, CALL_FILLING, sizeof bytes);
  value = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, sizeof bytes, 1);
  g_dbus_connection_call (data, NULL, PATH, INTERFACE, "Echo", g_variant_new_tuple (&value, 1),
                          G_VARIANT_TYPE ("(ay)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, answer_cb,
                          GINT_TO_POINTER (ticket));
}

static void
turn (void *data)
{
  g_main_context_iteration (NULL, TRUE);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GDBusConnection) connection = NULL;
  CaseOptions options;
  int pair[2];

  case_init (&options, argc, argv);
  if (g_strcmp0 (options.variant, "echo") != 0)
    case_fail ("no such variant");
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");

  switch (fork ())
    {
    case -1:
      case_fail_errno ("fork");
    case 0:
      close (pair[0]);
      serve (pair[1]);
    default:
      close (pair[1]);
    }

  connection = connect_socket (pair[0], G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT);
  call_run (&options, begin, turn, connection);
  return 0;
}
