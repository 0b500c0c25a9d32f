/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-pid-watch-util.h"

#include <stdlib.h>

AForkProcess *
new_executed (void)
{
  return afork_process_require (afork_process_new_exec (NULL), "lifecycle");
}

/* Reads a line that the worker sends. */
static char *
read_line (GSocketConnection *connection)
{
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GString *line = g_string_new (NULL);
  char character = '\0';

  while (character != '\n')
    {
      g_autoptr(GError) error = NULL;

      g_assert_cmpint (g_input_stream_read (stream, &character, 1, NULL, &error), ==, 1);
      g_assert_no_error (error);
      g_string_append_c (line, character);
    }

  g_string_truncate (line, line->len - 1);
  return g_string_free (line, FALSE);
}

void
assert_line (GSocketConnection *connection,
             const char        *expected)
{
  g_autofree char *line = read_line (connection);

  g_assert_cmpstr (line, ==, expected);
}

GPid
assert_pid (AForkProcess      *process,
            GSocketConnection *connection)
{
  g_autofree char *line = read_line (connection);
  int pid;

  g_object_get (process, "pid", &pid, NULL);
  g_assert_cmpint (pid, ==, afork_process_get_pid (process));
  g_assert_cmpint (pid, ==, atoi (line));
  return pid;
}

gboolean
count_cb (gpointer data)
{
  guint *n_dispatched = data;

  *n_dispatched += 1;
  return G_SOURCE_CONTINUE;
}
