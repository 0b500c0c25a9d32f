/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "channel-writer.h"

#include <errno.h>

#include <gio/gunixfdmessage.h>

#include "base/fd.h"

enum
{
  /* Room for the usual commands to one process. */
  FEW_BYTES = 128,
  /* The most bytes of frames in one write buffer. A longer frame has a write buffer of its own. */
  COMFORTABLE_SIZE = 16 * 1024,
};

struct _AForkWriteBuffer
{
  GByteArray *bytes;
  GBytes     *piece;            /* follows `bytes`; or NULL */
  gsize       piece_offset;
  gsize       piece_size;
  GArray     *fds;              /* of int, owned; NULL if there are none, or they were sent */
  gsize       n_sent;
  gboolean    started;
};

AForkWriteBuffer *
_afork_write_buffer_new (void)
{
  AForkWriteBuffer *self = g_new0 (AForkWriteBuffer, 1);

  self->bytes = g_byte_array_sized_new (FEW_BYTES);
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

/* Sets VECTORS to the unsent bytes, and returns the number of vectors, one or two. */
static int
get_vectors (AForkWriteBuffer *self,
             GOutputVector    *vectors)
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

  /* Without a vector, GSocket would add one of a single byte. */
  g_assert (n_vectors > 0);
  return n_vectors;
}

/* Returns a message with the descriptors FDS, without duplicates. Call take_back_fds() before it is
 * freed. */
static GSocketControlMessage *
lend_fds (GArray *fds)
{
  g_autoptr(GUnixFDList) list = NULL;

  list = g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  return g_unix_fd_message_new_with_fd_list (list);
}

/* Takes the descriptors from MESSAGE, which would close them. */
static void
take_back_fds (GSocketControlMessage *message)
{
  g_free (g_unix_fd_message_steal_fds (G_UNIX_FD_MESSAGE (message), NULL));
}

GPollableReturn
_afork_write_buffer_send (AForkWriteBuffer  *self,
                          GSocket           *socket,
                          gsize             *n_bytes,
                          GError           **error)
{
  g_autoptr(GSocketControlMessage) message = NULL;
  GOutputVector vectors[2];
  int n_vectors = get_vectors (self, vectors);
  GPollableReturn result;
  int saved_errno;

  self->started = TRUE;
  if (self->fds != NULL)
    message = lend_fds (self->fds);
  result = g_socket_send_message_with_timeout (socket, NULL, vectors, n_vectors,
                                               &message, message != NULL ? 1 : 0,
                                               0, 0, n_bytes, NULL, error);
  saved_errno = errno;
  if (message != NULL)
    take_back_fds (message);
  if (result == G_POLLABLE_RETURN_OK)
    {
      self->n_sent += *n_bytes;
      clear_fds (self);
    }
  /* GIO has no code for this error, and leaves errno as it is. */
  if (result == G_POLLABLE_RETURN_FAILED && saved_errno == ETOOMANYREFS && error != NULL)
    (*error)->code = G_IO_ERROR_BUSY;

  return result;
}

gboolean
_afork_write_buffer_is_sent (AForkWriteBuffer *self)
{
  return self->n_sent == self->bytes->len + self->piece_size;
}
