/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Marks for Sysprof. A thread of the test plays Sysprof: it gives the library memory for marks, and
 * reads them. */

#include "config.h"

#include "test-pool-util.h"

#ifdef HAVE_SYSPROF

#include <gio/gunixconnection.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysprof-capture.h>
#include <unistd.h>

/* Functions of libsysprof-capture that no header has. */
typedef struct _MappedRingBuffer MappedRingBuffer;
typedef bool (*MappedRingBufferFunc) (const void *data,
                                      size_t     *length,
                                      void       *user_data);

MappedRingBuffer *mapped_ring_buffer_new_reader (size_t                size);
int               mapped_ring_buffer_get_fd     (MappedRingBuffer     *self);
bool              mapped_ring_buffer_drain      (MappedRingBuffer     *self,
                                                 MappedRingBufferFunc  func,
                                                 void                 *data);
void              mapped_ring_buffer_unref      (MappedRingBuffer     *self);

static MappedRingBuffer *ring;

/* Answers the request for memory. */
static gpointer
serve_thread (gpointer data)
{
  g_autoptr(GSocketConnection) connection = data;
  GInputStream *stream = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  char request[10];
  gsize n_read;
  g_autoptr(GError) error = NULL;

  g_assert_true (g_input_stream_read_all (stream, request, sizeof request, &n_read, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpmem (request, n_read, "CreatRing", 10);
  g_unix_connection_send_fd (G_UNIX_CONNECTION (connection), mapped_ring_buffer_get_fd (ring), NULL,
                             &error);
  g_assert_no_error (error);
  return NULL;
}

typedef struct
{
  guint  n_marks;
  gint64 time;                  /* of the last mark, with all durations in nanoseconds */
  gint64 duration;
  char  *name;
  char  *message;
} Marks;

static bool
read_cb (const void *data,
         size_t     *length,
         void       *user_data)
{
  const SysprofCaptureMark *mark = data;
  Marks *marks = user_data;

  *length = mark->frame.len;
  if (mark->frame.type != SYSPROF_CAPTURE_FRAME_MARK || !g_str_equal (mark->group, "AFork"))
    return true;

  marks->n_marks++;
  marks->time = mark->frame.time;
  marks->duration = mark->duration;
  g_free (marks->name);
  marks->name = g_strdup (mark->name);
  g_free (marks->message);
  marks->message = g_strdup (mark->message);
  return true;
}

/* Makes the library believe that Sysprof records this program. */
static GThread *
begin_recording (void)
{
  g_autofree char *fd = NULL;
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GError) error = NULL;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  fd = g_strdup_printf ("%d", fds[0]);
  g_setenv ("SYSPROF_CONTROL_FD", fd, TRUE);
  ring = mapped_ring_buffer_new_reader (0);
  g_assert_nonnull (ring);
  socket = g_socket_new_from_fd (fds[1], &error);
  g_assert_no_error (error);
  return g_thread_new ("sysprof", serve_thread,
                       g_socket_connection_factory_create_connection (socket));
}

static void
test_job (void)
{
  enum { N_CALLS = 20, HELD = 30 * 1000 };
  AForkPool *pool = new_pool ("max-workers", 1, "load", 1, NULL);
  GAsyncResult *results[N_CALLS] = { NULL };
  const gint64 begin = g_get_monotonic_time ();
  Marks marks = { 0 };
  double wait;
  double run;
  int pid;
  int gate;
  guint32 worker;
  g_autoptr(AForkJob) job = new_gate_job ("gate", &gate);
  GThread *thread = begin_recording ();

  begin_job (pool, job, &results[0]);
  await_job_state (job, AFORK_JOB_STATE_RUNNING);
  g_usleep (HELD);
  close (gate);
  worker = await_answer (pool, &results[0]);
  mapped_ring_buffer_drain (ring, read_cb, &marks);
  g_assert_cmpuint (marks.n_marks, ==, 1);
  g_assert_cmpstr (marks.name, ==, "pool_do");
  g_assert_cmpint (sscanf (marks.message, "waited %lf ms, ran %lf ms in worker %d", &wait, &run,
                           &pid), ==, 3);
  g_assert_cmpuint ((guint32) pid, ==, worker);
  g_assert_cmpfloat (run, >=, HELD / 1000);
  g_assert_cmpfloat_with_epsilon ((double) marks.duration / 1e6, wait + run, 0.002);
  g_assert_cmpint (marks.time, >=, begin * 1000);
  g_assert_cmpint (marks.time + marks.duration, <=, g_get_monotonic_time () * 1000);

  for (guint i = 0; i < N_CALLS; i++)
    begin_pool_call (pool, "echo", i, &results[i]);
  for (guint i = 0; i < N_CALLS; i++)
    await_answer (pool, &results[i]);
  mapped_ring_buffer_drain (ring, read_cb, &marks);
  g_assert_cmpuint (marks.n_marks, ==, N_CALLS + 1);
  g_free (marks.name);
  g_free (marks.message);
  shut_down_pool (pool, AFORK_SHUTDOWN_MODE_DRAIN);
  g_thread_join (thread);
  mapped_ring_buffer_unref (ring);
}

#else

static void
test_job (void)
{
  g_test_skip ("The library was built without Sysprof");
}

#endif

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/pool-marks/job", test_job);

  return g_test_run ();
}
