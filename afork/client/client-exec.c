/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A peer that executes a program: the command, and the channel that tells how it went. */

#include "config.h"

#include "client-parts.h"

#include <signal.h>

#include "afork-error.h"
#include "base/fd.h"
#include "remote-error.h"

/* The process was ready before it tried, and so that is here. */
static void
let_ready_come_first (AForkPeer *self)
{
  if (self->channel != NULL && self->program_socket == NULL)
    _afork_channel_drain (self->channel);
}

static gboolean
outcome_frame_cb (AForkChannel      *channel,
                  const AForkFrame  *frame,
                  int               *fds,
                  GPid               pid,
                  gpointer           data,
                  GError           **error)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);
  g_autoptr(GError) cause = NULL;

  if (frame->kind != AFORK_FRAME_ERROR || frame->n_fds > 0)
    return _afork_peer_refuse_frame (frame, error);

  cause = _afork_remote_error_new (frame->number[0], frame->string[0]);
  _afork_peer_hold_tales (self);
  let_ready_come_first (self);
  g_clear_object (&self->program_socket);
  _afork_peer_fail (self, cause);
  _afork_peer_let_tales_go (self, FALSE);
  return TRUE;
}

/* Nothing went wrong if the process was ready; else its command socket tells what did. */
static void
outcome_closed_cb (AForkChannel *channel,
                   const GError *error,
                   gpointer      data)
{
  g_autoptr(AForkPeer) self = data;
  g_autoptr(GSocket) socket = NULL;

  _afork_peer_hold_tales (self);
  if (error == NULL)
    let_ready_come_first (self);

  g_clear_pointer (&self->outcome, _afork_channel_unref);
  socket = g_steal_pointer (&self->program_socket);
  if (error != NULL)
    {
      _afork_peer_fail (self, error);
      /* Unless the main context is gone, for which the other process is not to blame. */
      if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED))
        _afork_life_send_signal (self->life, SIGKILL);
    }
  else if (socket != NULL && self->failure == NULL)
    {
      self->running = TRUE;
      _afork_peer_send_kept_signals (self);
      _afork_peer_tell_ready (self, socket);
    }
  _afork_peer_let_tales_go (self, FALSE);
}

static const AForkChannelEvents outcome_events = { outcome_frame_cb, outcome_closed_cb };

void
_afork_peer_exec (AForkPeer          *self,
                  const char * const *argv)
{
  AForkFrame frame = { .kind = AFORK_FRAME_EXEC, .n_fds = 1 };
  g_autofree guint8 *bytes G_GNUC_UNUSED = NULL;
  g_autoptr(GError) error = NULL;
  int outcome;

  self->told_to_run = TRUE;
  if (self->channel == NULL)
    return;

  outcome = _afork_peer_connect_channel (self, &self->outcome, &outcome_events, &error);
  if (outcome < 0)
    {
      _afork_peer_abandon (self, error);
      return;
    }

  if (!_afork_peer_expect_ready (self))
    {
      _afork_fd_close (outcome);
      return;
    }

  bytes = _afork_peer_pack_strings (argv, &frame.strings);
  _afork_peer_send (self, &frame, outcome);
}
