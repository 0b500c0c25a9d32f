/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Frames of messages. */

#include "config.h"

#include "call-stream.h"
#include "call-stream-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "call-value.h"

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

      _afork_call_writer_gather (self->writer, &frame, NULL, fds, n_gone);
      n_gone += frame.n_fds;
    }

  return n_gone;
}

/* The kernel would refuse all of a message for one that is closed, when it is too late. */
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
  else if (strlen (frame->type) > AFORK_CALL_FRAME_MAX_TYPE)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("The type of a value, of %" G_GSIZE_FORMAT " characters, is too long for a "
                   "message, which can have %d"),
                 strlen (frame->type), AFORK_CALL_FRAME_MAX_TYPE);
  else if (afork_call_frame_head_size (frame) == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE,
                 _("A value of %" G_GSIZE_FORMAT " bytes is too large for a message, "
                   "which can have %u; large data are for blobs"),
                 frame->size, AFORK_CALL_FRAME_MAX_PAYLOAD);
  else
    return TRUE;

  return FALSE;
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
    segments[i] = _afork_call_stream_send_blob (self, g_ptr_array_index (blobs, i),
                                                n_fds + sealed->len, sealed);

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
