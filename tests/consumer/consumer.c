/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Runs `greet` of the module in its argument, and prints what it says. */

#include <afork/afork.h>

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  char text[64];
  gssize n;

  afork_process_require (process, argv[1]);
  afork_process_send_arg (process, "consumer");
  connection = afork_process_run (process, "greet", NULL, &error);
  if (connection == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }

  n = g_input_stream_read (g_io_stream_get_input_stream (G_IO_STREAM (connection)),
                           text, sizeof text, NULL, &error);
  if (n < 0)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }

  g_print ("%.*s with AFork %s\n", (int) n, text, AFORK_VERSION_S);
  return 0;
}
