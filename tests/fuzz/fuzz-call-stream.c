/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Any bytes at all come from a worker, with a few descriptors. What the stream makes messages of
 * must be in bounds and sound, and nothing may be left open. */

#include <glib.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/afork-call-stream-private.h>

enum { N_FDS = 4 };

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (gboolean condition)
{
  if (!condition)
    abort ();
}

static void
check_message (const AForkCallMessage *message)
{
  check (afork_call_frame_kind_name (message->kind) != NULL);
  if (message->value != NULL)
    {
      g_autofree char *text = NULL;

      check (g_variant_is_normal_form (message->value));
      text = g_variant_print (message->value, TRUE);
      check (g_utf8_validate (text, -1, NULL));
    }
  if (message->fds != NULL)
    check (g_unix_fd_list_get_length (message->fds) <= N_FDS);
  check (message->blobs == NULL || message->blobs->len <= AFORK_CALL_MAX_BLOBS);
}

static void
send_bytes (int            fd,
            const uint8_t *bytes,
            size_t         n_bytes)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (N_FDS * sizeof (int))]; } control = { 0 };
  struct iovec vector = { .iov_base = (uint8_t *) bytes, .iov_len = n_bytes };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (N_FDS * sizeof (int));
  for (int i = 0; i < N_FDS; i++)
    ((int *) (void *) CMSG_DATA (header))[i] = STDERR_FILENO;
  check (sendmsg (fd, &message, MSG_NOSIGNAL) == (ssize_t) n_bytes);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  g_autoptr(GError) error = NULL;
  AForkCallStream *stream;
  AForkCallStreamStatus status;
  int fds[2], next_fd, fd;

  /* No more than a socket takes at once. */
  if (n_bytes == 0 || n_bytes > 64 * 1024)
    return 0;

  next_fd = dup (STDOUT_FILENO);
  close (next_fd);
  check (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  send_bytes (fds[1], bytes, n_bytes);
  close (fds[1]);

  stream = _afork_call_stream_new (fds[0]);
  do
    {
      status = _afork_call_stream_read (stream, FALSE, &error);
      while (status == AFORK_CALL_STREAM_OK)
        {
          g_auto(AForkCallMessage) message = { 0 };

          status = _afork_call_stream_next (stream, &message, &error);
          if (status == AFORK_CALL_STREAM_OK)
            check_message (&message);
        }
    }
  while (status == AFORK_CALL_STREAM_WOULD_BLOCK);
  check ((status == AFORK_CALL_STREAM_FAILED) == (error != NULL));
  _afork_call_stream_free (stream);

  fd = dup (STDOUT_FILENO);
  close (fd);
  check (fd == next_fd);
  return 0;
}
