/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call-stream-private.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"
#include "afork-segments-private.h"

enum
{
  /* Frames are gathered up to about this in one piece of memory. */
  COMFORTABLE_BATCH = 64 * 1024,
  /* Data from this size on are not copied to where frames are gathered. */
  LONG_DATA = 16 * 1024,
  /* What is read at once; a frame over this is read to memory of its own. */
  INPUT_SIZE = 64 * 1024,
  /* Small data of values are cut from blocks of this. */
  MAX_SHORT_VALUE = 16 * 1024,
};

/* What leaves together: frames, the data of the last of them perhaps apart, and the descriptors of
 * the first. */
typedef struct
{
  GByteArray  *bytes;
  GBytes      *data;              /* behind them, or NULL */
  gsize        n_zeros;           /* behind that */
  GUnixFDList *fds;               /* NULL if there are none, or they have left */
  guint        first_fd;
  guint        n_fds;
  gsize        n_sent;
} Batch;

struct _AForkCallStream
{
  int         fd;

  GQueue      batches;            /* of Batch, the next to be sent first */
  Batch      *spare;              /* an empty one, or NULL */
  gsize       n_unsent;
  AForkSegmentPool *pool;         /* for blobs that are sent */
  gboolean    send_sealed;        /* … but in sealed memfds, for the other side does not trust us */

  guint8     *input;              /* of INPUT_SIZE */
  gsize       input_start;        /* taken up to here … */
  gsize       input_end;          /* … and received up to here */
  guint8     *large;              /* a frame of its own memory, or NULL */
  gsize       large_size;
  gsize       large_end;          /* received up to here */
  GArray     *received_fds;       /* of int: claimed by no frame yet */
  gboolean    may_have_more;      /* the last read took all that there was room for */

  GUnixFDList *fds;               /* of the next value, so far; or NULL */
  GPtrArray   *inline_blobs;      /* of GBytes: of the next value, so far; or NULL */
  gsize        n_inline_bytes;    /* in these */
  GByteArray  *open_blob;         /* to which more pieces will come, or NULL */
  AForkSegmentTable *table;       /* for blobs that come */
  gboolean    accept_segments;    /* the other side is trusted */
};

/* Batches. */

static void
batch_free (Batch *self)
{
  g_byte_array_unref (self->bytes);
  g_clear_pointer (&self->data, g_bytes_unref);
  g_clear_object (&self->fds);
  g_free (self);
}

static gsize
batch_get_size (const Batch *self)
{
  return self->bytes->len + (self->data != NULL ? g_bytes_get_size (self->data) : 0)
    + self->n_zeros;
}

/* A batch to which a head of SIZE bytes and descriptors can be added. */
static Batch *
get_open_batch (AForkCallStream *self,
                gsize            size,
                gboolean         with_fds)
{
  Batch *batch = g_queue_peek_tail (&self->batches);

  if (batch != NULL && batch->data == NULL && !with_fds
      && batch->bytes->len + size <= COMFORTABLE_BATCH)
    return batch;

  batch = g_steal_pointer (&self->spare);
  if (batch == NULL)
    {
      batch = g_new0 (Batch, 1);
      batch->bytes = g_byte_array_new ();
    }
  g_queue_push_tail (&self->batches, batch);
  return batch;
}

/* One that has been sent serves again. */
static void
retire_batch (AForkCallStream *self)
{
  Batch *batch = g_queue_pop_head (&self->batches);

  if (self->spare != NULL || batch->data != NULL || batch->bytes->len > COMFORTABLE_BATCH)
    {
      batch_free (batch);
      return;
    }

  g_byte_array_set_size (batch->bytes, 0);
  batch->n_zeros = 0;
  batch->n_sent = 0;
  self->spare = batch;
}

/* Gathers FRAME; OWNER has its data, or is NULL. Returns where the frame lies, until the next one
 * is gathered. */
static guint8 *
gather (AForkCallStream      *self,
        const AForkCallFrame *frame,
        GBytes               *owner,
        GUnixFDList          *fds,
        guint                 first_fd)
{
  gsize head_size = afork_call_frame_head_size (frame);
  gsize padding = afork_call_frame_padding (frame);
  gboolean apart = owner != NULL && frame->size >= LONG_DATA;
  gsize size = head_size + (apart ? 0 : frame->size + padding);
  Batch *batch = get_open_batch (self, size, frame->n_fds > 0);
  guint start = batch->bytes->len;
  guint8 *out;

  g_byte_array_set_size (batch->bytes, start + (guint) size);
  out = batch->bytes->data + start;
  afork_call_frame_write (frame, out);
  if (apart)
    {
      batch->data = g_bytes_ref (owner);
      batch->n_zeros = padding;
    }
  else if (frame->size > 0)
    {
      memcpy (out + head_size, frame->data, frame->size);
      memset (out + head_size + frame->size, 0, padding);
    }

  if (frame->n_fds > 0)
    {
      batch->fds = g_object_ref (fds);
      batch->first_fd = first_fd;
      batch->n_fds = frame->n_fds;
    }
  self->n_unsent += head_size + frame->size + padding;
  return out;
}

/* Sending. */

void
_afork_call_stream_send (AForkCallStream      *self,
                         const AForkCallFrame *frame)
{
  gather (self, frame, NULL, NULL, 0);
}

/* Tells what became of segments of either side. */
static void
gather_news (AForkCallStream *self)
{
  AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_SEGMENT_END };

  while ((frame.number = _afork_segment_pool_take_ended (self->pool)) != 0)
    gather (self, &frame, NULL, NULL, 0);

  frame.kind = AFORK_CALL_FRAME_RELEASE;
  while ((frame.number = _afork_segment_table_take_released (self->table)) != 0)
    gather (self, &frame, NULL, NULL, 0);
}

gboolean
_afork_call_stream_has_news (AForkCallStream *self)
{
  return _afork_segment_pool_count_ended (self->pool) > 0
    || _afork_segment_table_count_released (self->table) > 0;
}

/* Descriptors go before their value until at most MAX_LEFT of them are left. Returns how many
 * have. */
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

      gather (self, &frame, NULL, fds, n_gone);
      n_gone += frame.n_fds;
    }

  return n_gone;
}

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

      gather (self, &frame, part, NULL, 0);
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
  gather_news (self);
  if (fd >= 0)
    {
      fds = g_unix_fd_list_new_from_array (&fd, 1);
      frame.segment_size = capacity;
      gather (self, &frame, NULL, fds, 0);
    }

  return frame.number;
}

/* Sends BLOB ahead of its value, unless it goes with it. Returns how it goes; N_FDS is how many
 * descriptors the value has by now, and SEALED gets one more if it is one. */
static guint32
send_blob (AForkCallStream *self,
           GBytes          *blob,
           guint            n_fds,
           GArray          *sealed)
{
  gsize size = g_bytes_get_size (blob);
  guint32 segment = 0;
  int fd;

  if (!self->send_sealed && size >= AFORK_SEGMENT_MIN_BLOB
      && (segment = send_segment (self, blob)) != 0)
    return segment;

  if (self->send_sealed && size >= AFORK_SEALED_MIN_BLOB && n_fds < AFORK_CALL_MAX_FDS
      && (fd = _afork_sealed_blob_new (blob)) >= 0)
    {
      g_array_append_val (sealed, fd);
      return AFORK_BLOB_SEALED;
    }

  send_inline_blob (self, blob);
  return AFORK_BLOB_INLINE;
}

static gboolean
check_bounds (const AForkCallFrame  *frame,
              guint                  n_fds,
              GPtrArray             *blobs,
              GError               **error)
{
  guint n_blobs = blobs != NULL ? blobs->len : 0;
  guint64 n_bytes = 0;

  for (guint i = 0; i < n_blobs; i++)
    n_bytes += g_bytes_get_size (g_ptr_array_index (blobs, i));

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
                 _("Blobs of %" G_GUINT64_FORMAT " bytes are too large for one message, "
                   "which can have %u"),
                 n_bytes, AFORK_CALL_MAX_BLOB_BYTES);
  else if (afork_call_frame_head_size (frame) == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("A value of %" G_GSIZE_FORMAT " bytes is too large for a message, "
                   "which can have %u; large data are for blobs"),
                 frame->size, AFORK_CALL_FRAME_MAX_PAYLOAD);
  else
    return TRUE;

  return FALSE;
}

/* Whether any bytes, if there are SIZE, are a value of TYPE in normal form: an array of numbers.
 * GLib would look at each element. */
static gboolean
is_always_normal (const char *type,
                  gsize       size)
{
  static const struct { char type; guint8 size; } numbers[] = {
    { 'y', 1 }, { 'n', 2 }, { 'q', 2 }, { 'i', 4 }, { 'u', 4 }, { 'x', 8 }, { 't', 8 }, { 'd', 8 },
  };

  if (type[0] != 'a' || type[1] == '\0' || type[2] != '\0')
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (numbers[i].type == type[1])
      return size % numbers[i].size == 0;

  return FALSE;
}

/* VALUE in normal form; to be released. */
static GVariant *
normalize (GVariant *value)
{
  if (is_always_normal (g_variant_get_type_string (value), g_variant_get_size (value)))
    return g_variant_ref (value);
  return g_variant_get_normal_form (value);
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
  g_autoptr(GVariant) normal = normalize (value);
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
    .type = g_variant_get_type_string (normal),
    .size = g_variant_get_size (normal),
  };
  guint first_fd;
  guint8 *out;

#if G_BYTE_ORDER == G_BIG_ENDIAN
  {
    GVariant *swapped = g_variant_byteswap (normal);

    g_variant_unref (normal);
    normal = swapped;
  }
#endif
  if (!check_bounds (&frame, n_fds, blobs, error))
    return FALSE;

  if (n_blobs > 0)
    {
      segments = g_new (guint32, n_blobs);
      sealed = g_array_new (FALSE, FALSE, sizeof (int));
    }
  for (guint i = 0; i < n_blobs; i++)
    segments[i] = send_blob (self, g_ptr_array_index (blobs, i), n_fds + sealed->len, sealed);

  /* The last descriptors are those of sealed blobs. */
  if (sealed != NULL && sealed->len > 0)
    {
      send_first_fds (self, fds, n_fds, 0);
      sealed_list = g_unix_fd_list_new_from_array ((int *) sealed->data, (int) sealed->len);
      fds = sealed_list;
      n_fds = sealed->len;
    }
  first_fd = send_first_fds (self, fds, n_fds, AFORK_CALL_FRAME_MAX_FDS);
  frame.n_fds = (guint16) (n_fds - first_fd);
  frame.data = g_variant_get_data (normal);
  if (frame.size >= LONG_DATA)
    owner = g_variant_get_data_as_bytes (normal);
  out = gather (self, &frame, owner, fds, first_fd);
  for (guint i = 0; i < n_blobs; i++)
    afork_call_frame_set_blob (out, i, segments[i],
                               g_bytes_get_size (g_ptr_array_index (blobs, i)));
  return TRUE;
}

/* What is left of the batch, as vectors. */
static gsize
get_vectors (Batch        *batch,
             struct iovec *vectors)
{
  static guint8 zeros[8];
  gsize data_size = 0;
  const void *data = batch->data != NULL ? g_bytes_get_data (batch->data, &data_size) : NULL;
  const struct iovec parts[] = {
    { batch->bytes->data, batch->bytes->len },
    { (void *) data, data_size },
    { zeros, batch->n_zeros },
  };
  gsize n_sent = batch->n_sent;
  gsize n_vectors = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      gsize skipped = MIN (n_sent, parts[i].iov_len);

      n_sent -= skipped;
      if (skipped < parts[i].iov_len)
        vectors[n_vectors++] = (struct iovec) {
          (guint8 *) parts[i].iov_base + skipped, parts[i].iov_len - skipped
        };
    }

  return n_vectors;
}

static gssize
send_once (AForkCallStream *self,
           Batch           *batch)
{
  union { char bytes[CMSG_SPACE (AFORK_CALL_FRAME_MAX_FDS * sizeof (int))]; struct cmsghdr align; }
    control;
  struct iovec vectors[3];
  struct msghdr message = { .msg_iov = vectors, .msg_iovlen = get_vectors (batch, vectors) };
  gssize result;

  if (batch->fds != NULL)
    {
      const int *fds = g_unix_fd_list_peek_fds (batch->fds, NULL);
      struct cmsghdr *header;

      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (batch->n_fds * sizeof (int));
      memset (control.bytes, 0, message.msg_controllen);
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (batch->n_fds * sizeof (int));
      memcpy (CMSG_DATA (header), fds + batch->first_fd, batch->n_fds * sizeof (int));
    }

  /* For most there is a cheaper call, which copies no header. */
  do
    result = message.msg_iovlen == 1 && message.msg_control == NULL
      ? send (self->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
      : sendmsg (self->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  return result;
}

static void
wait_for (AForkCallStream *self,
          short            events)
{
  struct pollfd entry = { .fd = self->fd, .events = events };

  while (poll (&entry, 1, -1) < 0 && errno == EINTR)
    ;
}

AForkCallStreamStatus
_afork_call_stream_flush (AForkCallStream  *self,
                          gboolean          wait,
                          GError          **error)
{
  Batch *batch;

  gather_news (self);
  while ((batch = g_queue_peek_head (&self->batches)) != NULL)
    {
      gssize result = send_once (self, batch);

      if (result >= 0)
        {
          g_clear_object (&batch->fds);
          batch->n_sent += (gsize) result;
          self->n_unsent -= (gsize) result;
          if (batch->n_sent == batch_get_size (batch))
            retire_batch (self);
        }
      else if (errno == EAGAIN && wait)
        wait_for (self, POLLOUT);
      else if (errno == EAGAIN)
        return AFORK_CALL_STREAM_WOULD_BLOCK;
      else if (errno == EPIPE || errno == ECONNRESET)
        return AFORK_CALL_STREAM_END;
      else
        {
          g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                       _("A message could not be sent: %s"), g_strerror (errno));
          return AFORK_CALL_STREAM_FAILED;
        }
    }

  return AFORK_CALL_STREAM_OK;
}

gsize
_afork_call_stream_get_unsent (AForkCallStream *self)
{
  guint n_news = _afork_segment_pool_count_ended (self->pool)
    + _afork_segment_table_count_released (self->table);

  return self->n_unsent + n_news * AFORK_CALL_FRAME_HEADER_SIZE;
}

void
_afork_call_stream_drop_unsent (AForkCallStream *self)
{
  g_queue_clear_full (&self->batches, (GDestroyNotify) batch_free);
  self->n_unsent = 0;
}

/* Receiving. */

static void
take_fds (AForkCallStream *self,
          struct msghdr   *message)
{
  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL;
       header = CMSG_NXTHDR (message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      g_array_append_vals (self->received_fds, CMSG_DATA (header),
                           (guint) ((header->cmsg_len - CMSG_LEN (0)) / sizeof (int)));
}

/* Where to read to. */
static struct iovec
get_room (AForkCallStream *self)
{
  if (self->large != NULL)
    return (struct iovec) { self->large + self->large_end, self->large_size - self->large_end };

  if (self->input_start > 0)
    {
      memmove (self->input, self->input + self->input_start, self->input_end - self->input_start);
      self->input_end -= self->input_start;
      self->input_start = 0;
    }
  return (struct iovec) { self->input + self->input_end, INPUT_SIZE - self->input_end };
}

AForkCallStreamStatus
_afork_call_stream_read (AForkCallStream  *self,
                         gboolean          wait,
                         GError          **error)
{
  union { char bytes[CMSG_SPACE (AFORK_CALL_FRAME_MAX_FDS * sizeof (int))]; struct cmsghdr align; }
    control;
  struct iovec room = get_room (self);
  struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1 };
  gssize result;

  g_assert (room.iov_len > 0);
  for (;;)
    {
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      result = recvmsg (self->fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
      if (result >= 0 || (errno != EINTR && !(wait && errno == EAGAIN)))
        break;
      if (errno == EAGAIN)
        wait_for (self, POLLIN);
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

  take_fds (self, &message);
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES,
                   _("A descriptor could not be received: %s"), g_strerror (EMFILE));
      return AFORK_CALL_STREAM_FAILED;
    }
  if (self->received_fds->len > AFORK_CALL_MAX_FDS)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("More descriptors came than frames that name them"));
      return AFORK_CALL_STREAM_FAILED;
    }

  self->may_have_more = (gsize) result == room.iov_len;
  if (self->large != NULL)
    self->large_end += (gsize) result;
  else
    self->input_end += (gsize) result;
  return AFORK_CALL_STREAM_OK;
}

gboolean
_afork_call_stream_may_have_more (AForkCallStream *self)
{
  return self->may_have_more;
}

/* Messages. */

void
_afork_call_message_clear (AForkCallMessage *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_object (&self->fds);
  g_clear_pointer (&self->blobs, g_ptr_array_unref);
  for (gsize i = 0; i < G_N_ELEMENTS (self->string); i++)
    g_clear_pointer (&self->string[i], g_free);
}

static gboolean
fail (GError     **error,
      const char  *why)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The other side does not keep to the protocol: %s"), why);
  return FALSE;
}

/* Moves N of the descriptors that have come to the next value's. */
static gboolean
claim_fds (AForkCallStream  *self,
           guint             n_fds,
           GError          **error)
{
  if (n_fds == 0)
    return TRUE;
  if (n_fds > self->received_fds->len)
    return fail (error, "a frame came without the descriptors that it names");

  if (self->fds == NULL)
    self->fds = g_unix_fd_list_new ();
  if ((guint) g_unix_fd_list_get_length (self->fds) + n_fds > AFORK_CALL_MAX_FDS)
    return fail (error, "a value has too many descriptors");

  /* The list can only copy what is added, or be made of what it takes. */
  {
    int n_old;
    g_autofree int *old = g_unix_fd_list_steal_fds (self->fds, &n_old);
    g_autofree int *all = g_new (int, (guint) n_old + n_fds);

    memcpy (all, old, (gsize) n_old * sizeof (int));
    memcpy (all + n_old, self->received_fds->data, n_fds * sizeof (int));
    g_array_remove_range (self->received_fds, 0, n_fds);
    g_object_unref (self->fds);
    self->fds = g_unix_fd_list_new_from_array (all, n_old + (int) n_fds);
  }
  return TRUE;
}

/* Takes a piece of a blob; OWNER has its bytes, or is NULL. */
static gboolean
take_blob (AForkCallStream       *self,
           const AForkCallFrame  *frame,
           GBytes                *owner,
           GError               **error)
{
  gboolean more = (frame->flags & AFORK_CALL_FRAME_MORE) != 0;

  if (self->inline_blobs == NULL)
    self->inline_blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  if (self->inline_blobs->len == AFORK_CALL_MAX_BLOBS)
    return fail (error, "a value has too many blobs");
  if (frame->size > AFORK_CALL_MAX_BLOB_BYTES - self->n_inline_bytes)
    return fail (error, "the blobs of a value are too large");

  self->n_inline_bytes += frame->size;
  if (more || self->open_blob != NULL)
    {
      if (self->open_blob == NULL)
        self->open_blob = g_byte_array_new ();
      g_byte_array_append (self->open_blob, frame->data, (guint) frame->size);
      if (!more)
        g_ptr_array_add (self->inline_blobs,
                         g_byte_array_free_to_bytes (g_steal_pointer (&self->open_blob)));
      return TRUE;
    }

  g_ptr_array_add (self->inline_blobs,
                   owner != NULL
                   ? g_bytes_new_from_bytes (owner,
                                             (gsize) (frame->data
                                                      - (const guint8 *)
                                                        g_bytes_get_data (owner, NULL)),
                                             frame->size)
                   : g_bytes_new (frame->data, frame->size));
  return TRUE;
}

/* Maps the sealed blobs of the value: its last descriptors are theirs. */
static GPtrArray *
take_sealed_blobs (AForkCallStream       *self,
                   const AForkCallFrame  *frame,
                   GError               **error)
{
  g_autoptr(GPtrArray) blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autofree int *fds = NULL;
  int n_fds = 0, n_sealed = 0, n_taken = 0;
  guint32 segment;
  guint64 size;

  for (guint i = 0; i < frame->n_blobs; i++)
    {
      afork_call_frame_get_blob (frame, i, &segment, &size);
      if (segment == AFORK_BLOB_SEALED)
        n_sealed++;
    }
  if (n_sealed == 0)
    return g_steal_pointer (&blobs);

  if (self->fds != NULL)
    fds = g_unix_fd_list_steal_fds (self->fds, &n_fds);
  g_clear_object (&self->fds);
  if (n_fds < n_sealed)
    fail (error, "a sealed blob came without its descriptor");
  for (guint i = 0; i < frame->n_blobs && n_fds >= n_sealed && n_taken == (int) blobs->len; i++)
    {
      afork_call_frame_get_blob (frame, i, &segment, &size);
      if (segment == AFORK_BLOB_SEALED)
        {
          GBytes *blob = _afork_sealed_blob_map (fds[n_fds - n_sealed + n_taken++], size, error);

          if (blob != NULL)
            g_ptr_array_add (blobs, blob);
        }
    }

  for (int i = MAX (n_fds - n_sealed, 0); i < n_fds; i++)
    _afork_fd_close (fds[i]);
  if (n_fds > n_sealed)
    self->fds = g_unix_fd_list_new_from_array (fds, n_fds - n_sealed);
  return (int) blobs->len == n_sealed ? g_steal_pointer (&blobs) : NULL;
}

/* One blob of the value, which is the next of those that came so. */
static GBytes *
take_one_blob (AForkCallStream  *self,
               guint32           segment,
               guint64           size,
               GPtrArray        *sealed,
               GError          **error)
{
  GPtrArray *source = segment == AFORK_BLOB_SEALED ? sealed : self->inline_blobs;

  if (segment != AFORK_BLOB_SEALED && segment != AFORK_BLOB_INLINE)
    return _afork_segment_table_get (self->table, segment, size, error);

  if (source == NULL || source->len == 0)
    fail (error, "a value came without the blobs that it names");
  else if (size != g_bytes_get_size (g_ptr_array_index (source, 0)))
    fail (error, "a blob is not what its value says");
  else
    return g_ptr_array_steal_index (source, 0);

  return NULL;
}

static gboolean
take_blobs (AForkCallStream       *self,
            const AForkCallFrame  *frame,
            GPtrArray            **blobs,
            GError               **error)
{
  g_autoptr(GPtrArray) taken = NULL;
  g_autoptr(GPtrArray) sealed = NULL;
  guint64 n_bytes = 0;

  if (self->open_blob != NULL)
    return fail (error, "a value came before all of its blob");
  if (frame->n_blobs == 0 && self->inline_blobs == NULL)
    return TRUE;

  taken = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < frame->n_blobs; i++)
    {
      guint32 segment;
      guint64 size;

      afork_call_frame_get_blob (frame, i, &segment, &size);
      if (size > AFORK_CALL_MAX_BLOB_BYTES - n_bytes)
        return fail (error, "the blobs of a value are too large");
      n_bytes += size;
    }

  sealed = take_sealed_blobs (self, frame, error);
  if (sealed == NULL)
    return FALSE;
  for (guint i = 0; i < frame->n_blobs; i++)
    {
      guint32 segment;
      guint64 size;
      GBytes *blob;

      afork_call_frame_get_blob (frame, i, &segment, &size);
      blob = take_one_blob (self, segment, size, sealed, error);
      if (blob == NULL)
        return FALSE;
      g_ptr_array_add (taken, blob);
    }

  if (self->inline_blobs != NULL && self->inline_blobs->len > 0)
    return fail (error, "more blobs came than the value names");
  g_clear_pointer (&self->inline_blobs, g_ptr_array_unref);
  self->n_inline_bytes = 0;
  *blobs = g_steal_pointer (&taken);
  return TRUE;
}

/* OWNER has the frame's bytes, or is NULL if they will be overwritten. */
static GVariant *
take_value (const AForkCallFrame  *frame,
            GBytes                *owner,
            GError               **error)
{
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GBytes) bytes = NULL;

  if (!g_variant_type_string_is_valid (frame->type)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (frame->type)))
    {
      fail (error, "a value has no valid type");
      return NULL;
    }

  if (owner != NULL)
    bytes = g_bytes_new_from_bytes (owner,
                                    (gsize) (frame->data
                                             - (const guint8 *) g_bytes_get_data (owner, NULL)),
                                    frame->size);
  else
    bytes = g_bytes_new (frame->data, frame->size);
  value = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (frame->type), bytes,
                                                        is_always_normal (frame->type,
                                                                          frame->size)));
#if G_BYTE_ORDER == G_BIG_ENDIAN
  {
    GVariant *swapped = g_variant_byteswap (value);

    g_variant_unref (value);
    value = swapped;
  }
#endif
  if (!g_variant_is_normal_form (value))
    {
      fail (error, "a value is not in normal form");
      return NULL;
    }

  return g_steal_pointer (&value);
}

/* A segment of the other side's. */
static gboolean
take_segment (AForkCallStream       *self,
              const AForkCallFrame  *frame,
              GError               **error)
{
  g_auto(AForkFd) fd = -1;

  if (self->received_fds->len == 0)
    return fail (error, "a frame came without the descriptors that it names");

  fd = g_array_index (self->received_fds, int, 0);
  g_array_remove_index (self->received_fds, 0);
  if (!self->accept_segments)
    return fail (error, "a segment came from a worker that is not trusted");
  return _afork_segment_table_add (self->table, frame->number, frame->segment_size, fd, error);
}

/* Takes what is only between the two streams. False if FRAME is something else. */
static gboolean
take_own_frame (AForkCallStream       *self,
                const AForkCallFrame  *frame,
                GError               **error)
{
  switch (frame->kind)
    {
    case AFORK_CALL_FRAME_SEGMENT:
      take_segment (self, frame, error);
      return TRUE;
    case AFORK_CALL_FRAME_SEGMENT_END:
      _afork_segment_table_end (self->table, frame->number, error);
      return TRUE;
    case AFORK_CALL_FRAME_RELEASE:
      _afork_segment_pool_release (self->pool, frame->number, error);
      return TRUE;
    default:
      return FALSE;
    }
}

/* False, without an error, if FRAME is not a message of its own. */
static gboolean
take_frame (AForkCallStream       *self,
            const AForkCallFrame  *frame,
            GBytes                *owner,
            AForkCallMessage      *message,
            GError               **error)
{
  if (take_own_frame (self, frame, error) || !claim_fds (self, frame->n_fds, error))
    return FALSE;
  if (frame->kind == AFORK_CALL_FRAME_FDS)
    return FALSE;
  if (frame->kind == AFORK_CALL_FRAME_BLOB)
    {
      take_blob (self, frame, owner, error);
      return FALSE;
    }

  message->kind = frame->kind;
  message->flags = frame->flags;
  message->number = frame->number;
  message->code = frame->code;
  for (gsize i = 0; i < G_N_ELEMENTS (message->string); i++)
    message->string[i] = g_strdup (frame->string[i]);
  if (frame->type == NULL)
    {
      if (self->fds != NULL || self->inline_blobs != NULL)
        return fail (error, "what belongs to a value came, but no value");
      return TRUE;
    }

  message->value = take_value (frame, owner, error);
  if (message->value == NULL || !take_blobs (self, frame, &message->blobs, error))
    {
      _afork_call_message_clear (message);
      return FALSE;
    }
  message->fds = g_steal_pointer (&self->fds);
  return TRUE;
}

/* A frame that the input will never hold is gathered in memory of its own. */
static gboolean
begin_large (AForkCallStream  *self,
             gsize             size,
             GError          **error)
{
  gsize n_there = self->input_end - self->input_start;

  self->large = g_try_malloc (size);
  if (self->large == NULL)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY,
                   _("There is no memory for a message of %" G_GSIZE_FORMAT " bytes"), size);
      return FALSE;
    }

  self->large_size = size;
  memcpy (self->large, self->input + self->input_start, n_there);
  self->large_end = n_there;
  self->input_start = self->input_end = 0;
  return TRUE;
}

AForkCallStreamStatus
_afork_call_stream_next (AForkCallStream   *self,
                         AForkCallMessage  *message,
                         GError           **error)
{
  GError *local_error = NULL;

  memset (message, 0, sizeof *message);
  for (;;)
    {
      const guint8 *bytes = self->large != NULL ? self->large : self->input + self->input_start;
      gsize n_bytes = self->large != NULL ? self->large_end : self->input_end - self->input_start;
      g_autoptr(GBytes) owner = NULL;
      AForkCallFrameResult result;
      AForkCallFrame frame;
      const char *why;
      gsize size;

      result = afork_call_frame_parse (bytes, n_bytes, &frame, &size, &why);
      if (result == AFORK_CALL_FRAME_INVALID)
        {
          fail (error, why);
          return AFORK_CALL_STREAM_FAILED;
        }
      if (result == AFORK_CALL_FRAME_TRUNCATED)
        {
          if (size > INPUT_SIZE && self->large == NULL && !begin_large (self, size, error))
            return AFORK_CALL_STREAM_FAILED;
          return AFORK_CALL_STREAM_WOULD_BLOCK;
        }

      if (self->large != NULL)
        owner = g_bytes_new_take (g_steal_pointer (&self->large), self->large_size);
      else
        self->input_start += size;
      if (take_frame (self, &frame, owner, message, &local_error))
        return AFORK_CALL_STREAM_OK;
      if (local_error != NULL)
        {
          g_propagate_error (error, local_error);
          return AFORK_CALL_STREAM_FAILED;
        }
    }
}

/* Life. */

AForkCallStream *
_afork_call_stream_new (int fd)
{
  AForkCallStream *self = g_new0 (AForkCallStream, 1);

  self->fd = fd;
  g_queue_init (&self->batches);
  self->input = g_malloc (INPUT_SIZE);
  self->received_fds = g_array_new (FALSE, FALSE, sizeof (int));
  self->pool = _afork_segment_pool_new ();
  self->table = _afork_segment_table_new ();
  return self;
}

void
_afork_call_stream_free (AForkCallStream *self)
{
  _afork_call_stream_drop_unsent (self);
  g_clear_pointer (&self->spare, batch_free);
  g_free (self->input);
  g_free (self->large);
  for (guint i = 0; i < self->received_fds->len; i++)
    _afork_fd_close (g_array_index (self->received_fds, int, i));
  g_array_unref (self->received_fds);
  g_clear_object (&self->fds);
  g_clear_pointer (&self->inline_blobs, g_ptr_array_unref);
  g_clear_pointer (&self->open_blob, g_byte_array_unref);
  _afork_segment_pool_free (self->pool);
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
_afork_call_stream_send_sealed (AForkCallStream *self)
{
  self->send_sealed = TRUE;
}

void
_afork_call_stream_set_wake (AForkCallStream  *self,
                             GMainContext     *context,
                             void            (*wake) (gpointer data),
                             gpointer          data)
{
  _afork_segment_table_set_wake (self->table, context, wake, data);
}
