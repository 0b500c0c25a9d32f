/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "channel-writer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

/* Frames are gathered up to about this; a longer one has a write buffer of its own. */
enum { COMFORTABLE_SIZE = 16 * 1024 };

struct _AForkWriteBuffer
{
  GByteArray *bytes;
  GBytes     *piece;            /* behind the bytes, or NULL */
  gsize       piece_offset;
  gsize       piece_size;
  GArray     *fds;              /* of int, ours; or NULL. Gone once the first byte is */
  gsize       n_sent;
  gboolean    started;
};

AForkWriteBuffer *
_afork_write_buffer_new (void)
{
  AForkWriteBuffer *self = g_new0 (AForkWriteBuffer, 1);

  self->bytes = g_byte_array_new ();
  return self;
}

static void
clear_fds (AForkWriteBuffer *self)
{
  for (guint i = 0; self->fds != NULL && i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_clear_pointer (&self->fds, g_array_unref);
}

void
_afork_write_buffer_free (AForkWriteBuffer *self)
{
  clear_fds (self);
  g_byte_array_unref (self->bytes);
  g_clear_pointer (&self->piece, g_bytes_unref);
  g_free (self);
}

gboolean
_afork_write_buffer_add (AForkWriteBuffer *self,
                         const AForkFrame *frame,
                         gsize             size,
                         int               fd)
{
  guint length = self->bytes->len;

  if (self->started || self->piece != NULL)
    return FALSE;
  if (length > 0 && length + size > COMFORTABLE_SIZE)
    return FALSE;
  if (fd >= 0 && self->fds != NULL && self->fds->len == AFORK_FRAME_MAX_FDS)
    return FALSE;

  g_byte_array_set_size (self->bytes, length + (guint) size);
  afork_frame_write (frame, self->bytes->data + length);
  if (fd >= 0)
    {
      if (self->fds == NULL)
        self->fds = g_array_new (FALSE, FALSE, sizeof (int));
      g_array_append_val (self->fds, fd);
    }

  return TRUE;
}

void
_afork_write_buffer_end (AForkWriteBuffer *self,
                         GBytes           *bytes,
                         gsize             offset,
                         gsize             size,
                         gboolean          more)
{
  guint length = self->bytes->len;

  g_assert (!self->started && self->piece == NULL);

  g_byte_array_set_size (self->bytes, length + AFORK_FRAME_HEADER_SIZE);
  afork_frame_write_header (AFORK_FRAME_ITEM_BYTES, more ? AFORK_FRAME_MORE : 0, 0, (guint32) size,
                            self->bytes->data + length);
  self->piece = g_bytes_ref (bytes);
  self->piece_offset = offset;
  self->piece_size = size;
}

/* What is left to send, as at most two vectors. */
static gsize
get_vectors (AForkWriteBuffer *self,
             struct iovec     *vectors)
{
  gsize from_bytes = MIN (self->n_sent, self->bytes->len);
  gsize from_piece = self->n_sent - from_bytes;
  gsize n_vectors = 0;

  if (from_bytes < self->bytes->len)
    vectors[n_vectors++] = (struct iovec) {
      self->bytes->data + from_bytes, self->bytes->len - from_bytes
    };
  if (from_piece < self->piece_size)
    vectors[n_vectors++] = (struct iovec) {
      (guint8 *) g_bytes_get_data (self->piece, NULL) + self->piece_offset + from_piece,
      self->piece_size - from_piece
    };

  return n_vectors;
}

/* Room for the descriptors of one message. */
typedef union
{
  struct cmsghdr align;
  char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
} Control;

static void
attach_fds (GArray        *fds,
            struct msghdr *message,
            Control       *control)
{
  gsize size = fds->len * sizeof (int);

  memset (control, 0, CMSG_SPACE (size));
  control->align.cmsg_level = SOL_SOCKET;
  control->align.cmsg_type = SCM_RIGHTS;
  control->align.cmsg_len = CMSG_LEN (size);
  memcpy (CMSG_DATA (&control->align), fds->data, size);
  message->msg_control = control;
  message->msg_controllen = CMSG_SPACE (size);
}

/* Not by GSocket, which makes several objects for each message. */
gssize
_afork_write_buffer_send (AForkWriteBuffer *self,
                          int               socket)
{
  struct iovec vectors[2];
  struct msghdr message = { .msg_iov = vectors };
  Control control;
  gssize n_sent;

  self->started = TRUE;
  message.msg_iovlen = get_vectors (self, vectors);
  if (self->fds != NULL)
    attach_fds (self->fds, &message, &control);

  do
    n_sent = sendmsg (socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n_sent < 0 && errno == EINTR);

  if (n_sent > 0)
    {
      self->n_sent += (gsize) n_sent;
      clear_fds (self);
    }

  return n_sent;
}

gboolean
_afork_write_buffer_is_sent (AForkWriteBuffer *self)
{
  return self->n_sent == self->bytes->len + self->piece_size;
}
