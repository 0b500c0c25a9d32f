/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-reader.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"
#include "protocol-error.h"

enum
{
  /* The size of the input. A larger frame is read into memory of its own. */
  INPUT_SIZE = 64 * 1024,
  /* The most bytes of a large frame that are read at once. This takes about half a millisecond. */
  MAX_READ = 1024 * 1024,
  /* For more descriptors, check first that there is memory for their numbers. */
  FEW_FDS = 64,
};

struct _AForkCallReader
{
  int       fd;

  guint8   *input;              /* of INPUT_SIZE */
  gsize     input_start;        /* where the bytes begin that were not taken */
  gsize     input_end;          /* where the received bytes end */
  guint8   *large;              /* a large frame, or NULL */
  gsize     large_size;
  gsize     large_end;          /* where its received bytes end */
  GArray   *fds;                /* of int: received, and not taken */
  gboolean  may_have_more;      /* the last read filled its buffer */
  guint64   n_received;         /* how many bytes were read from the socket */
  guint64   n_left;             /* how many more may be read from it */
  GBytes   *rest;               /* is read after these bytes; or NULL */
  gboolean  reads_rest;         /* some of the rest was read */
};

/* Receiving. */

gboolean
_afork_call_reader_has_memory_for_fds (guint    n_fds,
                                       GError **error)
{
  const gsize size = n_fds * sizeof (int);

  return n_fds <= FEW_FDS || _afork_memory_is_left (2 * size)
    || _afork_memory_set_error (error, size);
}

/* Queues the descriptors of a received message, or closes them if there is no memory. */
static gboolean
queue_fds (AForkCallReader  *self,
           struct msghdr    *message,
           GError          **error)
{
  gboolean success = TRUE;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL;
       header = CMSG_NXTHDR (message, header))
    {
      const int *fds = (const int *) (gconstpointer) CMSG_DATA (header);
      const guint n_fds = (guint) ((header->cmsg_len - CMSG_LEN (0)) / sizeof (int));

      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        continue;

      success = success && _afork_call_reader_has_memory_for_fds (self->fds->len + n_fds, error);
      if (success)
        g_array_append_vals (self->fds, fds, n_fds);
      for (guint i = 0; i < n_fds; i++)
        if (success)
          _afork_fd_register (fds[i]);
        else
          _afork_fd_close (fds[i]);
    }

  return success;
}

/* Returns where to write the bytes that are read next. */
static struct iovec
get_room (AForkCallReader *self)
{
  if (self->large != NULL)
    return (struct iovec) {
      self->large + self->large_end, MIN (self->large_size - self->large_end, MAX_READ)
    };

  if (self->input_start > 0)
    {
      memmove (self->input, self->input + self->input_start, self->input_end - self->input_start);
      self->input_end -= self->input_start;
      self->input_start = 0;
    }
  return (struct iovec) { self->input + self->input_end, INPUT_SIZE - self->input_end };
}

static void
wait_for_input (AForkCallReader *self)
{
  struct pollfd entry = { .fd = self->fd, .events = POLLIN };

  while (poll (&entry, 1, -1) < 0 && errno == EINTR)
    ;
}

static void
note_read (AForkCallReader *self,
           gsize            size,
           gsize            room)
{
  self->may_have_more = size == room;
  if (self->large != NULL)
    self->large_end += size;
  else
    self->input_end += size;
}

/* Called instead of reading from the socket, once it is at its end. */
static AForkCallStreamStatus
read_rest (AForkCallReader    *self,
           const struct iovec *room)
{
  g_autoptr(GBytes) rest = g_steal_pointer (&self->rest);
  gsize size;
  const void *bytes;

  if (rest == NULL)
    return AFORK_CALL_STREAM_END;

  self->reads_rest = TRUE;
  bytes = g_bytes_get_data (rest, &size);
  if (size > room->iov_len)
    self->rest = g_bytes_new_from_bytes (rest, room->iov_len, size - room->iov_len);
  size = MIN (size, room->iov_len);
  memcpy (room->iov_base, bytes, size);
  note_read (self, size, room->iov_len);
  return AFORK_CALL_STREAM_OK;
}

AForkCallStreamStatus
_afork_call_reader_read (AForkCallReader  *self,
                         gboolean          wait,
                         GError          **error)
{
  union { char bytes[CMSG_SPACE (AFORK_CALL_FRAME_MAX_FDS * sizeof (int))]; struct cmsghdr align; }
    control;
  struct iovec room = get_room (self);
  struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1 };
  gssize result;

  g_assert (room.iov_len > 0);
  if (self->n_left == 0)
    return read_rest (self, &room);
  room.iov_len = MIN (room.iov_len, self->n_left);
  for (;;)
    {
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      result = recvmsg (self->fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
      if (result >= 0 || (errno != EINTR && !(wait && errno == EAGAIN)))
        break;
      if (errno == EAGAIN)
        wait_for_input (self);
    }

  if (result < 0 && errno == EAGAIN)
    return AFORK_CALL_STREAM_WOULD_BLOCK;
  if (result == 0 || (result < 0 && errno == ECONNRESET))
    return AFORK_CALL_STREAM_END;
  if (result < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                   _("A message could not be received: %s"), g_strerror (errno));
      return AFORK_CALL_STREAM_FAILED;
    }

  if (!queue_fds (self, &message, error))
    return AFORK_CALL_STREAM_FAILED;
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES,
                   _("A descriptor could not be received: %s"), g_strerror (EMFILE));
      return AFORK_CALL_STREAM_FAILED;
    }
  if (self->fds->len > AFORK_CALL_MAX_FDS)
    {
      _afork_protocol_error_set (error, "more descriptors came than frames that name them");
      return AFORK_CALL_STREAM_FAILED;
    }

  self->n_received += (guint64) result;
  self->n_left -= (guint64) result;
  note_read (self, (gsize) result, room.iov_len);
  return AFORK_CALL_STREAM_OK;
}

gboolean
_afork_call_reader_may_have_more (AForkCallReader *self)
{
  return self->may_have_more;
}

guint64
_afork_call_reader_get_n_received (AForkCallReader *self)
{
  return self->n_received;
}

void
_afork_call_reader_end_with (AForkCallReader *self,
                             guint64          n_bytes,
                             GBytes          *rest)
{
  self->n_left = n_bytes;
  self->rest = rest != NULL ? g_bytes_ref (rest) : NULL;
}

gboolean
_afork_call_reader_is_at_end (AForkCallReader *self)
{
  return self->n_left == 0 && self->rest == NULL;
}

gboolean
_afork_call_reader_is_in_rest (AForkCallReader *self)
{
  return self->reads_rest;
}

/* Frames. */

gboolean
_afork_call_reader_take_fds (AForkCallReader *self,
                             int             *fds,
                             guint            n_fds)
{
  if (n_fds > self->fds->len)
    return FALSE;

  memcpy (fds, self->fds->data, n_fds * sizeof (int));
  g_array_remove_range (self->fds, 0, n_fds);
  return TRUE;
}

const int *
_afork_call_reader_peek_fds (AForkCallReader *self,
                             guint           *n_fds)
{
  *n_fds = self->fds->len;
  return (const int *) self->fds->data;
}

void
_afork_call_reader_drop_fds (AForkCallReader *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
}

/* Allocates memory for a frame that is larger than the input. */
static gboolean
begin_large (AForkCallReader  *self,
             gsize             size,
             GError          **error)
{
  gsize n_there = self->input_end - self->input_start;

  self->large = _afork_memory_new (size);
  if (self->large == NULL)
    return _afork_memory_set_error (error, size);

  self->large_size = size;
  memcpy (self->large, self->input + self->input_start, n_there);
  self->large_end = n_there;
  self->input_start = self->input_end = 0;
  return TRUE;
}

AForkCallStreamStatus
_afork_call_reader_next (AForkCallReader  *self,
                         AForkCallFrame   *frame,
                         GBytes          **owner,
                         GError          **error)
{
  const guint8 *bytes = self->large != NULL ? self->large : self->input + self->input_start;
  gsize n_bytes = self->large != NULL ? self->large_end : self->input_end - self->input_start;
  const char *why;
  gsize size;

  switch (afork_call_frame_parse (bytes, n_bytes, frame, &size, &why))
    {
    case AFORK_CALL_FRAME_INVALID:
      _afork_protocol_error_set (error, "%s", why);
      return AFORK_CALL_STREAM_FAILED;

    case AFORK_CALL_FRAME_TRUNCATED:
      if (size > INPUT_SIZE && self->large == NULL && !begin_large (self, size, error))
        return AFORK_CALL_STREAM_FAILED;
      return AFORK_CALL_STREAM_WOULD_BLOCK;

    case AFORK_CALL_FRAME_OK:
    default:
      *owner = NULL;
      if (self->large != NULL)
        *owner = _afork_memory_to_bytes (g_steal_pointer (&self->large), self->large_size);
      else
        self->input_start += size;
      return AFORK_CALL_STREAM_OK;
    }
}

/* The object. */

AForkCallReader *
_afork_call_reader_new (int fd)
{
  AForkCallReader *self = g_new0 (AForkCallReader, 1);

  self->fd = fd;
  self->input = g_malloc (INPUT_SIZE);
  self->n_left = G_MAXUINT64;
  self->fds = g_array_new (FALSE, FALSE, sizeof (int));
  return self;
}

void
_afork_call_reader_free (AForkCallReader *self)
{
  g_free (self->input);
  _afork_memory_free (self->large, self->large_size);
  _afork_call_reader_drop_fds (self);
  g_array_unref (self->fds);
  g_clear_pointer (&self->rest, g_bytes_unref);
  g_free (self);
}
