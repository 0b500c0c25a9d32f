/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A faster fork and exec: command OUTPUT PROGRAM [ARGUMENT]…
 *
 * Executes a program with its standard output in a file, prints its standard error output with its
 * name before each line, and exits as the program has exited. A fork of a template executes the
 * program, so the time that this takes does not depend on the size of this program. */

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gstdio.h>

#include <afork/afork.h>

/* Makes descriptor FD of the process write to PATH. */
static gboolean
map_file (AForkProcess  *process,
          const char    *path,
          int            fd,
          GError       **error)
{
  int file = g_open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

  if (file < 0)
    {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "%s: %s", path,
                   g_strerror (errno));
      return FALSE;
    }

  /* The process gets a copy. */
  afork_process_map_fd (process, file, fd);
  close (file);
  return TRUE;
}

/* Makes descriptor FD of the process write to a pipe, and returns the reading end. */
static FILE *
map_pipe (AForkProcess  *process,
          int            fd,
          GError       **error)
{
  int ends[2];

  if (!g_unix_open_pipe (ends, FD_CLOEXEC, error))
    return NULL;

  afork_process_map_fd (process, ends[1], fd);
  close (ends[1]);
  return fdopen (ends[0], "r");
}

/* Until no process has the writing end any more. */
static void
print_lines (const char *name,
             FILE       *lines)
{
  size_t size = 0;
  char *line = NULL;

  while (getline (&line, &size, lines) >= 0)
    g_print ("%s: %s", name, line);
  free (line);
  fclose (lines);
}

static int
execute (const char   *output,
         char        **argv,
         GError      **error)
{
  g_autoptr(AForkProcess) process = afork_process_new ();
  g_autoptr(GSocketConnection) connection = NULL;
  int status, number;
  FILE *errors;

  if (!map_file (process, output, STDOUT_FILENO, error)
      || (errors = map_pipe (process, STDERR_FILENO, error)) == NULL)
    return EXIT_FAILURE;

  /* The connection is still the standard input of the program, which gets no input. */
  connection = afork_process_exec (process, (const char * const *) argv, NULL, error);
  if (connection != NULL)
    g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  print_lines (argv[0], errors);

  if (connection == NULL || !afork_process_wait (process, NULL, error))
    return EXIT_FAILURE;
  if (afork_process_get_exit_status (process, &status))
    return status;

  afork_process_get_term_signal (process, &number);
  g_printerr ("%s: %s\n", argv[0], g_strsignal (number));
  return 128 + number;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  setlocale (LC_ALL, "");
  if (argc < 3)
    {
      g_printerr ("usage: command OUTPUT PROGRAM [ARGUMENT]...\n");
      return 2;
    }

  status = execute (argv[1], argv + 2, &error);
  if (error != NULL)
    g_printerr ("%s\n", error->message);

  return status;
}
