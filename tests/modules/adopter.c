/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A worker that is itself a caller: it takes over processes that its own caller has prepared. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <afork/afork.h>
#include <afork/worker/afork-worker.h>

static void
check (gboolean  success,
       GError   *error)
{
  if (success)
    return;

  fprintf (stderr, "%s\n", error->message);
  exit (1);
}

AFORK_WORKER_EXPORT void attach_and_detach (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void attach_and_run    (int socket, const AForkItem *items, size_t n_items);

/* Each three items are a process, a descriptor and a text. The process writes the text to the
 * descriptor, and is then dropped. */
void
attach_and_detach (int              socket,
                   const AForkItem *items,
                   size_t           n_items)
{
  for (size_t i = 0; i + 2 < n_items; i += 3)
    {
      g_autoptr(AForkProcess) process = afork_process_new_from_fd (items[i].fd);
      g_autoptr(GError) error = NULL;
      int fd;

      afork_process_map_fd (process, items[i + 1].fd, 99);
      afork_process_require (process, "faults");
      afork_process_call (process, "call_notify",
                          (const char * const []) { "99", items[i + 2].data, NULL });
      fd = afork_process_detach (process, NULL, &error);
      check (fd >= 0, error);
      close (fd);
    }
}

/* The item is a process. Runs it with the function that the second item names. Prints its pid, its
 * output and its exit status. */
void
attach_and_run (int              socket,
                const AForkItem *items,
                size_t           n_items)
{
  g_autoptr(AForkProcess) process = afork_process_new_from_fd (items[0].fd);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;
  char text[100] = "";
  int status = -1;

  connection = afork_process_run (process, items[1].data, NULL, &error);
  check (connection != NULL, error);
  g_socket_shutdown (g_socket_connection_get_socket (connection), FALSE, TRUE, NULL);
  check (g_input_stream_read_all (g_io_stream_get_input_stream (G_IO_STREAM (connection)),
                                  text, sizeof text - 1, NULL, NULL, &error), error);
  check (afork_process_wait (process, NULL, &error)
         || g_error_matches (error, AFORK_ERROR, AFORK_ERROR_LOST), error);
  afork_process_get_exit_status (process, &status);
  dprintf (socket, "%d %s %d", (int) afork_process_get_pid (process), text, status);
}
