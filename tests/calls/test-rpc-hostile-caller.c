/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Callers that do not keep to the protocol of calls. A worker trusts its caller, but must not crash
 * because of it: it says what is wrong, and exits with status 1. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afork/wire/afork-call-frame.h"
#include "send-fds.h"
#include "test-limits.h"
#include "test-rpc-util.h"

#ifndef F_SEAL_FUTURE_WRITE
# define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define FRAME(KIND, ...) ((AForkCallFrame) { .kind = AFORK_CALL_FRAME_ ## KIND, __VA_ARGS__ })
#define CALL(...) FRAME (CALL, .number = 1, .type = "s", .data = (const guint8 *) "text", \
                         .size = 5, __VA_ARGS__)

enum
{
  MIB = 1024 * 1024,
  FIXED = F_SEAL_SHRINK | F_SEAL_GROW,
  SEGMENT = FIXED | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
  BLOB = FIXED | F_SEAL_WRITE,
};

/* Sends BYTES with N_FDS copies of FD. A worker that has found an error reads no more. */
static void
send_bytes (int            socket,
            gconstpointer  bytes,
            gsize          size,
            guint          n_fds,
            int            fd)
{
  const char *rest = bytes;
  int fds[SEND_FDS_MAX];

  for (guint i = 0; i < n_fds; i++)
    fds[i] = fd;
  while (size > 0)
    {
      gssize n_sent = send_with_fds (socket, rest, size, fds, n_fds, MSG_NOSIGNAL);

      if (n_sent < 0)
        {
          g_assert_true (errno == EPIPE || errno == ECONNRESET);
          return;
        }
      rest += n_sent;
      size -= (gsize) n_sent;
      n_fds = 0;
    }
}

/* Sends a frame whose first blob is in SEGMENT, with as many copies of FD as the frame says. Sets
 * byte AT of its header to VALUE, unless AT is negative. */
static void
send_frame_full (int            socket,
                 AForkCallFrame frame,
                 guint32        segment,
                 guint64        blob_size,
                 int            fd,
                 int            at,
                 guint8         value)
{
  gsize head_size = afork_call_frame_head_size (&frame);
  gsize size = head_size + frame.size + afork_call_frame_padding (&frame);
  g_autofree guint8 *bytes = g_malloc0 (size);

  afork_call_frame_write (&frame, bytes);
  if (frame.size > 0)
    memcpy (bytes + head_size, frame.data, frame.size);
  if (frame.n_blobs > 0)
    afork_call_frame_set_blob (bytes, 0, segment, blob_size);
  if (at >= 0)
    bytes[at] = value;
  send_bytes (socket, bytes, size, fd >= 0 ? frame.n_fds : 0, fd);
}

static void
send_frame (int            socket,
            AForkCallFrame frame)
{
  send_frame_full (socket, frame, 0, 0, -1, -1, 0);
}

static void
send_setup (int socket)
{
  send_frame (socket, FRAME (SETUP, .number = AFORK_CALL_WIRE_VERSION,
                             .string = { "calls_echo", "", "" }));
}

static void
send_changed (int            socket,
              AForkCallFrame frame,
              int            at,
              guint8         value)
{
  send_frame_full (socket, frame, 0, 0, -1, at, value);
}

static int
new_memory (gboolean has_pages,
            int      seals)
{
  g_autofree char *zeros = g_malloc0 (MIB);
  int fd = memfd_create ("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_no_errno (fd);
  g_assert_no_errno (ftruncate (fd, MIB));
  if (has_pages)
    g_assert_cmpint (write (fd, zeros, MIB), ==, MIB);
  if (seals != 0)
    g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));
  return fd;
}

/* Announces a segment, and takes FD. */
static void
announce (int     socket,
          guint32 number,
          guint64 size,
          int     fd)
{
  send_frame_full (socket, FRAME (SEGMENT, .number = number, .segment_size = size, .n_fds = 1),
                   0, 0, fd, -1, 0);
  close (fd);
}

/* A call with a blob of this kind. Takes FD. */
static void
call_with_blob (int     socket,
                guint32 segment,
                guint64 size,
                int     fd)
{
  send_frame_full (socket, CALL (.n_blobs = 1, .n_fds = fd >= 0), segment, size, fd, -1, 0);
  if (fd >= 0)
    close (fd);
}

static void
send_value (int         socket,
            const char *type,
            const void *data,
            gsize       size)
{
  send_frame (socket, FRAME (CALL, .number = 1, .type = type, .data = data, .size = size));
}

static void
send_inline_bytes (int   socket,
                   gsize n_bytes,
                   gsize piece_size)
{
  g_autofree guint8 *piece = g_malloc0 (piece_size);

  for (gsize n_sent = 0; n_sent < n_bytes; n_sent += piece_size)
    send_frame (socket, FRAME (BLOB, .flags = AFORK_CALL_FRAME_MORE, .data = piece,
                               .size = piece_size));
}

/* Does what the name says. */
static void
do_wrong (int         socket,
          const char *what)
{
  g_autofree char *deep = g_strnfill (2000, 'a');
  int ends[2];

  if (g_str_equal (what, "garbage"))
    send_bytes (socket, "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n", 32, 0, -1);
  else if (g_str_equal (what, "kind"))
    send_changed (socket, CALL (), 4, 77);
  else if (g_str_equal (what, "workers-kind"))
    send_frame (socket, FRAME (STARTED));
  else if (g_str_equal (what, "result"))
    send_frame (socket, FRAME (RESULT, .number = 1, .type = "y", .data = (const guint8 *) "",
                               .size = 1));
  else if (g_str_equal (what, "setup"))
    send_setup (socket);
  else if (g_str_equal (what, "flags"))
    send_changed (socket, CALL (), 5, 0x80);
  else if (g_str_equal (what, "too-large"))
    send_changed (socket, CALL (), 3, 0x41);
  else if (g_str_equal (what, "type"))
    send_value (socket, "(u", "1234", 4);
  else if (g_str_equal (what, "type-deep"))
    send_value (socket, deep, "", 0);
  else if (g_str_equal (what, "type-indefinite"))
    send_value (socket, "a*", "", 0);
  else if (g_str_equal (what, "not-normal"))
    send_value (socket, "as", "a\0b\0\xf0\2", 6);
  else if (g_str_equal (what, "not-utf8"))
    send_value (socket, "s", "\xff\xfe", 3);
  else if (g_str_equal (what, "fds-missing"))
    send_frame_full (socket, CALL (.n_fds = 2), 0, 0, -1, -1, 0);
  else if (g_str_equal (what, "fds-unnamed"))
    for (guint i = 0; i < 5; i++)
      send_bytes (socket, "\0\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0", 16, 253, STDIN_FILENO);
  else if (g_str_equal (what, "fds-piled-up"))
    for (guint i = 0; i < 5; i++)
      send_frame_full (socket, FRAME (FDS, .n_fds = 253), 0, 0, STDIN_FILENO, -1, 0);
  else if (g_str_equal (what, "fds-for-nothing"))
    {
      send_frame_full (socket, FRAME (FDS, .n_fds = 3), 0, 0, STDIN_FILENO, -1, 0);
      send_frame (socket, FRAME (CANCEL, .number = 1));
    }
  else if (g_str_equal (what, "blob-unnamed"))
    {
      send_frame (socket, FRAME (BLOB, .data = (const guint8 *) "blob", .size = 4));
      send_frame (socket, CALL ());
    }
  else if (g_str_equal (what, "blob-open"))
    {
      send_inline_bytes (socket, 4, 4);
      send_frame (socket, CALL ());
    }
  else if (g_str_equal (what, "blob-missing"))
    call_with_blob (socket, AFORK_BLOB_INLINE, 4, -1);
  else if (g_str_equal (what, "blob-size"))
    {
      send_frame (socket, FRAME (BLOB, .data = (const guint8 *) "blob", .size = 4));
      call_with_blob (socket, AFORK_BLOB_INLINE, 5, -1);
    }
  else if (g_str_equal (what, "blobs-many"))
    for (guint i = 0; i < 1025; i++)
      send_frame (socket, FRAME (BLOB, .data = (const guint8 *) "", .size = 0));
  else if (g_str_equal (what, "blobs-large"))
    send_inline_bytes (socket, (gsize) 1024 * MIB + 1, 16 * MIB);
  else if (g_str_equal (what, "segment-unsealed"))
    announce (socket, 1, MIB, new_memory (TRUE, 0));
  else if (g_str_equal (what, "segment-writable"))
    announce (socket, 1, MIB, new_memory (TRUE, FIXED | F_SEAL_SEAL));
  else if (g_str_equal (what, "segment-short"))
    announce (socket, 1, 2 * MIB, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "segment-holes"))
    announce (socket, 1, MIB, new_memory (FALSE, SEGMENT));
  else if (g_str_equal (what, "segment-giant"))
    announce (socket, 1, G_MAXUINT64, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "segment-empty"))
    announce (socket, 1, 0, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "segment-pipe"))
    {
      g_assert_true (g_unix_open_pipe (ends, FD_CLOEXEC, NULL));
      announce (socket, 1, MIB, ends[0]);
      close (ends[1]);
    }
  else if (g_str_equal (what, "segment-file"))
    announce (socket, 1, MIB, open ("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  else if (g_str_equal (what, "segment-zero"))
    announce (socket, 0, MIB, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "segment-without"))
    send_frame (socket, FRAME (SEGMENT, .number = 1, .segment_size = MIB, .n_fds = 1));
  else if (g_str_equal (what, "segment-twice"))
    {
      announce (socket, 1, MIB, new_memory (TRUE, SEGMENT));
      announce (socket, 1, MIB, new_memory (TRUE, SEGMENT));
    }
  else if (g_str_equal (what, "segments-many"))
    for (guint32 i = 1; i <= 65; i++)
      announce (socket, i, MIB, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "segment-strange"))
    call_with_blob (socket, 7, MIB, -1);
  else if (g_str_equal (what, "segment-beyond"))
    {
      announce (socket, 1, MIB, new_memory (TRUE, SEGMENT));
      call_with_blob (socket, 1, MIB + 1, -1);
    }
  else if (g_str_equal (what, "segment-end"))
    send_frame (socket, FRAME (SEGMENT_END, .number = 5));
  else if (g_str_equal (what, "release"))
    send_frame (socket, FRAME (RELEASE, .number = 5));
  else if (g_str_equal (what, "sealed-writable"))
    call_with_blob (socket, AFORK_BLOB_SEALED, MIB, new_memory (TRUE, SEGMENT));
  else if (g_str_equal (what, "sealed-short"))
    call_with_blob (socket, AFORK_BLOB_SEALED, 2 * MIB, new_memory (TRUE, BLOB));
  else if (g_str_equal (what, "sealed-holes"))
    call_with_blob (socket, AFORK_BLOB_SEALED, MIB, new_memory (FALSE, BLOB));
  else if (g_str_equal (what, "sealed-giant"))
    call_with_blob (socket, AFORK_BLOB_SEALED, G_MAXUINT64, new_memory (TRUE, BLOB));
  else if (g_str_equal (what, "sealed-empty"))
    call_with_blob (socket, AFORK_BLOB_SEALED, 0, new_memory (TRUE, BLOB));
  else if (g_str_equal (what, "sealed-without"))
    call_with_blob (socket, AFORK_BLOB_SEALED, MIB, -1);
  else
    g_assert_not_reached ();
}

static const char * const wrongs[] = {
  "garbage", "kind", "workers-kind", "result", "setup", "flags", "too-large", "type", "type-deep",
  "type-indefinite", "not-normal", "not-utf8", "fds-missing", "fds-unnamed", "fds-piled-up",
  "fds-for-nothing", "blob-unnamed", "blob-open", "blob-missing", "blob-size", "blobs-many",
  "blobs-large", "segment-unsealed", "segment-writable", "segment-short", "segment-holes",
  "segment-giant", "segment-empty", "segment-pipe", "segment-file", "segment-zero",
  "segment-without", "segment-twice", "segments-many", "segment-strange", "segment-beyond",
  "segment-end", "release", "sealed-writable", "sealed-short", "sealed-holes", "sealed-giant",
  "sealed-empty", "sealed-without",
};

/* A worker that serves calls, as AForkRpc would start it, with its standard error in a pipe. */
typedef struct
{
  AForkProcess      *process;
  GSocketConnection *connection;
  int                socket;
  int                errors;
} Worker;

static void
worker_begin (Worker *worker)
{
  int ends[2];

  g_assert_true (g_unix_open_pipe (ends, FD_CLOEXEC, NULL));
  worker->errors = ends[0];
  worker->process = new_module_process ("calls");
  afork_process_map_fd (worker->process, ends[1], STDERR_FILENO);
  close (ends[1]);
  worker->connection = run_process_ok (worker->process, "afork_worker_serve_calls");
  worker->socket = g_socket_get_fd (g_socket_connection_get_socket (worker->connection));
  g_unix_set_fd_nonblocking (worker->socket, FALSE, NULL);
}

/* Checks that it exits in this way. */
static void
worker_end (Worker     *worker,
            int         exit_status,
            const char *text)
{
  g_autofree char *answers G_GNUC_UNUSED = read_to_end (worker->connection, NULL);
  char errors[4096];
  gssize n_read;

  await_end (worker->process);
  n_read = read (worker->errors, errors, sizeof errors - 1);
  g_assert_cmpint (n_read, >=, 0);
  errors[n_read] = '\0';
  g_test_message ("%s", g_strchomp (errors));
  assert_exit_status (worker->process, exit_status);
  if (text != NULL && strstr (errors, text) == NULL)
    g_error ("“%s” does not hold “%s”", errors, text);
  if (text == NULL)
    g_assert_cmpstr (errors, ==, "");
  close (worker->errors);
  g_object_unref (worker->connection);
  g_object_unref (worker->process);
}

static void
test_wrong (Census        *census,
            gconstpointer  data)
{
  const char *what = data;
  Worker worker;

  if (g_str_equal (what, "blobs-large") && is_instrumented ())
    {
      g_test_skip ("It would take too long");
      return;
    }
  if (g_str_has_prefix (what, "fds-") && !need_descriptors (2048))
    return;

  worker_begin (&worker);
  send_setup (worker.socket);
  do_wrong (worker.socket, what);
  worker_end (&worker, EXIT_FAILURE, "does not keep to the protocol");
}

/* Correct frames that are made in the same way are answered. */
static void
test_right (void)
{
  Worker worker;

  worker_begin (&worker);
  send_setup (worker.socket);
  announce (worker.socket, 1, MIB, new_memory (TRUE, SEGMENT));
  call_with_blob (worker.socket, 1, MIB, -1);
  call_with_blob (worker.socket, AFORK_BLOB_SEALED, MIB, new_memory (TRUE, BLOB));
  send_frame (worker.socket, FRAME (CANCEL, .number = 77));
  g_assert_no_errno (shutdown (worker.socket, SHUT_WR));
  worker_end (&worker, EXIT_SUCCESS, NULL);
}

/* A caller that exits in the middle of a frame has just exited. */
static void
test_cut (void)
{
  Worker worker;

  worker_begin (&worker);
  send_setup (worker.socket);
  send_bytes (worker.socket, "\x08\0\0\0\2", 5, 0, -1);
  g_assert_no_errno (shutdown (worker.socket, SHUT_WR));
  worker_end (&worker, EXIT_SUCCESS, NULL);
}

/* Before SETUP, the worker reports errors to the caller. */
static void
test_setup (void)
{
  AForkCallFrame setup = FRAME (SETUP, .number = AFORK_CALL_WIRE_VERSION + 1,
                                .string = { "calls_echo", "", "" });
  Worker worker;

  worker_begin (&worker);
  send_frame (worker.socket, setup);
  worker_end (&worker, EXIT_FAILURE, NULL);
  worker_begin (&worker);
  send_frame (worker.socket, CALL ());
  worker_end (&worker, EXIT_FAILURE, NULL);
  worker_begin (&worker);
  do_wrong (worker.socket, "garbage");
  worker_end (&worker, EXIT_FAILURE, NULL);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (wrongs); i++)
    {
      g_autofree char *path = g_strdup_printf ("/rpc-hostile-caller/wrong/%s", wrongs[i]);

      add_with_data (path, wrongs[i], test_wrong);
    }
  add_test ("/rpc-hostile-caller/right", test_right);
  add_test ("/rpc-hostile-caller/cut", test_cut);
  add_test ("/rpc-hostile-caller/setup", test_setup);

  return g_test_run ();
}
