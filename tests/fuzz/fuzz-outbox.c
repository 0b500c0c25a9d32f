/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker that serves calls leaves behind when it exits: bytes in its socket, and any bytes
 * in its outbox. The first two bytes of the input say how many of the next ones are in the socket;
 * the rest is the outbox, with its header.
 *
 * The messages that are read must be within bounds and valid; reading must come to an end; and no
 * descriptor may stay open. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <afork/stream/call-stream.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

enum
{
  /* There are never more messages than this. */
  MAX_MESSAGES = (AFORK_CALL_OUTBOX_SIZE + UINT16_MAX) / AFORK_CALL_FRAME_HEADER_SIZE,
};

static void
check (bool        condition,
       const char *what)
{
  if (condition)
    return;

  fprintf (stderr, "%s\n", what);
  abort ();
}

/* The worker: takes the outbox, and writes to it and to the socket. */
static void
be_worker (int            socket,
           const uint8_t *sent,
           size_t         n_sent,
           const uint8_t *left,
           size_t         n_left)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int))]; } control;
  char bytes[AFORK_CALL_FRAME_HEADER_SIZE];
  struct iovec vector = { bytes, sizeof bytes };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  int outbox;

  check (recvmsg (socket, &message, MSG_CMSG_CLOEXEC) == sizeof bytes, "no outbox was sent");
  memcpy (&outbox, CMSG_DATA (CMSG_FIRSTHDR (&message)), sizeof outbox);
  n_left = MIN (n_left, AFORK_CALL_OUTBOX_SIZE);
  check (pwrite (outbox, left, n_left, 0) == (ssize_t) n_left, "the outbox cannot be written");
  close (outbox);
  check (write (socket, sent, n_sent) == (ssize_t) n_sent, "the socket cannot be written");
  close (socket);
}

static void
check_message (const AForkCallMessage *message)
{
  check (afork_call_frame_kind_name (message->kind) != NULL, "a message is of no kind");
  check (message->value == NULL || g_variant_is_normal_form (message->value),
         "a value is not in normal form");
  check (message->fds == NULL, "descriptors came, and none was sent");
}

/* Reads to the end. */
static void
be_caller (AForkCallStream *stream)
{
  AForkCallStreamStatus status = AFORK_CALL_STREAM_OK;
  g_autoptr(GError) error = NULL;
  unsigned n_messages = 0;

  while (status == AFORK_CALL_STREAM_OK)
    {
      g_auto(AForkCallMessage) message = { 0 };

      do
        {
          _afork_call_message_clear (&message);
          status = _afork_call_stream_next (stream, &message, &error);
          if (status == AFORK_CALL_STREAM_OK)
            check_message (&message);
          check (n_messages++ < MAX_MESSAGES, "too much came");
        }
      while (status == AFORK_CALL_STREAM_OK || status == AFORK_CALL_STREAM_BUSY);
      if (status == AFORK_CALL_STREAM_WOULD_BLOCK)
        status = _afork_call_stream_read (stream, FALSE, &error);
    }

  check (status == AFORK_CALL_STREAM_END || status == AFORK_CALL_STREAM_FAILED,
         "it does not come to an end");
  check ((status == AFORK_CALL_STREAM_FAILED) == (error != NULL), "there is no error");
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  int next_fd = dup (STDOUT_FILENO), fd;
  g_autoptr(GError) error = NULL;
  AForkCallStream *stream;
  gboolean is_known, is_right;
  uint32_t begun;
  size_t n_sent;
  int ends[2];

  close (next_fd);
  if (n_bytes < 2)
    return 0;

  n_sent = MIN ((size_t) (bytes[0] | bytes[1] << 8), n_bytes - 2);
  check (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "there are no sockets");
  stream = _afork_call_stream_new (ends[0]);
  _afork_call_stream_accept_segments (stream);
  _afork_call_stream_send_outbox (stream, AFORK_CALL_OUTBOX_SIZE);
  check (_afork_call_stream_flush (stream, FALSE, NULL) == AFORK_CALL_STREAM_OK,
         "the outbox cannot be sent");
  be_worker (ends[1], bytes + 2, n_sent, bytes + 2 + n_sent, n_bytes - 2 - n_sent);

  is_right = _afork_call_stream_end_with_outbox (stream, &is_known, &begun, &error);
  check (is_right == (error == NULL), "it fails without an error, or has one without failing");
  check (is_right || !is_known, "what is not right is believed");
  be_caller (stream);
  _afork_call_stream_unref (stream);

  fd = dup (STDOUT_FILENO);
  close (fd);
  check (fd == next_fd, "a descriptor is left open, or one too many is closed");
  return 0;
}
