/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Messages of frames. */

#include "config.h"

#include "afork-call-stream-private.h"
#include "afork-call-stream-parts-private.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "afork-call-breach-private.h"
#include "afork-call-value-private.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"

enum
{
  /* As many descriptors may wait for their value at any time. */
  FEW_FDS = 4,
  /* More may be up to one in so many of those that this process may have … */
  WAITING_FDS_SHARE = 4,
  /* … and none of the last of these, which are one in so many. They are reserved for the program,
   * and for values that come together with their descriptors, of which a message has 253 at most:
   * a quarter of the usual limit. */
  RESERVED_FDS_SHARE = 4,
};

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

/* Every descriptor gets the lowest number that is free. So the highest of these tells how many this
 * process has at least, whoever has made them. */
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
    return _afork_call_breach (error, "too many descriptors came ahead of their value");

  highest = get_highest (-1, unclaimed, n_unclaimed);
  highest = get_highest (highest, (const int *) self->fds->data, self->fds->len);
  if ((rlim_t) highest < limit.rlim_cur - limit.rlim_cur / RESERVED_FDS_SHARE)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES,
               _("%u descriptors came ahead of their value, and few are left: %s"), n_waiting,
               g_strerror (EMFILE));
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
    return _afork_call_breach (error, "a value has too many descriptors");

  g_array_set_size (self->fds, n_old + n_fds);
  if (_afork_call_reader_take_fds (self->reader, &g_array_index (self->fds, int, n_old), n_fds))
    return TRUE;

  g_array_set_size (self->fds, n_old);
  return _afork_call_breach (error, "a frame came without the descriptors that it names");
}

/* Those of the value, all of which have come; NULL if there are none. */
static GUnixFDList *
steal_fds (AForkCallStream *self)
{
  GUnixFDList *list;

  if (self->fds->len == 0)
    return NULL;

  list = g_unix_fd_list_new_from_array ((int *) self->fds->data, (int) self->fds->len);
  g_array_set_size (self->fds, 0);
  return list;
}

/* An outbox that cannot be used is no failure. */
static gboolean
take_outbox (AForkCallStream  *self,
             GError          **error)
{
  g_auto(AForkFd) fd = -1;

  if (!_afork_call_reader_take_fds (self->reader, &fd, 1))
    return _afork_call_breach (error, "a frame came without the descriptors that it names");
  if (!self->accept_outbox)
    return _afork_call_breach (error, "an outbox came that was not expected");

  self->accept_outbox = FALSE;
  g_atomic_pointer_set (&self->new_outbox, _afork_call_outbox_new (fd));
  return TRUE;
}

/* Makes FRAME, which is nothing but a message of its own, one. */
static gboolean
take_message (AForkCallStream       *self,
              const AForkCallFrame  *frame,
              GBytes                *owner,
              AForkCallMessage      *message,
              GError               **error)
{
  message->kind = frame->kind;
  message->flags = frame->flags;
  message->number = frame->number;
  message->code = frame->code;
  for (gsize i = 0; i < G_N_ELEMENTS (message->string); i++)
    message->string[i] = g_strdup (frame->string[i]);

  if (frame->type == NULL && (self->fds->len > 0 || self->inline_blobs != NULL))
    return _afork_call_breach (error, "what belongs to a value came, but no value");
  if (frame->type == NULL)
    return TRUE;

  message->value = _afork_call_value_import (frame, owner, &self->sample, error);
  if (message->value == NULL
      || !_afork_call_stream_take_blobs (self, frame, &message->blobs, error))
    return FALSE;

  message->fds = steal_fds (self);
  return TRUE;
}

/* Sets IS_MESSAGE if FRAME is one of its own. */
static gboolean
take_frame (AForkCallStream       *self,
            const AForkCallFrame  *frame,
            GBytes                *owner,
            AForkCallMessage      *message,
            gboolean              *is_message,
            GError               **error)
{
  *is_message = FALSE;
  switch (frame->kind)
    {
    case AFORK_CALL_FRAME_OUTBOX:
      return take_outbox (self, error);
    case AFORK_CALL_FRAME_SEGMENT:
      return _afork_call_stream_take_segment (self, frame, error);
    case AFORK_CALL_FRAME_SEGMENT_END:
      return _afork_segment_table_end (self->table, frame->number, error);
    case AFORK_CALL_FRAME_RELEASE:
      return _afork_segment_pool_release (self->pool, frame->number, error);
    case AFORK_CALL_FRAME_FDS:
      return take_fds (self, frame->n_fds, error);
    case AFORK_CALL_FRAME_BLOB:
      return take_fds (self, frame->n_fds, error)
        && _afork_call_stream_take_blob (self, frame, owner, error);
    default:
      *is_message = TRUE;
      return take_fds (self, frame->n_fds, error)
        && take_message (self, frame, owner, message, error);
    }
}

AForkCallStreamStatus
_afork_call_stream_next (AForkCallStream   *self,
                         AForkCallMessage  *message,
                         GError           **error)
{
  g_autoptr(GBytes) owner = NULL;
  AForkCallStreamStatus status;
  gboolean is_message = FALSE;
  AForkCallFrame frame;

  memset (message, 0, sizeof *message);
  status = _afork_call_reader_next (self->reader, &frame, &owner, error);
  if (status == AFORK_CALL_STREAM_OK
      && !take_frame (self, &frame, owner, message, &is_message, error))
    {
      _afork_call_message_clear (message);
      status = AFORK_CALL_STREAM_FAILED;
    }
  /* Now all that can be taken has been. */
  if (status == AFORK_CALL_STREAM_WOULD_BLOCK && !check_waiting_fds (self, error))
    status = AFORK_CALL_STREAM_FAILED;

  if (status == AFORK_CALL_STREAM_FAILED)
    _afork_call_stream_drop_fds (self);
  if (status != AFORK_CALL_STREAM_OK)
    return status;
  return is_message ? AFORK_CALL_STREAM_OK : AFORK_CALL_STREAM_BUSY;
}
