/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-batch-private.h"

#include <gio/gunixfdmessage.h>
#include <sys/socket.h>

#include "afork-fd-private.h"

/* Frames are gathered up to about this; a longer one has a batch of its own. */
enum { COMFORTABLE_SIZE = 16 * 1024 };

struct _AForkBatch
{
  GByteArray *bytes;
  GBytes     *piece;            /* behind the bytes, or NULL */
  gsize       piece_offset;
  gsize       piece_size;
  GArray     *fds;              /* of int, ours; or NULL. Gone once the first byte is */
  gsize       n_sent;
  gboolean    started;
};

AForkBatch *
_afork_batch_new (void)
{
  AForkBatch *self = g_new0 (AForkBatch, 1);

  self->bytes = g_byte_array_new ();
  return self;
}

static void
clear_fds (AForkBatch *self)
{
  for (guint i = 0; self->fds != NULL && i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_clear_pointer (&self->fds, g_array_unref);
}

void
_afork_batch_free (AForkBatch *self)
{
  clear_fds (self);
  g_byte_array_unref (self->bytes);
  g_clear_pointer (&self->piece, g_bytes_unref);
  g_free (self);
}

gboolean
_afork_batch_add (AForkBatch       *self,
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
_afork_batch_end (AForkBatch *self,
                  GBytes     *bytes,
                  gsize       offset,
                  gsize       size,
                  gboolean    more)
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
static int
get_vectors (AForkBatch    *self,
             GOutputVector *vectors)
{
  gsize from_bytes = MIN (self->n_sent, self->bytes->len);
  gsize from_piece = self->n_sent - from_bytes;
  int n_vectors = 0;

  if (from_bytes < self->bytes->len)
    vectors[n_vectors++] = (GOutputVector) {
      self->bytes->data + from_bytes, self->bytes->len - from_bytes
    };
  if (from_piece < self->piece_size)
    vectors[n_vectors++] = (GOutputVector) {
      (const guint8 *) g_bytes_get_data (self->piece, NULL) + self->piece_offset + from_piece,
      self->piece_size - from_piece
    };

  return n_vectors;
}

GPollableReturn
_afork_batch_send (AForkBatch  *self,
                   GSocket     *socket,
                   gsize       *n_sent,
                   GError     **error)
{
  GSocketControlMessage *message = NULL;
  GPollableReturn result;
  GOutputVector vectors[2];
  int n_vectors;

  *n_sent = 0;
  self->started = TRUE;
  n_vectors = get_vectors (self, vectors);

  /* The list takes the descriptors as they are; appending them to a message would copy them. It
   * closes them, too, so they come back out of it if they did not leave. */
  if (self->fds != NULL)
    {
      g_autoptr(GUnixFDList) list = g_unix_fd_list_new_from_array ((int *) self->fds->data,
                                                                   (int) self->fds->len);
      message = g_unix_fd_message_new_with_fd_list (list);
    }

  result = g_socket_send_message_with_timeout (socket, NULL, vectors, n_vectors,
                                               message != NULL ? &message : NULL,
                                               message != NULL ? 1 : 0,
                                               MSG_DONTWAIT, 0, n_sent, NULL, error);
  if (message != NULL)
    {
      if (result != G_POLLABLE_RETURN_OK)
        g_free (g_unix_fd_message_steal_fds (G_UNIX_FD_MESSAGE (message), NULL));
      else
        g_clear_pointer (&self->fds, g_array_unref);
      g_object_unref (message);
    }

  self->n_sent += *n_sent;
  return result;
}

gboolean
_afork_batch_is_sent (AForkBatch *self)
{
  return self->n_sent == self->bytes->len + self->piece_size;
}
