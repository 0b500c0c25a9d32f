/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* One end of a socket of calls: makes frames of messages and blobs, and messages and blobs of
 * frames. */

#include "config.h"

#include "call-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"
#include "call-reader.h"
#include "call-value.h"
#include "call-writer.h"
#include "normal-check.h"
#include "protocol-error.h"
#include "segments.h"

/* One step of taking a frame that takes long: about a millisecond at most. Sets the stream's `step`
 * to the next step, or to NULL. */
typedef gboolean (*AForkCallStep) (AForkCallStream  *self,
                                   GError          **error);

struct _AForkCallStream
{
  gatomicrefcount    ref_count;
  int                fd;

  /* Sending. */
  AForkCallWriter   *writer;
  AForkSegmentPool  *pool;            /* for blobs that are sent */
  gsize              n_copied;        /* bytes of blobs, to shared memory, since the last flush */
  gboolean           is_copying;      /* more has to be copied after the next flush */
  GPtrArray         *prepared_blobs;  /* the blobs of the next value, while they are prepared; or
                                       * NULL */
  GArray            *prepared;        /* of guint32: the segments of the first of them, or 0 for a
                                       * blob that is not sent in one */
  gboolean           send_sealed;     /* large blobs are sent sealed: the other side does not trust
                                       * this one */
  gboolean           send_no_fds;     /* the socket passes no descriptors */
  gboolean           send_inline;     /* no blobs are sent in shared memory */
  GUnixFDList       *outbox;          /* the descriptor of the other side's outbox, or NULL */
  gsize              outbox_size;

  /* Receiving. */
  AForkCallReader   *reader;
  GVariant          *sample;          /* see _afork_call_value_import() */
  AForkSegmentTable *table;           /* segments of the other side */
  gboolean           accept_segments; /* the other side is trusted */
  gboolean           refuse_sealed;   /* the other side must not send shared memory */
  gboolean           limits_fds;      /* descriptors that wait for their value are limited */
  gboolean           accept_outbox;   /* an outbox may come */
  AForkCallOutbox   *new_outbox;      /* an outbox that has come and is not used yet, or NULL;
                                       * atomic */

  /* The parts of the next value that have come. */
  GArray            *fds;             /* of int */
  GPtrArray         *inline_blobs;    /* of GBytes; or NULL */
  gsize              n_inline_bytes;  /* the size of the inline blobs */
  guint8            *open_blob;       /* a blob of which more pieces will come, or NULL */
  gsize              open_size;       /* bytes of it that have come */
  gsize              open_capacity;   /* bytes that were allocated for it */

  /* The frame that is being taken. */
  AForkCallStep      step;            /* the next step, or NULL */
  AForkCallFrame     frame;
  GBytes            *owner;           /* keeps the bytes of the frame, or is NULL */
  AForkCallMessage   message;         /* the message that the frame becomes, as far as taken */
  gboolean           is_message;      /* the frame becomes a message */
  AForkNormalCheck  *check;           /* of its value; NULL until a large value comes */
  guint              n_sealed;        /* its sealed blobs that are not taken yet */
  guint64            n_blob_bytes;    /* the size of its blobs that are taken */
  guint              n_strings;       /* its strings that are taken */
  gsize              string_size;     /* the size of its next string */
  gsize              n_taken;         /* bytes of that string that are taken */
  gsize              n_written;       /* bytes of UTF-8 that these became */
};

enum
{
  /* No notices that release segments are added to a write buffer that has more bytes than this. */
  MAX_UNSENT_SEGMENT_NOTICES = 1024 * 1024,
  /* More bytes than a socket holds: for a kernel that does not report how many it holds. */
  MAX_UNREAD = 16 * 1024 * 1024,
};

enum
{
  /* How many bytes of a blob are copied in one step. The kernel may have to provide each page. */
  MAX_COPIED = 256 * 1024,
  /* How many blobs are taken in one step. */
  MAX_TAKEN = 16,
};

enum
{
  /* So many descriptors may always wait for their value. */
  FEW_FDS = 4,
  /* More may wait if they are at most one in so many of the descriptors that this process may
   * have. */
  WAITING_FDS_SHARE = 4,
  /* They must also not be among the highest numbers that this process may have, which are one in so
   * many. These are reserved for the program, and for values that come together with their
   * descriptors, at most 253 in a message: a quarter of the usual limit. */
  RESERVED_FDS_SHARE = 4,
  /* How many bytes of a text are taken in one step. */
  TEXT_PART = 64 * 1024,
};

/* Sending. */

static guint
count_segment_notices (AForkCallStream *self)
{
  return _afork_segment_pool_count_ended (self->pool)
    + _afork_segment_table_count_released (self->table);
}

/* Adds segment notices to the write buffer: for segments of this side that have ended, and for
 * segments of the other side that it may use again. */
static void
gather_segment_notices (AForkCallStream *self)
{
  AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_SEGMENT_END };

  if (count_segment_notices (self) == 0)
    return;

  while ((frame.number = _afork_segment_pool_take_ended (self->pool)) != 0)
    _afork_call_writer_gather (self->writer, &frame, NULL, NULL, 0);

  /* The number of these notices is bounded: an other side that does not read them cannot use its
   * segments again. */
  frame.kind = AFORK_CALL_FRAME_RELEASE;
  while (_afork_call_writer_get_unsent (self->writer) < MAX_UNSENT_SEGMENT_NOTICES
         && (frame.number = _afork_segment_table_take_released (self->table)) != 0)
    _afork_call_writer_gather (self->writer, &frame, NULL, NULL, 0);
}

gboolean
_afork_call_stream_has_segment_notices (AForkCallStream *self)
{
  return count_segment_notices (self) > 0;
}

AForkCallStreamStatus
_afork_call_stream_flush (AForkCallStream  *self,
                          gboolean          wait,
                          GError          **error)
{
  AForkCallStreamStatus status;

  self->n_copied = 0;
  self->is_copying = FALSE;
  do
    {
      gather_segment_notices (self);
      status = _afork_call_writer_flush (self->writer, wait, error);
    }
  while (wait && status == AFORK_CALL_STREAM_OK && count_segment_notices (self) > 0);

  return status;
}

gsize
_afork_call_stream_get_unsent (AForkCallStream *self)
{
  return _afork_call_writer_get_unsent (self->writer)
    + count_segment_notices (self) * AFORK_CALL_FRAME_HEADER_SIZE;
}

gsize
_afork_call_stream_get_n_copied (AForkCallStream *self)
{
  return self->n_copied;
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

/* Returns how many bytes are in the socket, or UNKNOWN if the kernel does not report it. */
static guint64
count_unread (AForkCallStream *self,
              guint64          unknown)
{
  int n_bytes = -1;

  ioctl (self->fd, FIONREAD, &n_bytes);
  return n_bytes >= 0 ? (guint64) n_bytes : unknown;
}

guint64
_afork_call_stream_get_n_received (AForkCallStream *self)
{
  return _afork_call_reader_get_n_received (self->reader);
}

guint64
_afork_call_stream_get_n_arrived (AForkCallStream *self)
{
  return _afork_call_reader_get_n_received (self->reader) + count_unread (self, 0);
}

gboolean
_afork_call_stream_end_with_outbox (AForkCallStream  *self,
                                    gboolean         *is_known,
                                    guint32          *begun,
                                    GError          **error)
{
  g_autoptr(GUnixFDList) outbox = g_steal_pointer (&self->outbox);
  guint64 n_unread = count_unread (self, MAX_UNREAD);
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

/* Sending blobs. */

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

/* Copies BLOB to a segment, up to *N_BYTES of it, which are counted down. When it is copied, sets
 * *SEGMENT to the number, or to 0 if there can be no segment, and announces a new one. Returns
 * false if some of the blob is left. */
static gboolean
fill_segment (AForkCallStream *self,
              GBytes          *blob,
              gsize           *n_bytes,
              guint32         *segment)
{
  AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_SEGMENT, .n_fds = 1 };
  g_autoptr(GUnixFDList) fds = NULL;
  const gsize n_before = *n_bytes;
  gsize capacity;
  gboolean is_filled;
  int fd;

  is_filled = _afork_segment_pool_fill (self->pool, blob, n_bytes, segment, &fd, &capacity);
  self->n_copied += n_before - *n_bytes;
  if (!is_filled)
    return FALSE;

  /* The pool may have ended other segments to make room for this one. */
  gather_segment_notices (self);
  if (fd >= 0)
    {
      fds = _afork_fd_list_new (&fd, 1);
      frame.number = *segment;
      frame.segment_size = capacity;
      _afork_call_writer_gather (self->writer, &frame, NULL, fds, 0);
    }

  return TRUE;
}

/* Whether BLOB is sent in a segment, if there can be one. */
static gboolean
wants_segment (AForkCallStream *self,
               GBytes          *blob)
{
  const gsize size = g_bytes_get_size (blob);

  return !self->send_inline && !self->send_sealed
    && size >= AFORK_SEGMENT_MIN_BLOB && size <= AFORK_SEGMENT_MAX_BLOB;
}

/* Returns the segment of BLOB, the blob INDEX of a value, or 0 if it is not sent in one. */
static guint32
send_in_segment (AForkCallStream *self,
                 GBytes          *blob,
                 guint            index)
{
  gsize n_bytes = G_MAXSIZE;
  guint32 segment = 0;

  if (index < self->prepared->len)
    return g_array_index (self->prepared, guint32, index);
  if (wants_segment (self, blob))
    fill_segment (self, blob, &n_bytes, &segment);
  return segment;
}

/* Sends BLOB, the blob INDEX of a value, before the frame of the value, or adds its descriptor to
 * SEALED, an array of int, to be sent with that frame. Returns the segment of the blob, or
 * AFORK_BLOB_…. N_FDS is the number of descriptors that the value has already. */
static guint32
send_blob (AForkCallStream *self,
           GBytes          *blob,
           guint            index,
           guint            n_fds,
           GArray          *sealed)
{
  const gsize size = g_bytes_get_size (blob);
  const guint32 segment = send_in_segment (self, blob, index);
  int fd;

  if (segment != 0)
    return segment;

  if (!self->send_inline && self->send_sealed
      && size >= AFORK_SEALED_MIN_BLOB && size <= AFORK_SEALED_MAX_BLOB
      && n_fds < AFORK_CALL_MAX_FDS
      && (fd = _afork_sealed_blob_new (blob)) >= 0)
    {
      g_array_append_val (sealed, fd);
      self->n_copied += size;
      return AFORK_BLOB_SEALED;
    }

  send_inline_blob (self, blob);
  return AFORK_BLOB_INLINE;
}

/* Preparing blobs. */

static guint64
count_bytes (GPtrArray *blobs)
{
  guint64 n_bytes = 0;

  for (guint i = 0; i < blobs->len; i++)
    n_bytes += g_bytes_get_size (g_ptr_array_index (blobs, i));
  return n_bytes;
}

/* The blobs have been sent: their segments are in use. */
static void
forget_prepared (AForkCallStream *self)
{
  g_autoptr(GPtrArray) blobs G_GNUC_UNUSED = g_steal_pointer (&self->prepared_blobs);

  g_array_set_size (self->prepared, 0);
}

static void
drop_prepared (AForkCallStream *self)
{
  for (guint i = 0; i < self->prepared->len; i++)
    _afork_segment_pool_give_back (self->pool, g_array_index (self->prepared, guint32, i));
  forget_prepared (self);
  _afork_segment_pool_drop_fill (self->pool);
}

gboolean
_afork_call_stream_prepare_blobs (AForkCallStream *self,
                                  GPtrArray       *blobs)
{
  gsize n_bytes = MAX_COPIED;

  if (blobs != self->prepared_blobs)
    drop_prepared (self);
  /* A value over a limit is not sent. */
  if (blobs == NULL || blobs->len > AFORK_CALL_MAX_BLOBS
      || count_bytes (blobs) > AFORK_CALL_MAX_BLOB_BYTES)
    return TRUE;

  if (self->prepared_blobs == NULL)
    self->prepared_blobs = g_ptr_array_ref (blobs);
  while (self->prepared->len < blobs->len)
    {
      GBytes *blob = g_ptr_array_index (blobs, self->prepared->len);
      guint32 segment = 0;

      if (wants_segment (self, blob) && !fill_segment (self, blob, &n_bytes, &segment))
        {
          self->is_copying = TRUE;
          return FALSE;
        }
      g_array_append_val (self->prepared, segment);
    }

  return TRUE;
}

void
_afork_call_stream_drop_blobs (AForkCallStream *self,
                               GPtrArray       *blobs)
{
  if (blobs != NULL && blobs == self->prepared_blobs)
    drop_prepared (self);
}

gboolean
_afork_call_stream_is_copying (AForkCallStream *self)
{
  return self->is_copying;
}

/* Sending messages. */

void
_afork_call_stream_send (AForkCallStream      *self,
                         const AForkCallFrame *frame)
{
  _afork_call_writer_gather (self->writer, frame, NULL, NULL, 0);
}

void
_afork_call_stream_send_outbox (AForkCallStream *self,
                                gsize            size)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_OUTBOX, .n_fds = 1 };
  int fd = _afork_call_outbox_make (size);

  if (fd < 0)
    return;

  self->outbox = _afork_fd_list_new (&fd, 1);
  self->outbox_size = size;
  _afork_call_writer_gather (self->writer, &frame, NULL, self->outbox, 0);
}

/* Sends descriptors ahead of their value until at most MAX_LEFT of them are left. Returns how many
 * were sent. */
static guint
send_first_fds (AForkCallStream *self,
                GUnixFDList     *fds,
                guint            n_fds,
                guint            max_left)
{
  guint n_gone = 0;

  while (n_fds - n_gone > max_left)
    {
      AForkCallFrame frame = {
        .kind = AFORK_CALL_FRAME_FDS,
        .n_fds = (guint16) MIN (n_fds - n_gone, AFORK_CALL_FRAME_MAX_FDS),
      };

      _afork_call_writer_gather (self->writer, &frame, NULL, fds, n_gone);
      n_gone += frame.n_fds;
    }

  return n_gone;
}

/* Checks that all descriptors are open. The kernel would refuse a whole message because of one that
 * is closed, when the call can no longer fail for it. */
static gboolean
check_fds (AForkCallStream  *self,
           GUnixFDList      *list,
           GError          **error)
{
  int n_fds = 0;
  const int *fds = list != NULL ? g_unix_fd_list_peek_fds (list, &n_fds) : NULL;

  if (n_fds > 0 && self->send_no_fds)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                   _("Descriptors cannot be sent to a process of a runtime that cannot pass them, "
                     "or by it"));
      return FALSE;
    }

  for (int i = 0; i < n_fds; i++)
    if (fcntl (fds[i], F_GETFD) < 0)
      {
        int saved_errno = errno;

        g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno),
                     _("Descriptor %d cannot be sent: %s"), fds[i], g_strerror (saved_errno));
        return FALSE;
      }

  return TRUE;
}

static gboolean
check_bounds (const AForkCallFrame  *frame,
              guint                  n_fds,
              GPtrArray             *blobs,
              GError               **error)
{
  guint n_blobs = blobs != NULL ? blobs->len : 0;
  guint64 n_bytes = blobs != NULL ? count_bytes (blobs) : 0;

  if (n_fds > AFORK_CALL_MAX_FDS)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("%u descriptors are too many for one message, which can have %d"),
                 n_fds, AFORK_CALL_MAX_FDS);
  else if (n_blobs > AFORK_CALL_MAX_BLOBS)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("%u blobs are too many for one message, which can have %d"),
                 n_blobs, AFORK_CALL_MAX_BLOBS);
  else if (n_bytes > AFORK_CALL_MAX_BLOB_BYTES)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("Blobs of %llu bytes are too large for one message, which can have %u"),
                 (unsigned long long) n_bytes, AFORK_CALL_MAX_BLOB_BYTES);
  else if (strlen (frame->type) > AFORK_CALL_FRAME_MAX_TYPE)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("The type of a value, of %zu characters, is too long for a message, which "
                   "can have %d"),
                 strlen (frame->type), AFORK_CALL_FRAME_MAX_TYPE);
  else if (afork_call_frame_head_size (frame) == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("A value of %zu bytes is too large for a message, which can have %u; large "
                   "data are for blobs"),
                 frame->size, AFORK_CALL_FRAME_MAX_PAYLOAD);
  else
    return TRUE;

  return FALSE;
}

static gboolean
send_value (AForkCallStream     *self,
            AForkCallFrameKind   kind,
            guint8               flags,
            guint32              number,
            GVariant            *value,
            GUnixFDList         *fds,
            GPtrArray           *blobs,
            GError             **error)
{
  gsize size;
  g_autoptr(GVariant) normal = _afork_call_value_export (value, &size, error);
  g_autoptr(GUnixFDList) sealed_list = NULL;
  g_autofree guint32 *segments = NULL;
  g_autoptr(GArray) sealed = NULL;
  g_autoptr(GBytes) owner = NULL;
  guint n_fds = fds != NULL ? (guint) g_unix_fd_list_get_length (fds) : 0;
  guint n_blobs = blobs != NULL ? blobs->len : 0;
  AForkCallFrame frame = {
    .kind = kind,
    .flags = flags,
    .number = number,
    .n_blobs = (guint16) n_blobs,
    .size = size,
  };
  guint first_fd;
  guint8 *out;

  if (normal == NULL)
    return FALSE;
  frame.type = g_variant_get_type_string (normal);
  if (!check_bounds (&frame, n_fds, blobs, error) || !check_fds (self, fds, error))
    return FALSE;

  if (n_blobs > 0)
    {
      segments = g_new (guint32, n_blobs);
      sealed = g_array_new (FALSE, FALSE, sizeof (int));
    }
  for (guint i = 0; i < n_blobs; i++)
    segments[i] = send_blob (self, g_ptr_array_index (blobs, i), i, n_fds + sealed->len, sealed);
  forget_prepared (self);

  /* The last descriptors are those of sealed blobs. */
  if (sealed != NULL && sealed->len > 0)
    {
      send_first_fds (self, fds, n_fds, 0);
      sealed_list = _afork_fd_list_new ((const int *) sealed->data, sealed->len);
      fds = sealed_list;
      n_fds = sealed->len;
    }
  first_fd = send_first_fds (self, fds, n_fds, AFORK_CALL_FRAME_MAX_FDS);
  frame.n_fds = (guint16) (n_fds - first_fd);
  frame.data = g_variant_get_data (normal);
  if (frame.size >= AFORK_CALL_WRITER_LONG_DATA)
    owner = g_variant_get_data_as_bytes (normal);
  out = _afork_call_writer_gather (self->writer, &frame, owner, fds, first_fd);
  for (guint i = 0; i < n_blobs; i++)
    afork_call_frame_set_blob (out, i, segments[i],
                               g_bytes_get_size (g_ptr_array_index (blobs, i)));
  return TRUE;
}

gboolean
_afork_call_stream_send_value (AForkCallStream     *self,
                               AForkCallFrameKind   kind,
                               guint8               flags,
                               guint32              number,
                               GVariant            *value,
                               GUnixFDList         *fds,
                               GPtrArray           *blobs,
                               GError             **error)
{
  if (blobs != self->prepared_blobs)
    drop_prepared (self);
  if (send_value (self, kind, flags, number, value, fds, blobs, error))
    return TRUE;

  drop_prepared (self);
  return FALSE;
}

/* Receiving. */

/* Closes all descriptors that wait for their value. No more values will be taken, but the
 * stream may be kept for a while. */
static void
drop_fds (AForkCallStream *self)
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
    drop_fds (self);
  return status;
}

gboolean
_afork_call_stream_may_have_more (AForkCallStream *self)
{
  return _afork_call_reader_may_have_more (self->reader);
}

/* Receiving blobs. */

static void
add_inline_blob (AForkCallStream *self,
                 GBytes          *blob)
{
  if (self->inline_blobs == NULL)
    self->inline_blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_ptr_array_add (self->inline_blobs, blob);
}

/* Makes room for SIZE more bytes of the open blob. */
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

/* A step: copies some bytes of the frame to the open blob. */
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

/* Takes the frame, which is a blob of the next value, or a piece of one. */
static gboolean
take_blob (AForkCallStream  *self,
           GError          **error)
{
  const AForkCallFrame *frame = &self->frame;
  GBytes *blob;

  if (self->inline_blobs != NULL && self->inline_blobs->len == AFORK_CALL_MAX_BLOBS)
    return _afork_protocol_error_set (error, "a value has too many blobs");
  if (frame->size > AFORK_CALL_MAX_BLOB_BYTES - self->n_inline_bytes)
    return _afork_protocol_error_set (error, "the blobs of a value are too large");

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

/* Drops the blobs that have come. */
static void
drop_blobs (AForkCallStream *self)
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

/* Maps the next sealed blob of the value. The descriptors of sealed blobs, of which N_LEFT are left
 * with this one, are the last ones of the value. */
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
      _afork_protocol_error_set (error, "shared memory came that cannot be checked here");
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
    _afork_protocol_error_set (error, "a value came without the blobs that it names");
  else if (size != g_bytes_get_size (g_ptr_array_index (self->inline_blobs, 0)))
    _afork_protocol_error_set (error, "a blob is not what its value says");
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
      _afork_protocol_error_set (error, "the blobs of a value are too large");
      return NULL;
    }

  self->n_blob_bytes += size;
  if (segment == AFORK_BLOB_SEALED)
    return take_sealed_blob (self, size, self->n_sealed--, error);
  if (segment == AFORK_BLOB_INLINE)
    return take_inline_blob (self, size, error);
  return _afork_segment_table_get (self->table, segment, size, error);
}

/* A step: takes some blobs, but only one sealed blob, because the kernel looks at all of its
 * pages. */
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
    return _afork_protocol_error_set (error, "more blobs came than the value names");
  drop_blobs (self);
  self->step = NULL;
  return TRUE;
}

/* Begins to take the blobs of the frame's value, all of which have come. */
static gboolean
take_blobs (AForkCallStream  *self,
            GError          **error)
{
  self->step = NULL;
  if (self->open_blob != NULL)
    return _afork_protocol_error_set (error, "a value came before all of its blob");
  self->n_sealed = count_sealed_blobs (&self->frame);
  if (self->n_sealed > self->fds->len)
    return _afork_protocol_error_set (error, "a sealed blob came without its descriptor");
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

/* Takes the N_FDS descriptors that came with a frame. */
static gboolean
take_frame_fds (AForkCallStream  *self,
                int              *fds,
                guint             n_fds,
                GError          **error)
{
  return _afork_call_reader_take_fds (self->reader, fds, n_fds)
    || _afork_protocol_error_set (error, "a frame came without the descriptors that it names");
}

/* Adds a segment of the other side. */
static gboolean
take_segment (AForkCallStream       *self,
              const AForkCallFrame  *frame,
              GError               **error)
{
  g_auto(AForkFd) fd = -1;

  if (!take_frame_fds (self, &fd, 1, error))
    return FALSE;
  if (!self->accept_segments)
    return _afork_protocol_error_set (error, "a segment came from a worker that is not trusted");

  return _afork_segment_table_add (self->table, frame->number, frame->segment_size, fd, error);
}

/* Receiving messages. */

void
_afork_call_message_clear (AForkCallMessage *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_object (&self->fds);
  g_clear_pointer (&self->blobs, g_ptr_array_unref);
  for (gsize i = 0; i < G_N_ELEMENTS (self->string); i++)
    g_clear_pointer (&self->string[i], g_free);
}

/* Descriptors that wait for their value. */

static int
get_highest (int        highest,
             const int *fds,
             guint      n_fds)
{
  for (guint i = 0; i < n_fds; i++)
    highest = MAX (highest, fds[i]);
  return highest;
}

/* Checks the limits on descriptors that wait for their value. A new descriptor gets the lowest
 * number that is free, so the highest of these numbers is how many descriptors this process had at
 * least, whatever made them. */
static gboolean
check_waiting_fds (AForkCallStream  *self,
                   GError          **error)
{
  guint n_unclaimed, n_waiting;
  const int *unclaimed = _afork_call_reader_peek_fds (self->reader, &n_unclaimed);
  struct rlimit limit;
  int highest;

  n_waiting = n_unclaimed + self->fds->len;
  if (!self->limits_fds || n_waiting <= FEW_FDS || getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return TRUE;

  if (n_waiting > limit.rlim_cur / WAITING_FDS_SHARE)
    return _afork_protocol_error_set (error, "too many descriptors came ahead of their value");

  highest = get_highest (-1, unclaimed, n_unclaimed);
  highest = get_highest (highest, (const int *) self->fds->data, self->fds->len);
  if ((rlim_t) highest < limit.rlim_cur - limit.rlim_cur / RESERVED_FDS_SHARE)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES,
               _("%u descriptors came before their value, and the program can open only few more: "
                 "%s"), n_waiting, g_strerror (EMFILE));
  return FALSE;
}

/* Takes the descriptors that come with a frame of the next value. */
static gboolean
take_fds (AForkCallStream  *self,
          guint             n_fds,
          GError          **error)
{
  guint n_old = self->fds->len;

  if (n_fds == 0)
    return TRUE;
  if (n_old + n_fds > AFORK_CALL_MAX_FDS)
    return _afork_protocol_error_set (error, "a value has too many descriptors");
  if (!_afork_call_reader_has_memory_for_fds (n_old + n_fds, error))
    return FALSE;

  g_array_set_size (self->fds, n_old + n_fds);
  if (take_frame_fds (self, &g_array_index (self->fds, int, n_old), n_fds, error))
    return TRUE;

  g_array_set_size (self->fds, n_old);
  return FALSE;
}

/* Returns the descriptors of the value, all of which have come, or NULL if there are none. The
 * caller owns the list. */
static GUnixFDList *
steal_fds (AForkCallStream *self)
{
  GUnixFDList *list;

  if (self->fds->len == 0)
    return NULL;

  list = g_unix_fd_list_new_from_array ((int *) self->fds->data, (int) self->fds->len);
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_unregister (g_array_index (self->fds, int, i));
  g_array_set_size (self->fds, 0);
  return list;
}

/* Takes an outbox. One that cannot be used is ignored. */
static gboolean
take_outbox (AForkCallStream  *self,
             GError          **error)
{
  g_auto(AForkFd) fd = -1;

  if (!take_frame_fds (self, &fd, 1, error))
    return FALSE;
  if (!self->accept_outbox)
    return _afork_protocol_error_set (error, "an outbox came that was not expected");

  self->accept_outbox = FALSE;
  g_atomic_pointer_set (&self->new_outbox, _afork_call_outbox_new (fd));
  return TRUE;
}

/* A step: goes on with the check of the value. */
static gboolean
check_value (AForkCallStream  *self,
             GError          **error)
{
  switch (_afork_normal_check_go_on (self->check))
    {
    case AFORK_NORMAL_CHECK_UNFINISHED:
      return TRUE;
    case AFORK_NORMAL_CHECK_NORMAL:
      return take_blobs (self, error);
    case AFORK_NORMAL_CHECK_TOO_COMPLEX:
      return _afork_protocol_error_set (error, "a value has too complex a type inside");
    case AFORK_NORMAL_CHECK_NO_MEMORY:
      return _afork_memory_set_error (error, self->frame.size);
    default:
      return _afork_call_value_refuse (error);
    }
}

static gboolean
take_value (AForkCallStream  *self,
            GError          **error)
{
  const AForkCallFrame *frame = &self->frame;
  gboolean is_checked;

  self->message.value = _afork_call_value_import (frame, self->owner, &self->sample, &is_checked,
                                                  error);
  if (self->message.value == NULL)
    return FALSE;
  if (is_checked)
    return take_blobs (self, error);

  if (self->check == NULL)
    self->check = _afork_normal_check_new ();
  _afork_normal_check_begin (self->check, frame->type, frame->data, frame->size);
  self->step = check_value;
  return TRUE;
}

/* Copies some of the next string, in the text of an error with U+FFFD in place of each byte that is
 * not UTF-8. */
static void
take_text (AForkCallStream *self)
{
  static const char replacement[] = "\357\277\275";
  const gsize part = MIN (self->string_size - self->n_taken, (gsize) TEXT_PART);
  const char *start = self->frame.string[self->n_strings] + self->n_taken;
  char *out = self->message.string[self->n_strings];
  const char *end;
  const gboolean is_valid = g_utf8_validate_len (start, part, &end)
    || self->frame.kind != AFORK_CALL_FRAME_FAILED;
  const gsize n_valid = is_valid ? part : (gsize) (end - start);

  memcpy (out + self->n_written, start, n_valid);
  self->n_taken += n_valid;
  self->n_written += n_valid;
  /* The last character may continue in the next part. */
  if (is_valid || (n_valid > 0 && n_valid + 3 >= part && self->n_taken < self->string_size))
    return;

  memcpy (out + self->n_written, replacement, sizeof replacement - 1);
  self->n_written += sizeof replacement - 1;
  self->n_taken++;
}

/* Allocates the next string of the frame, for the longest UTF-8 that it can become. */
static gboolean
begin_string (AForkCallStream  *self,
              GError          **error)
{
  const gsize size = strlen (self->frame.string[self->n_strings]);
  char *string = _afork_memory_is_left (3 * size + 1) ? g_try_malloc (3 * size + 1) : NULL;

  if (string == NULL)
    return _afork_memory_set_error (error, 3 * size + 1);

  self->message.string[self->n_strings] = string;
  self->string_size = size;
  self->n_taken = self->n_written = 0;
  return TRUE;
}

static void
end_string (AForkCallStream *self)
{
  char **string = &self->message.string[self->n_strings++];

  (*string)[self->n_written] = '\0';
  /* This makes the string smaller, which cannot fail. */
  *string = g_realloc (*string, self->n_written + 1);
}

/* A step: takes strings of the frame. */
static gboolean
take_strings (AForkCallStream  *self,
              GError          **error)
{
  const guint n_strings = G_N_ELEMENTS (self->frame.string);

  for (gsize n_left = TEXT_PART; n_left > 0 && self->n_strings < n_strings; )
    {
      gsize n_before;

      if (self->frame.string[self->n_strings] == NULL)
        {
          self->n_strings++;
          continue;
        }
      if (self->message.string[self->n_strings] == NULL && !begin_string (self, error))
        return FALSE;

      n_before = self->n_taken;
      take_text (self);
      n_left -= MIN (n_left, self->n_taken - n_before);
      if (self->n_taken == self->string_size)
        end_string (self);
    }

  self->step = self->n_strings < n_strings ? take_strings : NULL;
  return TRUE;
}

static gboolean
begin_strings (AForkCallStream  *self,
               GError          **error)
{
  if (self->fds->len > 0 || self->inline_blobs != NULL || self->open_blob != NULL)
    return _afork_protocol_error_set (error, "what belongs to a value came, but no value");

  self->n_strings = 0;
  return take_strings (self, error);
}

/* Takes the frame, which becomes a message. */
static gboolean
take_message (AForkCallStream  *self,
              GError          **error)
{
  const AForkCallFrame *frame = &self->frame;

  self->is_message = TRUE;
  self->message = (AForkCallMessage) {
    .kind = frame->kind,
    .flags = frame->flags,
    .number = frame->number,
    .code = frame->code,
  };
  return frame->type != NULL ? take_value (self, error) : begin_strings (self, error);
}

static gboolean
take_frame (AForkCallStream  *self,
            GError          **error)
{
  const AForkCallFrame *frame = &self->frame;

  self->is_message = FALSE;
  switch (frame->kind)
    {
    case AFORK_CALL_FRAME_OUTBOX:
      return take_outbox (self, error);
    case AFORK_CALL_FRAME_SEGMENT:
      return take_segment (self, frame, error);
    case AFORK_CALL_FRAME_SEGMENT_END:
      return _afork_segment_table_end (self->table, frame->number, error);
    case AFORK_CALL_FRAME_RELEASE:
      return _afork_segment_pool_release (self->pool, frame->number, error);
    case AFORK_CALL_FRAME_FDS:
      return take_fds (self, frame->n_fds, error);
    case AFORK_CALL_FRAME_BLOB:
      return take_fds (self, frame->n_fds, error) && take_blob (self, error);
    default:
      return take_fds (self, frame->n_fds, error) && take_message (self, error);
    }
}

/* Takes the next frame, or goes on with one. */
static AForkCallStreamStatus
go_on (AForkCallStream  *self,
       GError          **error)
{
  AForkCallStreamStatus status;
  gboolean success;

  if (self->step != NULL)
    success = self->step (self, error);
  else
    {
      status = _afork_call_reader_next (self->reader, &self->frame, &self->owner, error);
      /* All complete frames have been taken. */
      if (status == AFORK_CALL_STREAM_WOULD_BLOCK && !check_waiting_fds (self, error))
        return AFORK_CALL_STREAM_FAILED;
      if (status != AFORK_CALL_STREAM_OK)
        return status;
      success = take_frame (self, error);
    }

  if (!success)
    return AFORK_CALL_STREAM_FAILED;
  return self->step == NULL && self->is_message ? AFORK_CALL_STREAM_OK : AFORK_CALL_STREAM_BUSY;
}

/* Drops the frame that is being taken. */
static void
drop_frame (AForkCallStream *self)
{
  self->step = NULL;
  _afork_call_message_clear (&self->message);
  g_clear_pointer (&self->owner, g_bytes_unref);
}

AForkCallStreamStatus
_afork_call_stream_next (AForkCallStream   *self,
                         AForkCallMessage  *message,
                         GError           **error)
{
  static const AForkCallMessage none;
  AForkCallStreamStatus status = go_on (self, error);

  if (status == AFORK_CALL_STREAM_OK)
    {
      *message = self->message;
      self->message = none;
      message->fds = steal_fds (self);
    }
  else
    *message = none;
  if (status == AFORK_CALL_STREAM_FAILED)
    {
      drop_fds (self);
      drop_frame (self);
    }
  else if (self->step == NULL)
    g_clear_pointer (&self->owner, g_bytes_unref);

  return status;
}

/* Making and freeing. */

AForkCallStream *
_afork_call_stream_new (int fd)
{
  AForkCallStream *self = g_new0 (AForkCallStream, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->fd = _afork_fd_register (fd);
  self->writer = _afork_call_writer_new (fd);
  self->pool = _afork_segment_pool_new ();
  self->prepared = g_array_new (FALSE, FALSE, sizeof (guint32));
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
  forget_prepared (self);
  g_array_unref (self->prepared);
  _afork_segment_pool_free (self->pool);
  g_clear_pointer (&self->sample, g_variant_unref);
  drop_fds (self);
  _afork_call_reader_free (self->reader);
  g_array_unref (self->fds);
  drop_frame (self);
  drop_blobs (self);
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
