/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The program of the GJS runtime: it embeds GJS, and serves the caller.
 *
 * The library starts it with --socket=N. With --late-context, the JavaScript context is made in
 * each worker, and not in the template, as it is where the engine does not let its helper threads
 * be replaced. */

#include "config.h"

#include <stdio.h>
#include <string.h>

#include "gjs-server.h"
#include "helper-threads.h"
#include "silent-monitor.h"

int
main (int    argc,
      char **argv)
{
  gboolean is_late = FALSE;
  int socket = -1;

  for (int i = 1; i < argc; i++)
    {
      int end = 0;

      if (strcmp (argv[i], "--late-context") == 0)
        is_late = TRUE;
      else if (sscanf (argv[i], "--socket=%d%n", &socket, &end) != 1 || argv[i][end] != '\0')
        socket = -1;
    }

  if (socket < 0)
    {
      fputs ("afork-gjs is started by programs that use AFork, and serves them on a socket: with\n"
             "--socket=N descriptor N.\n", stderr);
      return 2;
    }

  _afork_silent_monitor_register ();
  if (!is_late)
    is_late = !_afork_helper_threads_init ();
  afork_server_run (_afork_gjs_server_new (is_late), socket);
  return 1;
}
