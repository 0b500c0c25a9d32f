/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-stream.h"
#include "call-stream-parts.h"

#include <sys/ioctl.h>

#include "base/fd.h"

enum
{
  /* With this much waiting to be sent, in bytes, the other side is not told what it may use
   * again. */
  MAX_UNSENT_NEWS = 1024 * 1024,
  /* More than a socket holds, in bytes, if the kernel does not say how much it does. */
  MAX_UNREAD = 16 * 1024 * 1024,
};

/* Sending. */

void
_afork_call_stream_gather_news (AForkCallStream *self)
{
  AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_SEGMENT_END };

  while ((frame.number = _afork_segment_pool_take_ended (self->pool)) != 0)
    _afork_call_writer_gather (self->writer, &frame, NULL, NULL, 0);

  /* An other side that does not read cannot use its segments again before it is told, and so cannot
   * have ever more of this gathered. */
  frame.kind = AFORK_CALL_FRAME_RELEASE;
  while (_afork_call_writer_get_unsent (self->writer) < MAX_UNSENT_NEWS
         && (frame.number = _afork_segment_table_take_released (self->table)) != 0)
    _afork_call_writer_gather (self->writer, &frame, NULL, NULL, 0);
}

static guint
count_news (AForkCallStream *self)
{
  return _afork_segment_pool_count_ended (self->pool)
    + _afork_segment_table_count_released (self->table);
}

gboolean
_afork_call_stream_has_news (AForkCallStream *self)
{
  return count_news (self) > 0;
}

AForkCallStreamStatus
_afork_call_stream_flush (AForkCallStream  *self,
                          gboolean          wait,
                          GError          **error)
{
  AForkCallStreamStatus status;

  do
    {
      _afork_call_stream_gather_news (self);
      status = _afork_call_writer_flush (self->writer, wait, error);
    }
  while (wait && status == AFORK_CALL_STREAM_OK && count_news (self) > 0);

  return status;
}

gsize
_afork_call_stream_get_unsent (AForkCallStream *self)
{
  return _afork_call_writer_get_unsent (self->writer)
    + count_news (self) * AFORK_CALL_FRAME_HEADER_SIZE;
}

guint64
_afork_call_stream_get_n_sent (AForkCallStream *self)
{
  return _afork_call_writer_get_n_sent (self->writer);
}

guint64
_afork_call_stream_get_n_gathered (AForkCallStream *self)
{
  return _afork_call_writer_get_n_gathered (self->writer);
}

void
_afork_call_stream_drop_unsent (AForkCallStream *self)
{
  _afork_call_writer_drop_unsent (self->writer);
}

/* The outbox. */

void
_afork_call_stream_accept_outbox (AForkCallStream *self)
{
  self->accept_outbox = TRUE;
}

gboolean
_afork_call_stream_has_new_outbox (AForkCallStream *self)
{
  return g_atomic_pointer_get (&self->new_outbox) != NULL;
}

void
_afork_call_stream_use_outbox (AForkCallStream *self)
{
  _afork_call_writer_set_outbox (self->writer, g_atomic_pointer_get (&self->new_outbox));
  g_atomic_pointer_set (&self->new_outbox, NULL);
}

gboolean
_afork_call_stream_keep (AForkCallStream *self)
{
  return _afork_call_writer_keep (self->writer);
}

gboolean
_afork_call_stream_note_begun (AForkCallStream *self,
                               guint32          number)
{
  AForkCallOutbox *outbox = _afork_call_writer_get_outbox (self->writer);

  if (outbox != NULL)
    _afork_call_outbox_set_begun (outbox, number);
  return outbox != NULL;
}

void
_afork_call_stream_forget_outbox (AForkCallStream *self)
{
  _afork_call_writer_forget_outbox (self->writer);
}

/* How many bytes are in the socket. */
static guint64
count_unread (AForkCallStream *self)
{
  int n_bytes = -1;

  ioctl (self->fd, FIONREAD, &n_bytes);
  return n_bytes >= 0 ? (guint64) n_bytes : MAX_UNREAD;
}

gboolean
_afork_call_stream_end_with_outbox (AForkCallStream  *self,
                                    gboolean         *is_known,
                                    guint32          *begun,
                                    GError          **error)
{
  g_autoptr(GUnixFDList) outbox = g_steal_pointer (&self->outbox);
  guint64 n_unread = count_unread (self);
  g_autoptr(GError) failure = NULL;
  g_autoptr(GBytes) rest = NULL;

  *is_known = FALSE;
  if (outbox != NULL)
    rest = _afork_call_outbox_read (g_unix_fd_list_peek_fds (outbox, NULL)[0], self->outbox_size,
                                    _afork_call_reader_get_n_received (self->reader) + n_unread,
                                    is_known, begun, &failure);
  _afork_call_reader_end_with (self->reader, n_unread, rest);
  if (failure == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

gboolean
_afork_call_stream_is_at_end (AForkCallStream *self)
{
  return _afork_call_reader_is_at_end (self->reader);
}

gboolean
_afork_call_stream_is_in_outbox (AForkCallStream *self)
{
  return _afork_call_reader_is_in_rest (self->reader);
}

/* Receiving. */

void
_afork_call_stream_drop_fds (AForkCallStream *self)
{
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_close (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
  _afork_call_reader_drop_fds (self->reader);
}

AForkCallStreamStatus
_afork_call_stream_read (AForkCallStream  *self,
                         gboolean          wait,
                         GError          **error)
{
  AForkCallStreamStatus status = _afork_call_reader_read (self->reader, wait, error);

  if (status == AFORK_CALL_STREAM_FAILED)
    _afork_call_stream_drop_fds (self);
  return status;
}

gboolean
_afork_call_stream_may_have_more (AForkCallStream *self)
{
  return _afork_call_reader_may_have_more (self->reader);
}

/* Life. */

AForkCallStream *
_afork_call_stream_new (int fd)
{
  AForkCallStream *self = g_new0 (AForkCallStream, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->fd = _afork_fd_own (fd);
  self->writer = _afork_call_writer_new (fd);
  self->pool = _afork_segment_pool_new ();
  self->reader = _afork_call_reader_new (fd);
  self->fds = g_array_new (FALSE, FALSE, sizeof (int));
  self->table = _afork_segment_table_new ();
  return self;
}

AForkCallStream *
_afork_call_stream_ref (AForkCallStream *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_call_stream_unref (AForkCallStream *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  _afork_call_writer_free (self->writer);
  g_clear_object (&self->outbox);
  g_clear_pointer (&self->new_outbox, _afork_call_outbox_free);
  _afork_segment_pool_free (self->pool);
  g_clear_pointer (&self->sample, g_variant_unref);
  _afork_call_stream_drop_fds (self);
  _afork_call_reader_free (self->reader);
  g_array_unref (self->fds);
  _afork_call_stream_drop_frame (self);
  _afork_call_stream_drop_blobs (self);
  g_clear_pointer (&self->check, _afork_normal_check_free);
  _afork_segment_table_free (self->table);
  _afork_fd_close (self->fd);
  g_free (self);
}

int
_afork_call_stream_get_fd (AForkCallStream *self)
{
  return self->fd;
}

void
_afork_call_stream_accept_segments (AForkCallStream *self)
{
  self->accept_segments = TRUE;
}

void
_afork_call_stream_limit_fds (AForkCallStream *self)
{
  self->limits_fds = TRUE;
}

void
_afork_call_stream_send_sealed (AForkCallStream *self)
{
  self->send_sealed = TRUE;
}

void
_afork_call_stream_send_inline (AForkCallStream *self)
{
  self->send_inline = TRUE;
}

void
_afork_call_stream_send_no_fds (AForkCallStream *self)
{
  self->send_no_fds = TRUE;
  self->send_inline = TRUE;
}

void
_afork_call_stream_refuse_memory (AForkCallStream *self)
{
  self->accept_segments = FALSE;
  self->refuse_sealed = TRUE;
}

void
_afork_call_stream_set_wake (AForkCallStream  *self,
                             AForkContext     *context,
                             void            (*wake) (gpointer data),
                             gpointer          data)
{
  _afork_segment_table_set_wake (self->table, context, wake, data);
}
