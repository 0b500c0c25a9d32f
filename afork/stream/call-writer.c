/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-writer.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/i18n.h"
#include "system/attach-fds.h"

enum
{
  /* The most bytes of small frames in one write buffer, about. */
  COMFORTABLE_BUFFER = 64 * 1024,
  /* The most bytes that one flush sends, unless it waits, because a caller has other work to do. */
  MAX_FLUSH = 1024 * 1024,
};

/* Frames that are sent together, with the descriptors of the first. The data of the last frame may
 * be in memory of its own. */
typedef struct
{
  GByteArray  *bytes;
  GBytes      *data;              /* follows `bytes`; or NULL */
  gsize        n_zeros;           /* how many zeros follow the data */
  GUnixFDList *fds;               /* NULL if there are none, or they were sent */
  guint        first_fd;
  guint        n_fds;
  gsize        n_sent;
} WriteBuffer;

struct _AForkCallWriter
{
  int     fd;

  AForkCallOutbox *outbox;        /* its bytes are sent before the write buffers; or NULL */
  GQueue           write_buffers; /* of WriteBuffer: the head is sent next */
  WriteBuffer     *spare;         /* an empty one, or NULL */
  gsize            n_unsent;      /* how many bytes of the write buffers were not sent */
  guint64          n_sent;        /* how many bytes were ever sent */
};

/* Gathering. */

static void
write_buffer_free (WriteBuffer *self)
{
  g_byte_array_unref (self->bytes);
  g_clear_pointer (&self->data, g_bytes_unref);
  g_clear_object (&self->fds);
  g_free (self);
}

static gsize
write_buffer_get_size (const WriteBuffer *self)
{
  return self->bytes->len + (self->data != NULL ? g_bytes_get_size (self->data) : 0)
    + self->n_zeros;
}

/* Returns a write buffer to which SIZE bytes can be added, and descriptors if WITH_FDS is true. */
static WriteBuffer *
get_open_buffer (AForkCallWriter *self,
                 gsize            size,
                 gboolean         with_fds)
{
  WriteBuffer *write_buffer = g_queue_peek_tail (&self->write_buffers);

  if (write_buffer != NULL && write_buffer->data == NULL && !with_fds
      && write_buffer->bytes->len + size <= COMFORTABLE_BUFFER)
    return write_buffer;

  write_buffer = g_steal_pointer (&self->spare);
  if (write_buffer == NULL)
    {
      write_buffer = g_new0 (WriteBuffer, 1);
      write_buffer->bytes = g_byte_array_new ();
    }
  g_queue_push_tail (&self->write_buffers, write_buffer);
  return write_buffer;
}

/* Removes the first write buffer, which was sent. It becomes the spare one if it is small. */
static void
retire_buffer (AForkCallWriter *self)
{
  WriteBuffer *write_buffer = g_queue_pop_head (&self->write_buffers);

  if (self->spare != NULL || write_buffer->data != NULL
      || write_buffer->bytes->len > COMFORTABLE_BUFFER)
    {
      write_buffer_free (write_buffer);
      return;
    }

  g_byte_array_set_size (write_buffer->bytes, 0);
  write_buffer->n_zeros = 0;
  write_buffer->n_sent = 0;
  self->spare = write_buffer;
}

/* Returns where to write SIZE bytes of a frame in the outbox, or NULL. If a write buffer has bytes
 * already, these follow the outbox, and the frame must follow them. */
static guint8 *
add_to_outbox (AForkCallWriter *self,
               gsize            size)
{
  if (self->outbox == NULL || !g_queue_is_empty (&self->write_buffers))
    return NULL;

  return _afork_call_outbox_add (self->outbox, size, self->n_sent);
}

static guint8 *
add_to_buffer (AForkCallWriter      *self,
               const AForkCallFrame *frame,
               gsize                 size,
               GUnixFDList          *fds,
               guint                 first_fd)
{
  WriteBuffer *write_buffer = get_open_buffer (self, size, frame->n_fds > 0);
  guint start = write_buffer->bytes->len;

  g_byte_array_set_size (write_buffer->bytes, start + (guint) size);
  if (frame->n_fds > 0)
    {
      write_buffer->fds = g_object_ref (fds);
      write_buffer->first_fd = first_fd;
      write_buffer->n_fds = frame->n_fds;
    }
  self->n_unsent += size;
  return write_buffer->bytes->data + start;
}

/* Adds the data of the last frame without a copy. */
static void
add_data_apart (AForkCallWriter *self,
                GBytes          *data,
                gsize            padding)
{
  WriteBuffer *write_buffer = g_queue_peek_tail (&self->write_buffers);

  write_buffer->data = g_bytes_ref (data);
  write_buffer->n_zeros = padding;
  self->n_unsent += g_bytes_get_size (data) + padding;
}

guint8 *
_afork_call_writer_gather (AForkCallWriter      *self,
                           const AForkCallFrame *frame,
                           GBytes               *owner,
                           GUnixFDList          *fds,
                           guint                 first_fd)
{
  gsize head_size = afork_call_frame_head_size (frame);
  gsize padding = afork_call_frame_padding (frame);
  gboolean apart = owner != NULL && frame->size >= AFORK_CALL_WRITER_LONG_DATA;
  gsize size = head_size + (apart ? 0 : frame->size + padding);
  guint8 *out = !apart && frame->n_fds == 0 ? add_to_outbox (self, size) : NULL;

  if (out == NULL)
    out = add_to_buffer (self, frame, size, fds, first_fd);
  afork_call_frame_write (frame, out);
  if (apart)
    {
      add_data_apart (self, owner, padding);
    }
  else if (frame->size > 0)
    {
      memcpy (out + head_size, frame->data, frame->size);
      memset (out + head_size + frame->size, 0, padding);
    }

  return out;
}

/* Sending. */

/* Sets VECTORS to the unsent bytes of the write buffer, MAX_SIZE at most. Returns their number. */
static gsize
get_vectors (WriteBuffer  *write_buffer,
             gsize         max_size,
             struct iovec *vectors)
{
  static guint8 zeros[8];
  gsize data_size = 0;
  const void *data = write_buffer->data != NULL ? g_bytes_get_data (write_buffer->data, &data_size)
    : NULL;
  const struct iovec parts[] = {
    { write_buffer->bytes->data, write_buffer->bytes->len },
    { (void *) data, data_size },
    { zeros, write_buffer->n_zeros },
  };
  gsize n_sent = write_buffer->n_sent;
  gsize n_vectors = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      gsize skipped = MIN (n_sent, parts[i].iov_len);

      gsize size = MIN (parts[i].iov_len - skipped, max_size);

      n_sent -= skipped;
      max_size -= size;
      if (size > 0)
        vectors[n_vectors++] = (struct iovec) { (guint8 *) parts[i].iov_base + skipped, size };
    }

  return n_vectors;
}

static gssize
send_bytes (AForkCallWriter *self,
            const void      *bytes,
            gsize            size)
{
  gssize result;

  do
    result = send (self->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result;
}

static gssize
send_once (AForkCallWriter *self,
           WriteBuffer     *write_buffer,
           gsize            max_size)
{
  union { char bytes[CMSG_SPACE (AFORK_CALL_FRAME_MAX_FDS * sizeof (int))]; struct cmsghdr align; }
    control;
  struct iovec vectors[3];
  struct msghdr message = {
    .msg_iov = vectors,
    .msg_iovlen = get_vectors (write_buffer, max_size, vectors),
  };
  gssize result;

  if (write_buffer->fds != NULL)
    {
      const int *fds = g_unix_fd_list_peek_fds (write_buffer->fds, NULL);

      memset (control.bytes, 0, CMSG_SPACE (write_buffer->n_fds * sizeof (int)));
      afork_attach_fds (&message, control.bytes, fds + write_buffer->first_fd, write_buffer->n_fds);
    }

  /* send() is cheaper than sendmsg(), because the kernel copies no header. */
  if (message.msg_iovlen == 1 && message.msg_control == NULL)
    return send_bytes (self, vectors[0].iov_base, vectors[0].iov_len);

  do
    result = sendmsg (self->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result;
}

static void
wait_for_room (AForkCallWriter *self)
{
  struct pollfd entry = { .fd = self->fd, .events = POLLOUT };

  while (poll (&entry, 1, -1) < 0 && errno == EINTR)
    ;
}

/* Handles an errno of send(). Waits if WAIT is true and this can help. */
static AForkCallStreamStatus
handle_error (AForkCallWriter  *self,
              int               number,
              gboolean          wait,
              GError          **error)
{
  switch (number)
    {
    case EAGAIN:
      if (!wait)
        return AFORK_CALL_STREAM_WOULD_BLOCK;
      wait_for_room (self);
      return AFORK_CALL_STREAM_OK;
    case ETOOMANYREFS:
      /* Too many descriptors of this user are in flight, on any socket. Some of them must
       * arrive. */
      if (!wait)
        return AFORK_CALL_STREAM_LATER;
      g_usleep (AFORK_CALL_STREAM_RETRY_TIME);
      return AFORK_CALL_STREAM_OK;
    case EPIPE:
    case ECONNRESET:
      return AFORK_CALL_STREAM_END;
    default:
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (number),
                   _("A message could not be sent: %s"), g_strerror (number));
      return AFORK_CALL_STREAM_FAILED;
    }
}

static AForkCallStreamStatus
flush_outbox (AForkCallWriter  *self,
              gboolean          wait,
              GError          **error)
{
  AForkCallStreamStatus status = AFORK_CALL_STREAM_OK;
  const guint8 *bytes;
  gsize size;

  while (status == AFORK_CALL_STREAM_OK
         && (bytes = _afork_call_outbox_peek (self->outbox, &size), size > 0))
    {
      gssize result = send_bytes (self, bytes, size);

      if (result >= 0)
        {
          _afork_call_outbox_remove (self->outbox, (gsize) result);
          self->n_sent += (guint64) result;
        }
      else
        status = handle_error (self, errno, wait, error);
    }

  return status;
}

AForkCallStreamStatus
_afork_call_writer_flush (AForkCallWriter  *self,
                          gboolean          wait,
                          GError          **error)
{
  AForkCallStreamStatus status = AFORK_CALL_STREAM_OK;
  gsize n_left = wait ? G_MAXSIZE : MAX_FLUSH;
  WriteBuffer *write_buffer;

  if (self->outbox != NULL)
    status = flush_outbox (self, wait, error);
  while (status == AFORK_CALL_STREAM_OK && n_left > 0
         && (write_buffer = g_queue_peek_head (&self->write_buffers)) != NULL)
    {
      gssize result = send_once (self, write_buffer, n_left);

      if (result >= 0)
        {
          g_autoptr(GUnixFDList) sent_fds G_GNUC_UNUSED = g_steal_pointer (&write_buffer->fds);

          n_left -= (gsize) result;
          write_buffer->n_sent += (gsize) result;
          self->n_unsent -= (gsize) result;
          self->n_sent += (guint64) result;
          /* To free the buffer or the list may run code of the program, which may use this
           * writer. */
          if (write_buffer->n_sent == write_buffer_get_size (write_buffer))
            retire_buffer (self);
        }
      else
        status = handle_error (self, errno, wait, error);
    }

  return status;
}

/* The outbox. */

/* Moves the unsent bytes of the write buffer to the outbox. */
static gboolean
keep_buffer (AForkCallWriter *self,
             WriteBuffer     *write_buffer)
{
  gsize size = write_buffer_get_size (write_buffer) - write_buffer->n_sent;
  struct iovec vectors[3];
  gsize n_vectors;
  guint8 *out;

  if (write_buffer->fds != NULL
      || (out = _afork_call_outbox_add (self->outbox, size, self->n_sent)) == NULL)
    return FALSE;

  n_vectors = get_vectors (write_buffer, G_MAXSIZE, vectors);
  for (gsize i = 0; i < n_vectors; i++)
    {
      memcpy (out, vectors[i].iov_base, vectors[i].iov_len);
      out += vectors[i].iov_len;
    }
  self->n_unsent -= size;
  retire_buffer (self);
  return TRUE;
}

gboolean
_afork_call_writer_keep (AForkCallWriter *self)
{
  WriteBuffer *write_buffer;

  if (self->outbox == NULL)
    return self->n_unsent == 0;

  while ((write_buffer = g_queue_peek_head (&self->write_buffers)) != NULL
         && keep_buffer (self, write_buffer))
    ;
  _afork_call_outbox_publish (self->outbox);
  return g_queue_is_empty (&self->write_buffers);
}

void
_afork_call_writer_set_outbox (AForkCallWriter *self,
                               AForkCallOutbox *outbox)
{
  self->outbox = outbox;
}

void
_afork_call_writer_forget_outbox (AForkCallWriter *self)
{
  self->outbox = NULL;
}

AForkCallOutbox *
_afork_call_writer_get_outbox (AForkCallWriter *self)
{
  return self->outbox;
}

gsize
_afork_call_writer_get_unsent (AForkCallWriter *self)
{
  gsize size = 0;

  if (self->outbox != NULL)
    _afork_call_outbox_peek (self->outbox, &size);
  return size + self->n_unsent;
}

guint64
_afork_call_writer_get_n_sent (AForkCallWriter *self)
{
  return self->n_sent;
}

guint64
_afork_call_writer_get_n_gathered (AForkCallWriter *self)
{
  return self->n_sent + _afork_call_writer_get_unsent (self);
}

void
_afork_call_writer_drop_unsent (AForkCallWriter *self)
{
  GQueue dropped = self->write_buffers;

  /* To free the data may run code of the program, which may use this writer. It finds no frames. */
  g_queue_init (&self->write_buffers);
  if (self->outbox != NULL)
    _afork_call_outbox_clear (self->outbox);
  self->n_unsent = 0;
  g_queue_clear_full (&dropped, (GDestroyNotify) write_buffer_free);
}

AForkCallWriter *
_afork_call_writer_new (int fd)
{
  AForkCallWriter *self = g_new0 (AForkCallWriter, 1);

  self->fd = fd;
  g_queue_init (&self->write_buffers);
  return self;
}

void
_afork_call_writer_free (AForkCallWriter *self)
{
  _afork_call_writer_drop_unsent (self);
  g_clear_pointer (&self->outbox, _afork_call_outbox_free);
  g_clear_pointer (&self->spare, write_buffer_free);
  g_free (self);
}
