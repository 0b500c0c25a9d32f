/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One new process, and a conversation with it: single-process NUMBER…
 *
 * Factors numbers. The process loads a module and runs a function of it, which is connected to this
 * program by a socket. The numbers are sent line by line, and so are the answers. */

#include <locale.h>
#include <stdlib.h>

#include <afork/afork.h>

static char **numbers;
static gboolean done;
static gboolean failed;

/* ERROR may be NULL. */
static void
finish (const GError *error)
{
  if (error != NULL)
    g_printerr ("%s\n", error->message);

  failed |= error != NULL;
  done = TRUE;
}

/* The function has returned, or the process has exited before. */
static void
wait_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(GError) error = NULL;
  int status;

  if (afork_process_wait_finish (process, result, &error))
    failed |= !afork_process_get_exit_status (process, &status) || status != 0;
  finish (error);
}

/* Sends the numbers. They are few, so this does not wait for room. */
static gboolean
ask (GSocketConnection  *connection,
     GError            **error)
{
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (connection));

  for (char **number = numbers; *number != NULL; number++)
    if (!g_output_stream_printf (output, NULL, NULL, error, "%s\n", *number))
      return FALSE;

  /* The function reads the end of the input, and returns when it has answered. */
  return g_socket_shutdown (g_socket_connection_get_socket (connection), FALSE, TRUE, error);
}

static void
line_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  GDataInputStream *answers = G_DATA_INPUT_STREAM (object);
  g_autoptr(AForkProcess) process = user_data;
  g_autoptr(GError) error = NULL;
  g_autofree char *line = NULL;

  line = g_data_input_stream_read_line_finish (answers, result, NULL, &error);
  if (line != NULL)
    {
      g_print ("%s\n", line);
      g_data_input_stream_read_line_async (answers, G_PRIORITY_DEFAULT, NULL, line_cb,
                                           g_steal_pointer (&process));
    }
  else if (error != NULL)
    {
      finish (error);
    }
  else
    {
      afork_process_wait_async (process, NULL, wait_cb, NULL);
    }
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      user_data)
{
  AForkProcess *process = AFORK_PROCESS (object);
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GDataInputStream) answers = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run_finish (process, result, &error);
  if (connection == NULL || !ask (connection, &error))
    {
      finish (error);
      return;
    }

  answers = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  g_object_set_data_full (G_OBJECT (answers), "connection", g_steal_pointer (&connection),
                          g_object_unref);
  g_data_input_stream_read_line_async (answers, G_PRIORITY_DEFAULT, NULL, line_cb,
                                       g_object_ref (process));
}

static gboolean
check_numbers (GError **error)
{
  for (char **number = numbers; *number != NULL; number++)
    if (!g_ascii_string_to_unsigned (*number, 10, 0, G_MAXUINT64, NULL, error))
      return FALSE;

  return TRUE;
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
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(GError) error = NULL;

  setlocale (LC_ALL, "");
  numbers = argv + 1;
  if (!check_numbers (&error))
    {
      g_printerr ("%s\n", error->message);
      return EXIT_FAILURE;
    }

  set_module_path ();
  process = afork_process_new ();
  afork_process_require (process, "factor");
  afork_process_run_async (process, "factor", NULL, run_cb, NULL);

  while (!done)
    g_main_context_iteration (NULL, TRUE);

  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
