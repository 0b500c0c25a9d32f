/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A server on a local port, with ten processes that wait for its clients. The program only opens
 * the port, and sends the listening socket to a template. The ten processes are forks of the
 * template. Ctrl-C ends the program. */

#include <locale.h>
#include <signal.h>
#include <stdlib.h>

#include <glib-unix.h>

#include <afork/afork.h>

enum { N_WORKERS = 10 };

typedef struct
{
  GPtrArray *connections;       /* to the workers, each of which exits when its own is closed */
  guint      n_running;
  gboolean   failed;
  gboolean   ending;
} Pool;

static void
wait_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  Pool *pool = user_data;
  g_autoptr(GError) error = NULL;

  if (!afork_process_wait_finish (AFORK_PROCESS (object), result, &error))
    g_printerr ("%s\n", error->message);
  if (!afork_process_get_exit_status (AFORK_PROCESS (object), NULL))
    pool->failed = TRUE;
  pool->n_running--;
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      user_data)
{
  Pool *pool = user_data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  if (connection == NULL)
    {
      g_printerr ("%s\n", error->message);
      pool->failed = TRUE;
      pool->n_running--;
      return;
    }

  if (!pool->ending)
    g_ptr_array_add (pool->connections, g_steal_pointer (&connection));
  afork_process_wait_async (AFORK_PROCESS (object), NULL, wait_cb, pool);
}

static void
start (Pool    *pool,
       GSocket *listener)
{
  g_autoptr(AForkProcess) template = afork_process_new ();

  afork_process_require (template, "answer");
  afork_process_send_fd (template, g_socket_get_fd (listener));
  for (int i = 0; i < N_WORKERS; i++)
    {
      g_autoptr(AForkProcess) process = afork_process_fork (template);

      afork_process_run_async (process, "answer", NULL, run_cb, pool);
      pool->n_running++;
    }
}

static gboolean
interrupted_cb (gpointer user_data)
{
  Pool *pool = user_data;

  pool->ending = TRUE;
  g_ptr_array_set_size (pool->connections, 0);
  return G_SOURCE_CONTINUE;
}

/* Any free port of the local host. */
static GSocket *
listen_locally (guint16  *port,
                GError  **error)
{
  g_autoptr(GInetAddress) host = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr(GSocketAddress) address = g_inet_socket_address_new (host, 0);
  g_autoptr(GSocketAddress) bound = NULL;
  g_autoptr(GSocket) socket = NULL;

  socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);
  if (socket == NULL
      || !g_socket_bind (socket, address, TRUE, error)
      || !g_socket_listen (socket, error)
      || (bound = g_socket_get_local_address (socket, error)) == NULL)
    return NULL;

  *port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
  return g_steal_pointer (&socket);
}

/* The module is in the directory of the program. */
static void
set_module_path (void)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program != NULL ? g_path_get_dirname (program) : g_strdup (".");

  afork_runtime_set_module_path (afork_runtime_get_native (),
                                 (const char * const []) { folder, NULL });
}

int
main (int    argc,
      char **argv)
{
  Pool pool = { .connections = g_ptr_array_new_with_free_func (g_object_unref) };
  g_autoptr(GSocket) listener = NULL;
  g_autoptr(GError) error = NULL;
  guint16 port;

  setlocale (LC_ALL, "");
  listener = listen_locally (&port, &error);
  if (listener == NULL)
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }

  set_module_path ();
  g_unix_signal_add (SIGINT, interrupted_cb, &pool);
  start (&pool, listener);
  g_print ("http://127.0.0.1:%u/\n", port);

  while (pool.n_running > 0)
    g_main_context_iteration (NULL, TRUE);

  g_ptr_array_unref (pool.connections);
  return pool.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
