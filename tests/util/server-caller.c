/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "server-caller.h"

#include <errno.h>
#include <linux/sockios.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "send-fds.h"

/* How long a test waits for a reply before it fails. */
enum { TIMEOUT_S = 30 };

void
caller_init (Caller *self,
             int     socket)
{
  const struct timeval timeout = { .tv_sec = TIMEOUT_S };

  g_assert_no_errno (setsockopt (socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
  *self = (Caller) {
    .socket = socket,
    .input = g_byte_array_new (),
    .fds = g_array_new (FALSE, FALSE, sizeof (int)),
  };
}

pid_t
spawn_server (const char * const *argv,
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

const char *
get_server (void)
{
  g_assert_nonnull (g_getenv ("AFORK_SERVER"));
  return g_getenv ("AFORK_SERVER");
}

void
caller_send_bytes (Caller        *self,
                   gconstpointer  bytes,
                   gsize          n_bytes,
                   const int     *fds,
                   gsize          n_fds)
{
  const char *rest = bytes;

  while (n_bytes > 0)
    {
      gssize n_sent = send_with_fds (self->socket, rest, n_bytes, fds, n_fds, MSG_NOSIGNAL);

      /* A server that refuses what it has read exits before it has read the rest. */
      if (n_sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        return;
      g_assert_cmpint (n_sent, >, 0);
      rest += n_sent;
      n_bytes -= (gsize) n_sent;
      n_fds = 0;
    }
}

void
add_frame (GByteArray *bytes,
           AForkFrame  frame)
{
  gsize size = afork_frame_size (&frame);
  guint length = bytes->len;

  g_assert_cmpuint (size, >, 0);
  g_byte_array_set_size (bytes, length + (guint) size);
  afork_frame_write (&frame, bytes->data + length);
}

void
caller_send_with_fd (Caller     *self,
                     AForkFrame  frame,
                     int         fd)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  frame.n_fds = fd >= 0;
  add_frame (bytes, frame);
  caller_send_bytes (self, bytes->data, bytes->len, &fd, frame.n_fds);
}

void
caller_send (Caller     *self,
             AForkFrame  frame)
{
  caller_send_with_fd (self, frame, -1);
}

/* Reads once, at most N_BYTES more. Returns false at the end. */
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

/* Reads the next frame, and no byte more. It is valid until the next one is read. Returns false at
 * the end. */
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

AForkFrame
caller_expect (Caller         *self,
               AForkFrameKind  kind)
{
  AForkFrame frame;

  g_assert_true (receive_frame (self, &frame));
  if (frame.kind == AFORK_FRAME_FORKED && kind != AFORK_FRAME_FORKED)
    g_assert_true (receive_frame (self, &frame));
  g_assert_cmpstr (afork_frame_kind_name (frame.kind), ==, afork_frame_kind_name (kind));
  g_assert_cmpuint (frame.n_fds, <=, self->fds->len);
  return frame;
}

int
caller_take_fd (Caller *self)
{
  int fd = g_array_index (self->fds, int, 0);

  g_array_remove_index (self->fds, 0);
  return fd;
}

void
caller_expect_error (Caller         *self,
                     AForkWireError  code,
                     const char     *text)
{
  AForkFrame frame = caller_expect (self, AFORK_FRAME_ERROR);

  g_test_message ("%s", frame.string[0]);
  g_assert_cmpuint (frame.number[0], ==, code);
  if (text != NULL && strstr (frame.string[0], text) == NULL)
    g_error ("“%s” does not hold “%s”", frame.string[0], text);
}

void
caller_expect_exited (Caller  *self,
                      guint32  number,
                      int      status)
{
  AForkFrame frame = caller_expect (self, AFORK_FRAME_EXITED);

  g_assert_cmpuint (frame.number[0], ==, number);
  g_assert_true (WIFEXITED ((int) frame.exit.wait_status));
  g_assert_cmpint (WEXITSTATUS ((int) frame.exit.wait_status), ==, status);
}

void
caller_expect_end (Caller *self)
{
  AForkFrame frame;

  g_assert_false (receive_frame (self, &frame));
  g_assert_cmpuint (self->input->len, ==, 0);
}

void
expect_status (pid_t pid,
               int   status)
{
  int wait_status;

  g_assert_cmpint (waitpid (pid, &wait_status, 0), ==, pid);
  g_assert_true (WIFEXITED (wait_status));
  g_assert_cmpint (WEXITSTATUS (wait_status), ==, status);
}

void
caller_finish (Caller *self,
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

void
caller_start (Caller *self)
{
  const char * const argv[] = { get_server (), "--socket=3", NULL };
  AForkFrame hello;
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (self, ours);
  self->pid = spawn_server (argv, theirs, SERVER_SOCKET, -1);
  close_fd (&theirs);

  hello = caller_expect (self, AFORK_FRAME_HELLO);
  g_assert_cmpstr (hello.string[0], ==, AFORK_WIRE_MAGIC);
  g_assert_cmpuint (hello.number[0], ==, AFORK_WIRE_VERSION);
}

void
caller_require (Caller     *self,
                const char *module)
{
  caller_send (self, FRAME (REQUIRE, .string = { module }));
}

void
caller_call (Caller             *self,
             const char         *function,
             const char * const *args)
{
  AForkFrame frame = FRAME (CALL, .string = { function });
  g_autofree guint8 *bytes = NULL;

  frame.strings.n_bytes = afork_strings_size (args, &frame.strings.n_strings);
  bytes = g_malloc (frame.strings.n_bytes);
  afork_strings_write (args, bytes);
  frame.strings.bytes = bytes;
  caller_send (self, frame);
}

void
caller_run (Caller     *self,
            const char *function)
{
  caller_send (self, FRAME (RUN, .string = { function, function }));
}

void
caller_fork (Caller  *self,
             guint32  number,
             Caller  *fork)
{
  int ours, theirs;

  open_sockets (&ours, &theirs);
  caller_init (fork, ours);
  caller_send_with_fd (self, FRAME (FORK, .number = { number }), theirs);
  close_fd (&theirs);
}

void
caller_expect_fork (Caller  *self,
                    guint32  number,
                    Caller  *fork)
{
  AForkFrame forked;

  caller_fork (self, number, fork);
  forked = caller_expect (fork, AFORK_FRAME_FORKED);
  g_assert_cmpuint (forked.n_fds, ==, 1);
}

void
caller_expect_echo (Caller     *self,
                    const char *text)
{
  g_byte_array_set_size (self->input, 0);
  g_assert_no_errno (shutdown (self->socket, SHUT_WR));
  while (receive_some (self, 4096))
    ;
  g_assert_cmpmem (self->input->data, self->input->len, text, strlen (text));
}

void
caller_await_read (Caller *self)
{
  int n_unread = 1;

  while (n_unread > 0)
    {
      g_assert_no_errno (ioctl (self->socket, SIOCOUTQ, &n_unread));
      if (n_unread > 0)
        g_thread_yield ();
    }
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

void
add_server_test (const char    *path,
                 gconstpointer  data,
                 void         (*test) (guint         *n_fds,
                                       gconstpointer  data))
{
  g_test_add (path, guint, data, set_up, test, tear_down);
}
