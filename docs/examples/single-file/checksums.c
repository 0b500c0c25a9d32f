/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program in one file, including its workers: prints the SHA-256 checksums of files, each
 * computed in a process of its own, in the format of sha256sum. */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <afork/afork.h>
#include <afork/worker/afork-worker.h>

enum { SUM_LENGTH = 64 };

/* In the worker. */

static void
sum_file (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guchar buffer[65536];
  gssize size;

  while ((size = read (items[0].fd, buffer, sizeof buffer)) > 0)
    g_checksum_update (checksum, buffer, size);

  /* The exit status says that there is no checksum. */
  if (size < 0
      || send (socket, g_checksum_get_string (checksum), SUM_LENGTH, MSG_NOSIGNAL) != SUM_LENGTH)
    exit (1);
}

/* In the program. */

typedef struct
{
  const char        *path;
  GSocketConnection *connection;
  char               sum[SUM_LENGTH + 1];
} Job;

static guint n_jobs;
static gboolean all_done = TRUE;

static void
job_free (Job *job)
{
  g_clear_object (&job->connection);
  g_free (job);
  n_jobs--;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Job, job_free)

static void
complain (const Job  *job,
          const char *message)
{
  g_printerr ("%s: %s\n", job->path, message);
  all_done = FALSE;
}

static void
read_cb (GObject      *object,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr(Job) job = user_data;
  g_autoptr(GError) error = NULL;
  gsize size;

  if (!g_input_stream_read_all_finish (G_INPUT_STREAM (object), result, &size, &error))
    complain (job, error->message);
  else if (size < SUM_LENGTH)
    complain (job, "its worker could not read it");
  else
    g_print ("%s  %s\n", job->sum, job->path);
}

static void
run_cb (GObject      *object,
        GAsyncResult *result,
        gpointer      user_data)
{
  g_autoptr(Job) job = user_data;
  g_autoptr(GError) error = NULL;

  job->connection = afork_process_run_func_finish (AFORK_PROCESS (object), result, &error);
  if (job->connection == NULL)
    {
      complain (job, error->message);
      return;
    }

  g_input_stream_read_all_async (g_io_stream_get_input_stream (G_IO_STREAM (job->connection)),
                                 job->sum, SUM_LENGTH, G_PRIORITY_DEFAULT, NULL, read_cb, job);
  g_steal_pointer (&job);
}

static void
start (const char *path)
{
  g_autoptr(AForkProcess) process = NULL;
  g_autoptr(Job) job = g_new0 (Job, 1);
  int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);

  n_jobs++;
  job->path = path;
  if (fd < 0)
    {
      complain (job, g_strerror (errno));
      return;
    }

  process = afork_process_new_for_runtime (afork_runtime_get_self ());
  afork_process_send_fd (process, fd);
  close (fd);
  afork_process_run_func_async (process, sum_file, NULL, run_cb, g_steal_pointer (&job));
}

int
main (int    argc,
      char **argv)
{
  /* In a worker this does not return. */
  afork_init (&argc, &argv);
  setlocale (LC_ALL, "");

  for (int i = 1; i < argc; i++)
    start (argv[i]);
  while (n_jobs > 0)
    g_main_context_iteration (NULL, TRUE);

  return all_done ? EXIT_SUCCESS : EXIT_FAILURE;
}
