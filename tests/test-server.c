/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* afork-server by itself: the test is its caller, and writes frames as it pleases. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "afork/wire/afork-frame.h"
#include "afork/worker/pidfd.h"

enum
{
  SERVER_SOCKET = 3,
  PATIENCE_S = 30,              /* after which a test fails that waits for an answer */
  MOMENT_MS = 100,              /* in which something is seen not to happen */
};

typedef struct
{
  int         socket;
  pid_t       pid;              /* 0 where the other side is a fork */
  GByteArray *input;            /* the frame received last */
  GArray     *fds;              /* of int: received, and taken by nobody */
} Caller;

/* Talking to it. */

static void
caller_init (Caller *self,
             int     socket)
{
  const struct timeval patience = { .tv_sec = PATIENCE_S };

  g_assert_no_errno (setsockopt (socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  *self = (Caller) {
    .socket = socket,
    .input = g_byte_array_new (),
    .fds = g_array_new (FALSE, FALSE, sizeof (int)),
  };
}

static void
open_sockets (int *ours,
              int *theirs)
{
  int sockets[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
  *ours = sockets[0];
  *theirs = sockets[1];
}

static void
close_fd (int *fd)
{
  g_assert_no_errno (close (*fd));
  *fd = -1;
}

static pid_t
spawn (const char * const *argv,
       int                 socket,
       int                 number,
       int                 error_fd)
{
  posix_spawn_file_actions_t actions;
  pid_t pid;

  posix_spawn_file_actions_init (&actions);
  if (socket >= 0)
    posix_spawn_file_actions_adddup2 (&actions, socket, number);
  if (error_fd >= 0)
    posix_spawn_file_actions_adddup2 (&actions, error_fd, STDERR_FILENO);
  g_assert_cmpint (posix_spawn (&pid, argv[0], &actions, NULL, (char **) argv, environ), ==, 0);
  posix_spawn_file_actions_destroy (&actions);
  return pid;
}

static const char *
get_server (void)
{
  g_assert_nonnull (g_getenv ("AFORK_SERVER"));
  return g_getenv ("AFORK_SERVER");
}

static void
send_bytes (Caller        *self,
            gconstpointer  bytes,
            gsize          n_bytes,
            const int     *fds,
            gsize          n_fds)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;
  struct iovec vector = { .iov_base = (gpointer) bytes, .iov_len = n_bytes };
  struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      struct cmsghdr *header;

      memset (&control, 0, sizeof control);
      message.msg_control = &control;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (header), fds, n_fds * sizeof (int));
    }

  while (vector.iov_len > 0)
    {
      gssize n_sent = sendmsg (self->socket, &message, MSG_NOSIGNAL);

      /* It may have had enough before the end, and says why. */
      if (n_sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        return;
      g_assert_cmpint (n_sent, >, 0);
      vector.iov_base = (char *) vector.iov_base + n_sent;
      vector.iov_len -= (gsize) n_sent;
      message.msg_control = NULL;
      message.msg_controllen = 0;
    }
}

/* Adds a frame to what is to be sent. */
static void
add_frame (GByteArray *bytes,
           AForkFrame  frame)
{
  gsize size = afork_frame_size (&frame);
  guint length = bytes->len;

  g_assert_cmpuint (size, >, 0);
  g_byte_array_set_size (bytes, length + (guint) size);
  afork_frame_write (&frame, bytes->data + length);
}

static void
send_frame_with_fd (Caller     *self,
                    AForkFrame  frame,
                    int         fd)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  frame.n_fds = fd >= 0;
  add_frame (bytes, frame);
  send_bytes (self, bytes->data, bytes->len, &fd, frame.n_fds);
}

static void
send_frame (Caller     *self,
            AForkFrame  frame)
{
  send_frame_with_fd (self, frame, -1);
}

/* Reads once, at most N_BYTES more. False at the end. */
static gboolean
receive_some (Caller *self,
              gsize   n_bytes)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;
  guint length = self->input->len;
  struct iovec vector;
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  gssize n_received;

  g_byte_array_set_size (self->input, length + (guint) n_bytes);
  vector.iov_base = self->input->data + length;
  vector.iov_len = n_bytes;
  n_received = recvmsg (self->socket, &message, MSG_CMSG_CLOEXEC);
  if (n_received < 0 && errno == ECONNRESET)
    n_received = 0;
  if (n_received < 0)
    g_error ("Nothing was received: %s", g_strerror (errno));
  g_byte_array_set_size (self->input, length + (guint) n_received);

  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message);
       header != NULL;
       header = CMSG_NXTHDR (&message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      g_array_append_vals (self->fds, CMSG_DATA (header),
                           (guint) ((header->cmsg_len - CMSG_LEN (0)) / sizeof (int)));
  return n_received > 0;
}

/* The next frame, and not a byte more. It is good until the next. False at the end. */
static gboolean
receive_frame (Caller     *self,
               AForkFrame *frame)
{
  AForkFrameResult result;
  const char *why;
  gsize size;

  g_byte_array_set_size (self->input, 0);
  while ((result = afork_frame_parse (self->input->data, self->input->len, frame, &size, &why))
         == AFORK_FRAME_TRUNCATED)
    if (!receive_some (self, size - self->input->len))
      return FALSE;

  g_assert_cmpint (result, ==, AFORK_FRAME_OK);
  return TRUE;
}

/* A fork tells its birth by itself only if it has nothing else to say yet. */
static AForkFrame
expect_frame (Caller         *self,
              AForkFrameKind  kind)
{
  AForkFrame frame;

  g_assert_true (receive_frame (self, &frame));
  if (frame.kind == AFORK_FRAME_BORN && kind != AFORK_FRAME_BORN)
    g_assert_true (receive_frame (self, &frame));
  g_assert_cmpstr (afork_frame_kind_name (frame.kind), ==, afork_frame_kind_name (kind));
  g_assert_cmpuint (frame.n_fds, <=, self->fds->len);
  return frame;
}

static int
take_fd (Caller *self)
{
  int fd = g_array_index (self->fds, int, 0);

  g_array_remove_index (self->fds, 0);
  return fd;
}

static void
expect_error (Caller         *self,
              AForkWireError  code,
              const char     *text)
{
  AForkFrame frame = expect_frame (self, AFORK_FRAME_ERROR);

  g_test_message ("%s", frame.string[0]);
  g_assert_cmpuint (frame.number[0], ==, code);
  if (text != NULL && strstr (frame.string[0], text) == NULL)
    g_error ("“%s” does not hold “%s”", frame.string[0], text);
}

static void
expect_exited (Caller  *self,
               guint32  number,
               int      status)
{
  AForkFrame frame = expect_frame (self, AFORK_FRAME_EXITED);

  g_assert_cmpuint (frame.number[0], ==, number);
  g_assert_true (WIFEXITED ((int) frame.exit.wait_status));
  g_assert_cmpint (WEXITSTATUS ((int) frame.exit.wait_status), ==, status);
}

/* Nothing more comes. */
static void
expect_end (Caller *self)
{
  AForkFrame frame;

  g_assert_false (receive_frame (self, &frame));
  g_assert_cmpuint (self->input->len, ==, 0);
}

static void
expect_status (pid_t pid,
               int   status)
{
  int wait_status;

  g_assert_cmpint (waitpid (pid, &wait_status, 0), ==, pid);
  g_assert_true (WIFEXITED (wait_status));
  g_assert_cmpint (WEXITSTATUS (wait_status), ==, status);
}

/* Closes the socket, and sees how the server ends. */
static void
finish (Caller *self,
        int     status)
{
  if (self->socket >= 0)
    close_fd (&self->socket);
  if (self->pid != 0)
    expect_status (self->pid, status);
  for (guint i = 0; i < self->fds->len; i++)
    g_assert_no_errno (close (g_array_index (self->fds, int, i)));
  g_array_unref (self->fds);
  g_byte_array_unref (self->input);
}

static void
start (Caller *self)
{
  const char * const argv[] = { get_server (), "--socket=3", NULL };
  AForkFrame hello;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (self, ours);
  self->pid = spawn (argv, theirs, SERVER_SOCKET, -1);
  close_fd (&theirs);

  hello = expect_frame (self, AFORK_FRAME_HELLO);
  g_assert_cmpstr (hello.string[0], ==, AFORK_WIRE_MAGIC);
  g_assert_cmpuint (hello.number[0], ==, AFORK_WIRE_VERSION);
}

#define FRAME(KIND, ...) ((AForkFrame) { .kind = AFORK_FRAME_ ## KIND, __VA_ARGS__ })

static void
require (Caller     *self,
         const char *module)
{
  send_frame (self, FRAME (REQUIRE, .string = { module }));
}

static void
call (Caller             *self,
      const char         *function,
      const char * const *args)
{
  AForkFrame frame = FRAME (CALL, .string = { function });
  g_autofree guint8 *bytes = NULL;

  frame.strings.n_bytes = afork_strings_size (args, &frame.strings.n_strings);
  bytes = g_malloc (frame.strings.n_bytes);
  afork_strings_write (args, bytes);
  frame.strings.bytes = bytes;
  send_frame (self, frame);
}

#define ARGS(...) ((const char * const []) { __VA_ARGS__, NULL })

static void
run (Caller     *self,
     const char *function)
{
  send_frame (self, FRAME (RUN, .string = { function, function }));
}

/* Has FORK be the caller of a new fork. */
static void
fork_server (Caller  *self,
             guint32  number,
             Caller  *fork)
{
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (fork, ours);
  send_frame_with_fd (self, FRAME (FORK, .number = { number }), theirs);
  close_fd (&theirs);
}

/* A fork that has been heard of; its pidfd is the first descriptor. */
static void
fork_server_born (Caller  *self,
                  guint32  number,
                  Caller  *fork)
{
  AForkFrame born;

  fork_server (self, number, fork);
  born = expect_frame (fork, AFORK_FRAME_BORN);
  g_assert_cmpuint (born.n_fds, ==, 1);
}

/* It runs echo(), and has been sent TEXT behind its items. */
static void
expect_echo (Caller     *self,
             const char *text)
{
  g_byte_array_set_size (self->input, 0);
  g_assert_no_errno (shutdown (self->socket, SHUT_WR));
  while (receive_some (self, 4096))
    ;
  g_assert_cmpmem (self->input->data, self->input->len, text, strlen (text));
}

static gboolean
is_readable (int fd,
             int timeout_ms)
{
  struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

  return poll (&poll_fd, 1, timeout_ms) > 0;
}

static int
open_pidfd (pid_t pid)
{
  int fd = afork_pidfd_open (pid);

  if (fd < 0 && errno == ENOSYS)
    g_test_skip ("There are no pidfds here");
  return fd;
}

/* Waits until all that was sent has been read. */
static void
await_read (Caller *self)
{
  int n_unread = 1;

  while (n_unread > 0)
    {
      g_assert_no_errno (ioctl (self->socket, SIOCOUTQ, &n_unread));
      if (n_unread > 0)
        g_thread_yield ();
    }
}

/* As many descriptors afterwards as before. */

static guint
count_fds (void)
{
  g_autoptr(GDir) folder = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n_fds = 0;

  while (g_dir_read_name (folder) != NULL)
    n_fds++;
  return n_fds;
}

static void
set_up (guint         *n_fds,
        gconstpointer  data)
{
  *n_fds = count_fds ();
}

static void
tear_down (guint         *n_fds,
           gconstpointer  data)
{
  g_assert_cmpuint (count_fds (), ==, *n_fds);
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
}

/* Its command line. */

static void
expect_usage (const char * const *argv,
              int                 socket,
              int                 number)
{
  g_autofree char *text = g_malloc0 (4096);
  gsize size = 0;
  gssize n_read;
  int reading, writing;
  int fds[2];
  pid_t pid;

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  reading = fds[0];
  writing = fds[1];
  pid = spawn (argv, socket, number, writing);
  close_fd (&writing);
  while ((n_read = read (reading, text + size, 4095 - size)) > 0)
    size += (gsize) n_read;
  g_assert_nonnull (strstr (text, "--socket=N"));
  expect_status (pid, 2);
  close_fd (&reading);
}

static void
test_usage (guint         *n_fds,
            gconstpointer  data)
{
  const char *server = get_server ();
  int ours, theirs, datagram, null;

  open_sockets (&ours, &theirs);
  datagram = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  expect_usage (ARGS (server), null, STDIN_FILENO);
  expect_usage (ARGS (server), datagram, STDIN_FILENO);
  expect_usage (ARGS (server, "--socket=3"), -1, -1);
  expect_usage (ARGS (server, "--socket=3"), null, SERVER_SOCKET);
  expect_usage (ARGS (server, "--socket=3"), datagram, SERVER_SOCKET);
  expect_usage (ARGS (server, "--socket=3x"), theirs, SERVER_SOCKET);
  expect_usage (ARGS (server, "--socket="), theirs, SERVER_SOCKET);
  expect_usage (ARGS (server, "--socket=-1"), theirs, SERVER_SOCKET);
  expect_usage (ARGS (server, "--help"), theirs, SERVER_SOCKET);
  expect_usage (ARGS (server, "3"), theirs, SERVER_SOCKET);
  expect_usage (ARGS (server, "--socket=3", "--socket=3"), theirs, SERVER_SOCKET);

  close_fd (&ours);
  close_fd (&theirs);
  close_fd (&datagram);
  close_fd (&null);
}

/* Without arguments the socket is its standard input. */
static void
test_standard (guint         *n_fds,
               gconstpointer  data)
{
  Caller caller;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (&caller, ours);
  caller.pid = spawn (ARGS (get_server ()), theirs, STDIN_FILENO, -1);
  close_fd (&theirs);
  expect_frame (&caller, AFORK_FRAME_HELLO);
  require (&caller, "echo");
  run (&caller, "echo");
  expect_frame (&caller, AFORK_FRAME_READY);
  expect_echo (&caller, "");
  finish (&caller, 0);
}

/* Wrong frames. */

typedef struct
{
  const char *path;
  const char *bytes;
  gsize       n_bytes;
  const char *text;
} Garbage;

#define BYTES(BYTES) BYTES, sizeof BYTES - 1

static const Garbage garbage[] = {
  { "text", BYTES ("GET / HTTP/1.0\r\n\r\n"), "no known kind" },
  { "zeroes", BYTES ("\0\0\0\0\0\0\0\0\0\0"), "no known kind" },
  { "longest", BYTES ("\377\377\377\377\7\0\0\0"), "too long" },
  { "too-long", BYTES ("\1\0\20\0\7\0\0\0"), "too long" },
  { "flags", BYTES ("\0\0\0\0\12\2\0\0"), "flags" },
  { "fds", BYTES ("\0\0\0\0\7\0\1\0"), "number of descriptors" },
  { "payload", BYTES ("\4\0\0\0\7\0\0\0\1\0\0\0"), "payload" },
  { "missing-fd", BYTES ("\0\0\0\0\13\0\1\0"), "ITEM_FDS came without the descriptors" },
  { "hello", BYTES ("\16\0\0\0\100\0\0\0\5\0\0\0AFork\0\1\0\0\0"), "HELLO, which is for callers" },
};

/* What it makes of it in one go, and byte by byte. */
static void
test_garbage (guint         *n_fds,
              gconstpointer  data)
{
  const Garbage *self = data;
  Caller at_once, in_pieces;

  start (&at_once);
  send_bytes (&at_once, self->bytes, self->n_bytes, NULL, 0);
  expect_error (&at_once, AFORK_WIRE_ERROR_PROTOCOL, self->text);
  expect_end (&at_once);
  finish (&at_once, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);

  start (&in_pieces);
  for (gsize i = 0; i < self->n_bytes; i++)
    send_bytes (&in_pieces, self->bytes + i, 1, NULL, 0);
  expect_error (&in_pieces, AFORK_WIRE_ERROR_PROTOCOL, self->text);
  finish (&in_pieces, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* The caller goes in the middle of a frame. */
static void
test_end_in_frame (guint         *n_fds,
                   gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
  for (guint n_bytes = 0; n_bytes < bytes->len; n_bytes++)
    {
      Caller caller;

      start (&caller);
      send_bytes (&caller, bytes->data, n_bytes, NULL, 0);
      g_assert_no_errno (shutdown (caller.socket, SHUT_WR));
      expect_end (&caller);
      finish (&caller, 0);
    }
}

/* Commands. */

static void
fail_module (Caller *self)
{
  require (self, "no-such-module");
}

static void
fail_function (Caller *self)
{
  run (self, "no_such_function");
}

static void
fail_eval (Caller *self)
{
  send_frame (self, FRAME (EVAL, .string = { "code" }));
}

static void
fail_chdir (Caller *self)
{
  send_frame (self, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
}

static void
fail_protocol (Caller *self)
{
  send_frame (self, FRAME (BORN, .n_fds = 0));
}

/* There must be no room when the descriptor arrives, so it waits for a sign that there is none. */
static void
fail_spawn (Caller *self)
{
  int fds[2];
  char byte;

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  require (self, "faults");
  send_frame_with_fd (self, FRAME (MAP_FD, .number = { 20 }), fds[1]);
  call (self, "call_few_fds", ARGS ("3"));
  call (self, "call_tell", ARGS ("20", "x"));
  g_assert_cmpint (read (fds[0], &byte, 1), ==, 1);
  close_fd (&fds[0]);
  close_fd (&fds[1]);
  send_frame_with_fd (self, FRAME (ITEM_FDS, .n_fds = 1), STDERR_FILENO);
}

typedef struct
{
  const char     *path;
  void          (*fail) (Caller *self);
  AForkWireError  code;
} Failure;

/* What looks for leaks at the end of a server would need the descriptors that are used up. */
static void
start_without_sanitizer (Caller *self)
{
  g_autofree char *options = g_strdup (g_getenv ("ASAN_OPTIONS"));

  g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE);
  start (self);
  if (options != NULL)
    g_setenv ("ASAN_OPTIONS", options, TRUE);
  else
    g_unsetenv ("ASAN_OPTIONS");
}

static const Failure failures[] = {
  { "failed", fail_chdir, AFORK_WIRE_ERROR_FAILED },
  { "protocol", fail_protocol, AFORK_WIRE_ERROR_PROTOCOL },
  { "module", fail_module, AFORK_WIRE_ERROR_MODULE },
  { "function", fail_function, AFORK_WIRE_ERROR_FUNCTION },
  { "not-supported", fail_eval, AFORK_WIRE_ERROR_NOT_SUPPORTED },
  { "spawn", fail_spawn, AFORK_WIRE_ERROR_SPAWN },
};

/* Each kind of error has a status of its own, of an executed server and of a fork. */
static void
test_failure (guint         *n_fds,
              gconstpointer  data)
{
  const Failure *self = data;
  Caller caller, fork;

  start_without_sanitizer (&caller);
  fork_server (&caller, 1, &fork);
  self->fail (&fork);
  expect_error (&fork, self->code, NULL);
  expect_end (&fork);
  finish (&fork, 0);
  expect_exited (&caller, 1, AFORK_EXIT_BASE + (int) self->code);

  self->fail (&caller);
  expect_error (&caller, self->code, NULL);
  expect_end (&caller);
  finish (&caller, AFORK_EXIT_BASE + (int) self->code);
}

/* No program can be executed that has no name. */
static void
test_exec_nothing (guint         *n_fds,
                   gconstpointer  data)
{
  Caller caller;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  start (&caller);
  send_frame_with_fd (&caller, FRAME (EXEC, .strings = { 0 }), theirs);
  expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "EXEC");
  expect_end (&caller);
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
  close_fd (&ours);
  close_fd (&theirs);
}

/* Threads keep it from being forked; and, with forks, from being run. */
static void
test_threads (guint         *n_fds,
              gconstpointer  data)
{
  Caller caller, first, second;
  AForkFrame frame;

  start (&caller);
  fork_server_born (&caller, 1, &first);
  require (&caller, "faults");
  call (&caller, "call_thread", ARGS ("loom"));
  fork_server (&caller, 2, &second);
  frame = expect_frame (&caller, AFORK_FRAME_FORK_FAILED);
  g_assert_cmpuint (frame.number[0], ==, 2);
  g_assert_cmpuint (frame.number[1], ==, AFORK_WIRE_ERROR_THREADS);
  g_assert_nonnull (strstr (frame.string[0], "loom"));
  expect_end (&second);

  run (&caller, "run_hang");
  expect_error (&caller, AFORK_WIRE_ERROR_THREADS, "loom");
  finish (&first, 0);
  expect_exited (&caller, 1, 0);
  expect_end (&caller);
  finish (&second, 0);
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_THREADS);
}

/* A server that has more rights than whoever started it does not let that choose what it loads. */
static void
test_more_rights (guint         *n_fds,
                  gconstpointer  data)
{
  const uid_t nobody = 65534;
  g_autofree char *folder = g_dir_make_tmp ("afork-XXXXXX", NULL);
  g_autofree char *server = g_build_filename (folder, "server", NULL);
  g_autofree char *content = NULL;
  Caller caller;
  gsize size;
  int ours, theirs;

  if (getuid () != 0)
    {
      g_test_skip ("Only root can make such a server");
      g_assert_no_errno (rmdir (folder));
      return;
    }

  g_assert_no_errno (chmod (folder, 0755));
  g_assert_true (g_file_get_contents (get_server (), &content, &size, NULL));
  g_assert_true (g_file_set_contents (server, content, (gssize) size, NULL));
  g_assert_no_errno (chmod (server, 04755));

  open_sockets (&ours, &theirs);
  caller_init (&caller, ours);
  caller.pid = fork ();
  g_assert_cmpint (caller.pid, >=, 0);
  if (caller.pid == 0)
    {
      if (dup2 (theirs, SERVER_SOCKET) == SERVER_SOCKET && setresuid (nobody, nobody, nobody) == 0)
        execl (server, server, "--socket=3", NULL);
      _exit (99);
    }
  close_fd (&theirs);
  expect_frame (&caller, AFORK_FRAME_HELLO);
  require (&caller, "echo");
  expect_error (&caller, AFORK_WIRE_ERROR_MODULE, "echo");
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_MODULE);
  g_assert_no_errno (unlink (server));
  g_assert_no_errno (rmdir (folder));
}

/* All of a conversation, in two parts, divided at each byte. */
static void
test_divided (guint         *n_fds,
              gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  add_frame (bytes, FRAME (TITLE, .string = { "divided" }));
  add_frame (bytes, FRAME (SETENV, .string = { "NAME", "value" }));
  add_frame (bytes, FRAME (UNSETENV, .string = { "NAME" }));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "on", .n_bytes = 2,
                           .flags = AFORK_FRAME_MORE));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "e,", .n_bytes = 2));
  add_frame (bytes, FRAME (ITEM_FDS, .n_fds = 2));
  add_frame (bytes, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "two", .n_bytes = 3));
  add_frame (bytes, FRAME (REQUIRE, .string = { "echo" }));
  add_frame (bytes, FRAME (RUN, .string = { "echo", "echo" }));

  for (guint at = 0; at < bytes->len; at++)
    {
      const int fds[] = { STDERR_FILENO, STDERR_FILENO };
      Caller caller;

      /* Descriptors come with the first byte of the batch. */
      start (&caller);
      send_bytes (&caller, bytes->data, at, fds, at > 0 ? 2 : 0);
      await_read (&caller);
      send_bytes (&caller, bytes->data + at, bytes->len - at, fds, at > 0 ? 0 : 2);
      expect_frame (&caller, AFORK_FRAME_READY);
      expect_echo (&caller, "one,two");
      finish (&caller, 0);
    }
}

/* Nothing of what belongs to the function is taken for a command, and the other way round. */
static void
test_behind_run (guint         *n_fds,
                 gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  const int fds[] = { STDERR_FILENO };
  Caller caller;

  add_frame (bytes, FRAME (REQUIRE, .string = { "echo" }));
  add_frame (bytes, FRAME (RUN, .string = { "echo", "echo" }));

  start (&caller);
  send_bytes (&caller, bytes->data, bytes->len, fds, 1);
  expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "behind the last command");
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);

  start (&caller);
  send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  expect_frame (&caller, AFORK_FRAME_READY);
  send_bytes (&caller, "raw bytes", 9, NULL, 0);
  expect_echo (&caller, "raw bytes");
  finish (&caller, 0);

  add_frame (bytes, FRAME (TITLE, .string = { "title" }));
  start (&caller);
  send_bytes (&caller, bytes->data, bytes->len, NULL, 0);
  expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL, "behind the last command");
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* More and more descriptors that no frame names, each message with a byte of one that never
 * ends. */
static void
test_stray_fds (guint         *n_fds,
                gconstpointer  data)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree char *title = g_strnfill (1000, 'x');
  int fds[AFORK_FRAME_MAX_FDS];
  Caller caller;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = STDERR_FILENO;
  add_frame (bytes, FRAME (TITLE, .string = { title }));

  start (&caller);
  for (guint i = 0; i < 16; i++)
    send_bytes (&caller, bytes->data + i, 1, fds, G_N_ELEMENTS (fds));
  expect_error (&caller, AFORK_WIRE_ERROR_PROTOCOL,
                "More descriptors came than frames that name them");
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_PROTOCOL);
}

/* A frame may be as long as the protocol lets it, and there may be many. */
static void
test_long_frames (guint         *n_fds,
                  gconstpointer  data)
{
  g_autofree char *value = g_strnfill (AFORK_FRAME_MAX_PAYLOAD - 4 - 4 - 1 - 4 - 1, 'x');
  Caller caller;

  start (&caller);
  for (guint i = 0; i < 8; i++)
    send_frame (&caller, FRAME (SETENV, .string = { "NAME", value }));
  require (&caller, "echo");
  run (&caller, "echo");
  expect_frame (&caller, AFORK_FRAME_READY);
  expect_echo (&caller, "");
  finish (&caller, 0);
}

/* Forks. */

/* A thousand at once, with their descriptors in as few messages as these fit in. */
static void
test_many_forks (guint         *n_fds,
                 gconstpointer  data)
{
  enum { N_FORKS = 1000 };
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree gboolean *ended = g_new0 (gboolean, N_FORKS + 1);
  struct rlimit limit, saved;
  int fds[AFORK_FRAME_MAX_FDS];
  int ours, theirs;
  Caller caller;
  guint offset = 0;

  /* The server has a pidfd of each, and those that it has not come to yet are open as well. */
  getrlimit (RLIMIT_NOFILE, &saved);
  limit = saved;
  limit.rlim_cur = 4 * N_FORKS;
  if (saved.rlim_max < limit.rlim_cur)
    {
      g_test_skip ("A process may not have so many descriptors here");
      return;
    }

  /* They find their socket closed at once, and exit. */
  open_sockets (&ours, &theirs);
  close_fd (&ours);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = theirs;
  for (guint32 i = 1; i <= N_FORKS; i++)
    add_frame (bytes, FRAME (FORK, .number = { i }, .n_fds = 1));

  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
  start (&caller);
  for (guint n_sent = 0; n_sent < N_FORKS; n_sent += AFORK_FRAME_MAX_FDS)
    {
      guint n_sent_fds = MIN (N_FORKS - n_sent, (guint) AFORK_FRAME_MAX_FDS);
      /* All but the last message hold one byte, and only descriptors that come with it. */
      guint n_bytes = n_sent + n_sent_fds < N_FORKS ? 1 : bytes->len - offset;

      send_bytes (&caller, bytes->data + offset, n_bytes, fds, n_sent_fds);
      offset += n_bytes;
    }
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &saved));
  close_fd (&theirs);

  for (guint i = 0; i < N_FORKS; i++)
    {
      AForkFrame frame = expect_frame (&caller, AFORK_FRAME_EXITED);

      g_assert_cmpuint (frame.exit.wait_status, ==, 0);
      g_assert_cmpuint (frame.number[0], >=, 1);
      g_assert_cmpuint (frame.number[0], <=, N_FORKS);
      g_assert_false (ended[frame.number[0]]);
      ended[frame.number[0]] = TRUE;
    }
  finish (&caller, 0);
}

/* The caller dies. Its forks live on, the server stays for them, and goes when they have gone. */
static void
test_linger (guint         *n_fds,
             gconstpointer  data)
{
  Caller caller, first, second;
  int pidfd;

  start (&caller);
  pidfd = open_pidfd (caller.pid);
  fork_server_born (&caller, 1, &first);
  fork_server_born (&caller, 2, &second);
  close_fd (&caller.socket);
  require (&first, "echo");
  send_frame (&first, FRAME (ITEM_BYTES, .bytes = (const guint8 *) "alone", .n_bytes = 5));
  run (&first, "echo");
  expect_frame (&first, AFORK_FRAME_READY);
  expect_echo (&first, "alone");
  finish (&first, 0);

  if (pidfd >= 0)
    {
      g_assert_false (is_readable (pidfd, MOMENT_MS));
      close_fd (&pidfd);
    }
  finish (&second, 0);
  finish (&caller, 0);
}

/* Forks that were asked for are made, though the caller is gone by then. */
static void
test_linger_pending (guint         *n_fds,
                     gconstpointer  data)
{
  Caller caller, forks[8];

  start (&caller);
  g_assert_no_errno (kill (caller.pid, SIGSTOP));
  for (guint32 i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      fork_server (&caller, i + 1, &forks[i]);
      require (&forks[i], "echo");
      run (&forks[i], "echo");
    }
  close_fd (&caller.socket);
  g_assert_no_errno (kill (caller.pid, SIGCONT));
  for (guint i = 0; i < G_N_ELEMENTS (forks); i++)
    {
      expect_frame (&forks[i], AFORK_FRAME_READY);
      expect_echo (&forks[i], "");
      finish (&forks[i], 0);
    }
  finish (&caller, 0);
}

/* It has failed, and stays for a fork. What was sent to it behind that is given up at once, whether
 * it had arrived or not, so that the other ends know. */
static void
test_linger_failed (guint         *n_fds,
                    gconstpointer  data)
{
  static const guint8 item[1000];
  const guint n_items = GPOINTER_TO_UINT (data);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  Caller caller, first, second, third;
  int ours, theirs;

  start (&caller);
  fork_server_born (&caller, 1, &first);

  open_sockets (&ours, &theirs);
  caller_init (&second, ours);
  add_frame (bytes, FRAME (CHDIR, .string = { "/afork/no-such-folder" }));
  for (guint i = 0; i < n_items; i++)
    add_frame (bytes, FRAME (ITEM_BYTES, .bytes = item, .n_bytes = sizeof item));
  add_frame (bytes, FRAME (FORK, .number = { 2 }, .n_fds = 1));
  send_bytes (&caller, bytes->data, bytes->len, &theirs, 1);
  close_fd (&theirs);
  expect_error (&caller, AFORK_WIRE_ERROR_FAILED, "no-such-folder");
  expect_end (&second);

  fork_server (&caller, 3, &third);
  expect_end (&third);

  require (&first, "echo");
  run (&first, "echo");
  expect_frame (&first, AFORK_FRAME_READY);
  expect_echo (&first, "");
  expect_exited (&caller, 1, 0);
  expect_end (&caller);
  finish (&first, 0);
  finish (&second, 0);
  finish (&third, 0);
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
}

/* A module has closed what it lives by. It cannot look after its fork any more, and ends. */
static void
test_linger_blind (guint         *n_fds,
                   gconstpointer  data)
{
  Caller caller, fork;

  start (&caller);
  fork_server_born (&caller, 1, &fork);
  require (&caller, "faults");
  call (&caller, "call_close", NULL);
  expect_end (&caller);
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);

  require (&fork, "echo");
  run (&fork, "echo");
  expect_frame (&fork, AFORK_FRAME_READY);
  expect_echo (&fork, "");
  finish (&fork, 0);
}

/* Whatever the server keeps makes room for what is mapped to its place. */
static void
test_map (guint         *n_fds,
          gconstpointer  data)
{
  Caller caller, first, second;
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  start (&caller);
  fork_server_born (&caller, 1, &first);
  fork_server_born (&caller, 2, &second);
  for (guint32 target = 0; target < 24; target++)
    send_frame_with_fd (&caller, FRAME (MAP_FD, .number = { target }), null);
  finish (&second, 0);
  expect_exited (&caller, 2, 0);
  finish (&first, 0);
  expect_exited (&caller, 1, 0);

  require (&caller, "echo");
  run (&caller, "echo");
  expect_frame (&caller, AFORK_FRAME_READY);
  expect_echo (&caller, "");
  finish (&caller, 0);
  close_fd (&null);
}

/* There is no such descriptor, and so nothing that the server keeps and has not got is there. */
static void
test_map_nowhere (guint         *n_fds,
                  gconstpointer  data)
{
  Caller caller, fork;
  int lifeline[2];

  g_assert_true (g_unix_open_pipe (lifeline, FD_CLOEXEC, NULL));
  start (&caller);
  send_frame_with_fd (&caller, FRAME (LIFELINE, .n_fds = 1), lifeline[0]);
  fork_server_born (&caller, 1, &fork);
  send_frame_with_fd (&fork, FRAME (MAP_FD, .number = { G_MAXUINT32 }), STDERR_FILENO);
  expect_error (&fork, AFORK_WIRE_ERROR_FAILED, "mapped to -1");
  finish (&fork, 0);
  expect_exited (&caller, 1, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);

  fork_server_born (&caller, 2, &fork);
  send_frame_with_fd (&caller, FRAME (MAP_FD, .number = { G_MAXUINT32 }), STDERR_FILENO);
  expect_error (&caller, AFORK_WIRE_ERROR_FAILED, "mapped to -1");
  finish (&fork, 0);
  expect_exited (&caller, 2, 0);
  expect_end (&caller);
  finish (&caller, AFORK_EXIT_BASE + AFORK_WIRE_ERROR_FAILED);
  close_fd (&lifeline[0]);
  close_fd (&lifeline[1]);
}

/* Run while it has a fork: another one is the worker, and it reports on both on a socket that comes
 * with READY. */
static void
test_stay_behind (guint         *n_fds,
                  gconstpointer  data)
{
  Caller caller, fork, reports;
  AForkFrame frame;
  gboolean ended[2] = { FALSE };

  start (&caller);
  fork_server_born (&caller, 1, &fork);
  require (&caller, "echo");
  run (&caller, "echo");
  frame = expect_frame (&caller, AFORK_FRAME_READY);
  g_assert_cmpuint (frame.n_fds, ==, 2);
  g_assert_no_errno (close (take_fd (&caller)));
  caller_init (&reports, take_fd (&caller));
  expect_echo (&caller, "");
  finish (&fork, 0);

  for (guint i = 0; i < 2; i++)
    {
      frame = expect_frame (&reports, AFORK_FRAME_EXITED);
      g_assert_cmpuint (frame.number[0], <=, 1);
      g_assert_false (ended[frame.number[0]]);
      ended[frame.number[0]] = TRUE;
    }
  expect_end (&reports);
  finish (&reports, 0);
  finish (&caller, 0);
}

static void
add (const char  *path,
     void       (*test) (guint         *n_fds,
                         gconstpointer  data))
{
  g_test_add (path, guint, NULL, set_up, test, tear_down);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("/server/usage", test_usage);
  add ("/server/standard", test_standard);
  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++)
    {
      g_autofree char *path = g_strconcat ("/server/garbage/", garbage[i].path, NULL);

      g_test_add (path, guint, &garbage[i], set_up, test_garbage, tear_down);
    }
  for (guint i = 0; i < G_N_ELEMENTS (failures); i++)
    {
      g_autofree char *path = g_strconcat ("/server/failure/", failures[i].path, NULL);

      g_test_add (path, guint, &failures[i], set_up, test_failure, tear_down);
    }
  add ("/server/exec-nothing", test_exec_nothing);
  add ("/server/end-in-frame", test_end_in_frame);
  add ("/server/divided", test_divided);
  add ("/server/behind-run", test_behind_run);
  add ("/server/stray-fds", test_stray_fds);
  add ("/server/long-frames", test_long_frames);
  add ("/server/threads", test_threads);
  add ("/server/more-rights", test_more_rights);
  add ("/server/many-forks", test_many_forks);
  add ("/server/linger/alone", test_linger);
  add ("/server/linger/pending", test_linger_pending);
  g_test_add ("/server/linger/failed", guint, GUINT_TO_POINTER (0),
              set_up, test_linger_failed, tear_down);
  g_test_add ("/server/linger/failed/full", guint, GUINT_TO_POINTER (100),
              set_up, test_linger_failed, tear_down);
  add ("/server/linger/blind", test_linger_blind);
  add ("/server/map", test_map);
  add ("/server/map/nowhere", test_map_nowhere);
  add ("/server/stay-behind", test_stay_behind);

  return g_test_run ();
}
