/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Runs a CGI program for several requests at once: cgi LOG PROGRAM QUERY…
 *
 * Prints the answer of each request when it is complete. The standard error output of the program
 * goes to the log. This program does not execute the CGI program itself, but a fork of a template
 * does, so the time that this takes does not depend on the size of this program. */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include <afork/afork.h>

static guint n_open;
static gboolean failed;

/* One request. It is freed when its answer has come and its process has exited. */
typedef struct
{
  char              *query;
  AForkProcess      *process;
  GSocketConnection *connection;
  GOutputStream     *answer;
} Request;

static void
request_close (Request      *self,
               const GError *error)
{
  if (error != NULL)
    g_printerr ("%s: %s\n", self->query, error->message);
  failed |= error != NULL;
  n_open--;

  g_free (self->query);
  g_clear_object (&self->process);
  g_clear_object (&self->connection);
  g_clear_object (&self->answer);
  g_free (self);
}

static void
wait_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  Request *self = user_data;
  GMemoryOutputStream *answer = G_MEMORY_OUTPUT_STREAM (self->answer);
  g_autoptr(GError) error = NULL;
  int status = -1;

  if (afork_process_wait_finish (self->process, result, &error)
      && !(afork_process_get_exit_status (self->process, &status) && status == 0))
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "The program failed");
  if (error == NULL)
    g_print ("%s: %.*s", self->query,
             (int) g_memory_output_stream_get_data_size (answer),
             (const char *) g_memory_output_stream_get_data (answer));
  request_close (self, error);
}

static void
splice_cb (GObject      *object,
           GAsyncResult *result,
           gpointer      user_data)
{
  Request *self = user_data;
  g_autoptr(GError) error = NULL;

  if (g_output_stream_splice_finish (self->answer, result, &error) < 0)
    request_close (self, error);
  else
    afork_process_wait_async (self->process, NULL, wait_cb, self);
}

/* The program was executed. It reads the body of the request, which is empty. */
static void
exec_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  Request *self = user_data;
  g_autoptr(GError) error = NULL;

  self->connection = afork_process_exec_finish (self->process, result, &error);
  if (self->connection == NULL)
    {
      request_close (self, error);
      return;
    }

  g_socket_shutdown (g_socket_connection_get_socket (self->connection), FALSE, TRUE, NULL);
  self->answer = g_memory_output_stream_new_resizable ();
  g_output_stream_splice_async (self->answer,
                                g_io_stream_get_input_stream (G_IO_STREAM (self->connection)),
                                G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET,
                                G_PRIORITY_DEFAULT, NULL, splice_cb, self);
}

static void
request_open (AForkProcess *template,
              const char   *program,
              const char   *query)
{
  Request *self = g_new0 (Request, 1);

  self->query = g_strdup (query);
  self->process = afork_process_fork (template);
  afork_process_setenv (self->process, "QUERY_STRING", query);
  afork_process_exec_async (self->process, (const char * const []) { program, NULL }, NULL,
                            exec_cb, self);
  n_open++;
}

/* Commands that all requests have in common. */
static AForkProcess *
make_template (const char *program,
               int         log)
{
  AForkProcess *template = afork_process_new ();
  g_autofree char *folder = g_path_get_dirname (program);

  afork_process_chdir (template, folder);
  afork_process_setenv (template, "GATEWAY_INTERFACE", "CGI/1.1");
  afork_process_setenv (template, "REQUEST_METHOD", "GET");
  afork_process_setenv (template, "SCRIPT_NAME", program);
  afork_process_setenv (template, "DISPLAY", NULL);
  afork_process_map_fd (template, log, STDERR_FILENO);
  return template;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(AForkProcess) template = NULL;
  g_autofree char *program = NULL;
  int log;

  setlocale (LC_ALL, "");
  if (argc < 4)
    {
      g_printerr ("Usage: %s LOG PROGRAM QUERY…\n", argv[0]);
      return 2;
    }

  log = open (argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0)
    {
      g_printerr ("%s: %s\n", argv[1], g_strerror (errno));
      return 1;
    }

  program = g_canonicalize_filename (argv[2], NULL);
  template = make_template (program, log);
  close (log);
  for (int i = 3; i < argc; i++)
    request_open (template, program, argv[i]);

  while (n_open > 0)
    g_main_context_iteration (NULL, TRUE);

  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
