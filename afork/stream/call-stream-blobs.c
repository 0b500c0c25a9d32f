/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Blobs of messages: in the stream, in segments, or sealed. */

#include "config.h"

#include "call-stream.h"
#include "call-stream-parts.h"

#include <string.h>

#include "base/fd.h"
#include "base/memory.h"
#include "call-value.h"
#include "protocol-error.h"

enum
{
  /* What is copied of a blob in one step, in bytes … */
  MAX_COPIED = 1024 * 1024,
  /* … and how many blobs are taken. */
  MAX_TAKEN = 16,
};

/* Sending. */

static void
send_inline_blob (AForkCallStream *self,
                  GBytes          *blob)
{
  gsize size, offset = 0;
  const guint8 *bytes = g_bytes_get_data (blob, &size);

  do
    {
      gsize piece = MIN (size - offset, (gsize) AFORK_CALL_FRAME_MAX_PAYLOAD);
      gboolean more = offset + piece < size;
      g_autoptr(GBytes) part = g_bytes_new_from_bytes (blob, offset, piece);
      AForkCallFrame frame = {
        .kind = AFORK_CALL_FRAME_BLOB,
        .flags = more ? AFORK_CALL_FRAME_MORE : 0,
        .data = bytes + offset,
        .size = piece,
      };

      _afork_call_writer_gather (self->writer, &frame, part, NULL, 0);
      offset += piece;
    }
  while (offset < size);
}

/* Returns the segment that BLOB is in, of which the other side knows, or 0. */
static guint32
send_segment (AForkCallStream *self,
              GBytes          *blob)
{
  AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_SEGMENT, .n_fds = 1 };
  g_autoptr(GUnixFDList) fds = NULL;
  gsize capacity;
  int fd;

  frame.number = _afork_segment_pool_fill (self->pool, blob, &fd, &capacity);
  /* Others may have ended to make room for it. */
  _afork_call_stream_gather_news (self);
  if (fd >= 0)
    {
      fds = _afork_fd_list_new (&fd, 1);
      frame.segment_size = capacity;
      _afork_call_writer_gather (self->writer, &frame, NULL, fds, 0);
    }

  return frame.number;
}

guint32
_afork_call_stream_send_blob (AForkCallStream *self,
                              GBytes          *blob,
                              guint            n_fds,
                              GArray          *sealed)
{
  gsize size = g_bytes_get_size (blob);
  guint32 segment = 0;
  int fd;

  if (self->send_inline)
    {
      send_inline_blob (self, blob);
      return AFORK_BLOB_INLINE;
    }

  if (!self->send_sealed
      && size >= AFORK_SEGMENT_MIN_BLOB && size <= AFORK_SEGMENT_MAX_BLOB
      && (segment = send_segment (self, blob)) != 0)
    return segment;

  if (self->send_sealed && size >= AFORK_SEALED_MIN_BLOB && size <= AFORK_SEALED_MAX_BLOB
      && n_fds < AFORK_CALL_MAX_FDS
      && (fd = _afork_sealed_blob_new (blob)) >= 0)
    {
      g_array_append_val (sealed, fd);
      return AFORK_BLOB_SEALED;
    }

  send_inline_blob (self, blob);
  return AFORK_BLOB_INLINE;
}

/* Receiving. */

static void
add_inline_blob (AForkCallStream *self,
                 GBytes          *blob)
{
  if (self->inline_blobs == NULL)
    self->inline_blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_ptr_array_add (self->inline_blobs, blob);
}

/* Has room for SIZE more bytes of the blob whose pieces come. */
static gboolean
reserve_open_blob (AForkCallStream  *self,
                   gsize             size,
                   GError          **error)
{
  gsize capacity = self->open_size + size;
  guint8 *grown;

  if (self->open_blob != NULL && capacity <= self->open_capacity)
    return TRUE;

  capacity = MAX (capacity, 2 * self->open_capacity);
  grown = _afork_memory_grow (self->open_blob, self->open_capacity, capacity);
  if (grown == NULL)
    return _afork_memory_set_error (error, capacity);

  self->open_blob = grown;
  self->open_capacity = capacity;
  return TRUE;
}

/* A step: copies some of what the frame has of a blob. */
static gboolean
take_piece (AForkCallStream  *self,
            GError          **error)
{
  const gsize size = MIN (self->frame.size, (gsize) MAX_COPIED);

  memcpy (self->open_blob + self->open_size, self->frame.data, size);
  self->open_size += size;
  self->frame.data += size;
  self->frame.size -= size;
  if (self->frame.size > 0)
    return TRUE;

  self->step = NULL;
  if ((self->frame.flags & AFORK_CALL_FRAME_MORE) == 0)
    {
      g_autoptr(GBytes) whole = NULL;

      whole = _afork_memory_to_bytes (g_steal_pointer (&self->open_blob), self->open_capacity);
      add_inline_blob (self, g_bytes_new_from_bytes (whole, 0, self->open_size));
      self->open_size = self->open_capacity = 0;
    }
  return TRUE;
}

gboolean
_afork_call_stream_take_blob (AForkCallStream  *self,
                              GError          **error)
{
  const AForkCallFrame *frame = &self->frame;
  GBytes *blob;

  if (self->inline_blobs != NULL && self->inline_blobs->len == AFORK_CALL_MAX_BLOBS)
    return _afork_call_breach (error, "a value has too many blobs");
  if (frame->size > AFORK_CALL_MAX_BLOB_BYTES - self->n_inline_bytes)
    return _afork_call_breach (error, "the blobs of a value are too large");

  self->n_inline_bytes += frame->size;
  if ((frame->flags & AFORK_CALL_FRAME_MORE) != 0 || self->open_blob != NULL)
    {
      self->step = take_piece;
      return reserve_open_blob (self, MAX (frame->size, 1), error);
    }

  blob = _afork_call_value_get_bytes (frame->data, frame->size, self->owner, error);
  if (blob == NULL)
    return FALSE;
  add_inline_blob (self, blob);
  return TRUE;
}

void
_afork_call_stream_drop_blobs (AForkCallStream *self)
{
  g_clear_pointer (&self->inline_blobs, g_ptr_array_unref);
  _afork_memory_free (g_steal_pointer (&self->open_blob), self->open_capacity);
  self->open_size = self->open_capacity = 0;
  self->n_inline_bytes = 0;
}

static guint
count_sealed_blobs (const AForkCallFrame *frame)
{
  guint n_sealed = 0;

  for (guint i = 0; i < frame->n_blobs; i++)
    {
      guint32 segment;
      guint64 size;

      afork_call_frame_get_blob (frame, i, &segment, &size);
      if (segment == AFORK_BLOB_SEALED)
        n_sealed++;
    }

  return n_sealed;
}

/* Maps the next of the sealed blobs of the value. Their descriptors, N_LEFT more with this one, are
 * the last of the value. */
static GBytes *
take_sealed_blob (AForkCallStream  *self,
                  guint64           size,
                  guint             n_left,
                  GError          **error)
{
  guint index = self->fds->len - n_left;
  g_auto(AForkFd) fd = g_array_index (self->fds, int, index);

  g_array_remove_index (self->fds, index);
  if (self->refuse_sealed)
    {
      _afork_call_breach (error, "shared memory came that cannot be checked here");
      return NULL;
    }

  return _afork_sealed_blob_map (fd, size, error);
}

static GBytes *
take_inline_blob (AForkCallStream  *self,
                  guint64           size,
                  GError          **error)
{
  if (self->inline_blobs == NULL || self->inline_blobs->len == 0)
    _afork_call_breach (error, "a value came without the blobs that it names");
  else if (size != g_bytes_get_size (g_ptr_array_index (self->inline_blobs, 0)))
    _afork_call_breach (error, "a blob is not what its value says");
  else
    return g_ptr_array_steal_index (self->inline_blobs, 0);

  return NULL;
}

static GBytes *
take_next_blob (AForkCallStream  *self,
                GError          **error)
{
  guint32 segment;
  guint64 size;

  afork_call_frame_get_blob (&self->frame, self->message.blobs->len, &segment, &size);
  if (size > AFORK_CALL_MAX_BLOB_BYTES - self->n_blob_bytes)
    {
      _afork_call_breach (error, "the blobs of a value are too large");
      return NULL;
    }

  self->n_blob_bytes += size;
  if (segment == AFORK_BLOB_SEALED)
    return take_sealed_blob (self, size, self->n_sealed--, error);
  if (segment == AFORK_BLOB_INLINE)
    return take_inline_blob (self, size, error);
  return _afork_segment_table_get (self->table, segment, size, error);
}

/* A step: takes some blobs, but of those that the kernel looks at only one. */
static gboolean
take_some_blobs (AForkCallStream  *self,
                 GError          **error)
{
  GPtrArray *blobs = self->message.blobs;
  const guint n_sealed = self->n_sealed;
  const guint n_last = MIN (blobs->len + MAX_TAKEN, self->frame.n_blobs);

  while (blobs->len < n_last && self->n_sealed == n_sealed)
    {
      GBytes *blob = take_next_blob (self, error);

      if (blob == NULL)
        return FALSE;
      g_ptr_array_add (blobs, blob);
    }
  if (blobs->len < self->frame.n_blobs)
    return TRUE;

  if (self->inline_blobs != NULL && self->inline_blobs->len > 0)
    return _afork_call_breach (error, "more blobs came than the value names");
  _afork_call_stream_drop_blobs (self);
  self->step = NULL;
  return TRUE;
}

gboolean
_afork_call_stream_take_blobs (AForkCallStream  *self,
                               GError          **error)
{
  self->step = NULL;
  if (self->open_blob != NULL)
    return _afork_call_breach (error, "a value came before all of its blob");
  self->n_sealed = count_sealed_blobs (&self->frame);
  if (self->n_sealed > self->fds->len)
    return _afork_call_breach (error, "a sealed blob came without its descriptor");
  if (self->frame.n_blobs == 0 && self->inline_blobs == NULL)
    return TRUE;

  if (self->frame.n_blobs > MAX_TAKEN
      && !_afork_memory_is_left (self->frame.n_blobs * sizeof (gpointer)))
    return _afork_memory_set_error (error, self->frame.n_blobs * sizeof (gpointer));
  self->message.blobs = g_ptr_array_new_full (self->frame.n_blobs,
                                              (GDestroyNotify) g_bytes_unref);
  self->n_blob_bytes = 0;
  self->step = take_some_blobs;
  return take_some_blobs (self, error);
}

gboolean
_afork_call_stream_take_segment (AForkCallStream       *self,
                                 const AForkCallFrame  *frame,
                                 GError               **error)
{
  g_auto(AForkFd) fd = -1;

  if (!_afork_call_reader_take_fds (self->reader, &fd, 1))
    return _afork_call_breach (error, "a frame came without the descriptors that it names");
  if (!self->accept_segments)
    return _afork_call_breach (error, "a segment came from a worker that is not trusted");

  return _afork_segment_table_add (self->table, frame->number, frame->segment_size, fd, error);
}
