/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Messages of frames. */

#include "config.h"

#include "call-stream.h"
#include "call-stream-parts.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "base/i18n.h"
#include "base/memory.h"
#include "call-value.h"
#include "protocol-error.h"

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
  /* How much of a text is taken in one step, in bytes. */
  TEXT_PART = 64 * 1024,
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
  if (!_afork_call_reader_has_memory_for_fds (n_old + n_fds, error))
    return FALSE;

  g_array_set_size (self->fds, n_old + n_fds);
  if (_afork_call_reader_take_fds (self->reader, &g_array_index (self->fds, int, n_old), n_fds))
    return TRUE;

  g_array_set_size (self->fds, n_old);
  return _afork_call_breach (error, "a frame came without the descriptors that it names");
}

/* Those of the value, all of which have come; NULL if there are none. They are the program's from
 * now on. */
static GUnixFDList *
steal_fds (AForkCallStream *self)
{
  GUnixFDList *list;

  if (self->fds->len == 0)
    return NULL;

  list = g_unix_fd_list_new_from_array ((int *) self->fds->data, (int) self->fds->len);
  for (guint i = 0; i < self->fds->len; i++)
    _afork_fd_disown (g_array_index (self->fds, int, i));
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
      return _afork_call_stream_take_blobs (self, error);
    case AFORK_NORMAL_CHECK_TOO_COMPLEX:
      return _afork_call_breach (error, "a value has too complex a type inside");
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
    return _afork_call_stream_take_blobs (self, error);

  if (self->check == NULL)
    self->check = _afork_normal_check_new ();
  _afork_normal_check_begin (self->check, frame->type, frame->data, frame->size);
  self->step = check_value;
  return TRUE;
}

/* Copies some of the next string. In the text of an error U+FFFD takes the place of each byte that
 * is not UTF-8. */
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
  /* The last character of the part may be cut. */
  if (is_valid || (n_valid > 0 && n_valid + 3 >= part && self->n_taken < self->string_size))
    return;

  memcpy (out + self->n_written, replacement, sizeof replacement - 1);
  self->n_written += sizeof replacement - 1;
  self->n_taken++;
}

/* Makes room for a string of the frame, whatever it becomes. */
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
  /* It has become smaller, which cannot fail. */
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
    return _afork_call_breach (error, "what belongs to a value came, but no value");

  self->n_strings = 0;
  return take_strings (self, error);
}

/* Takes the frame, which is a message of its own. */
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
      return _afork_call_stream_take_segment (self, frame, error);
    case AFORK_CALL_FRAME_SEGMENT_END:
      return _afork_segment_table_end (self->table, frame->number, error);
    case AFORK_CALL_FRAME_RELEASE:
      return _afork_segment_pool_release (self->pool, frame->number, error);
    case AFORK_CALL_FRAME_FDS:
      return take_fds (self, frame->n_fds, error);
    case AFORK_CALL_FRAME_BLOB:
      return take_fds (self, frame->n_fds, error) && _afork_call_stream_take_blob (self, error);
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
      /* Now all that can be taken has been. */
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

void
_afork_call_stream_drop_frame (AForkCallStream *self)
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
      _afork_call_stream_drop_fds (self);
      _afork_call_stream_drop_frame (self);
    }
  else if (self->step == NULL)
    g_clear_pointer (&self->owner, g_bytes_unref);

  return status;
}
