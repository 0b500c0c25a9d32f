/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a peer is told. */

#include "config.h"

#include "client-parts.h"

#include <errno.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "death-pipe.h"

guint8 *
_afork_peer_pack_strings (const char * const *strings,
                          AForkStrings       *packed)
{
  guint8 *bytes;

  packed->n_bytes = afork_strings_size (strings, &packed->n_strings);
  bytes = g_malloc (packed->n_bytes);
  afork_strings_write (strings, bytes);
  packed->bytes = bytes;
  return bytes;
}

GError *
_afork_peer_new_size_error (const AForkFrame *frame)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("%s is longer than the %d bytes that a command may have"),
                      afork_frame_kind_name (frame->kind), AFORK_FRAME_MAX_PAYLOAD);
}

static void
refuse_large (AForkPeer        *self,
              const AForkFrame *frame)
{
  g_autoptr(GError) error = _afork_peer_new_size_error (frame);

  _afork_peer_abandon (self, error);
}

void
_afork_peer_send (AForkPeer        *self,
                  const AForkFrame *frame,
                  int               fd)
{
  /* A new module may have a function of the same name. */
  if (frame->kind == AFORK_FRAME_REQUIRE)
    g_clear_pointer (&self->expected, g_free);
  if (self->channel == NULL)
    {
      if (fd >= 0)
        _afork_fd_close (fd);
      return;
    }
  if (!_afork_channel_send (self->channel, frame, fd))
    refuse_large (self, frame);
}

void
_afork_peer_send_item (AForkPeer *self,
                       GBytes    *bytes)
{
  if (self->channel != NULL)
    _afork_channel_send_item (self->channel, bytes);
}

void
_afork_peer_tie (AForkPeer *self)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_LIFELINE, .n_fds = 1 };
  g_autoptr(AForkLifeline) lifeline = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  lifeline = _afork_lifeline_new (&fd);
  if (lifeline == NULL)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                           _("The process could not be made to end with its caller: %s"),
                           g_strerror (errno));
      _afork_peer_abandon (self, error);
      return;
    }

  _afork_life_set_lifeline (self->life, lifeline);
  _afork_peer_send (self, &frame, fd);
}

/* Has the template look FUNCTION up, which it does once instead of each of its forks. */
static void
expect (AForkPeer  *template,
        const char *function)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_EXPECT, .string = { function } };

  if (!_afork_peer_is_open (template) || g_strcmp0 (template->expected, function) == 0)
    return;

  g_free (template->expected);
  template->expected = g_strdup (function);
  _afork_peer_send (template, &frame, -1);
}

/* Where the process has forks, one more goes on as the worker, perhaps before that is known here.
 * It comes with two descriptors, and could not be ended without them. */
static gboolean
expect_successor (AForkPeer *self)
{
  g_autoptr(GError) error = NULL;

  _afork_life_keep_signals (self->life);
  if (_afork_channel_expect_fds (self->channel, 2))
    return TRUE;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                       _("The process could not be forked once more, to be run: %s"),
                       g_strerror (errno));
  _afork_peer_abandon (self, error);
  return FALSE;
}

/* The answer to the last command may come from another process than the one that was told, and what
 * comes behind it is not the library's to read. */
gboolean
_afork_peer_expect_ready (AForkPeer *self)
{
  self->told_to_run = TRUE;
  if (self->channel == NULL)
    return FALSE;

  _afork_channel_ask_sender (self->channel, TRUE);
  _afork_channel_read_exactly (self->channel);
  return !_afork_peer_has_forks (self) || expect_successor (self);
}

static void
send_last (AForkPeer        *self,
           const AForkFrame *frame)
{
  if (_afork_peer_expect_ready (self))
    _afork_peer_send (self, frame, -1);
}

void
_afork_peer_run (AForkPeer  *self,
                 const char *function,
                 const char *title)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_RUN, .string = { function, title } };

  if (afork_frame_size (&frame) == 0)
    {
      refuse_large (self, &frame);
      return;
    }

  if (self->template != NULL)
    expect (self->template, function);
  send_last (self, &frame);
}

void
_afork_peer_run_func (AForkPeer  *self,
                      const char *object,
                      guint64     offset,
                      const char *title)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_RUN_FUNC,
    .string = { object, title },
    .number = { (guint32) offset, (guint32) (offset >> 32) },
  };

  send_last (self, &frame);
}

void
_afork_peer_detach (AForkPeer *self)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_DETACH };

  self->detaching = TRUE;
  send_last (self, &frame);
}
