/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What becomes of a peer: how it fails, and how it ends. */

#include "config.h"

#include "client-parts.h"

#include <signal.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "base/i18n.h"

void
_afork_peer_fail (AForkPeer    *self,
                  const GError *error)
{
  if (self->failure != NULL || self->running)
    return;

  _afork_peer_hold_tales (self);
  self->failure = g_error_copy (error);
  _afork_peer_tell_failed (self);
  _afork_peer_settle_unborn (self);
  _afork_peer_let_tales_go (self, FALSE);
}

void
_afork_peer_fail_to_start (AForkPeer    *self,
                           const GError *error)
{
  _afork_peer_hold_tales (self);
  _afork_peer_fail (self, error);
  _afork_life_end (self->life, -1, 0, 0, 0);
  _afork_peer_let_tales_go (self, TRUE);
}

void
_afork_peer_fail_like_template (AForkPeer *self,
                                AForkPeer *template)
{
  g_autoptr(GError) error = g_error_copy (template->failure);

  /* Of a whole line of them, one may say so. */
  if (!template->failed_like_template)
    g_prefix_error (&error, "%s ", _("The process could not be forked from its template:"));
  self->failed_like_template |= self->failure == NULL;
  _afork_peer_fail_to_start (self, error);
}

/* A process that has ended without having said why. */
static GError *
describe_end (AForkPeer *self)
{
  g_autofree char *name = _afork_life_get_name (self->life);
  int status = _afork_life_get_wait_status (self->life);

  if (_afork_life_is_stranded (self->life))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                        _("The main context of the process is gone"));
  if (status < 0)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                        _("%s ended before its function was entered, and nobody can say how"),
                        name);
  /* It has closed the socket perhaps, and was killed for that. */
  if (WIFSIGNALED (status) && self->is_self && !self->greeted)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("“%s” was ended by signal %d (%s) and never answered as an AFork server "
                          "does: it has to call afork_init() before anything else"),
                        self->program, WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  if (WIFSIGNALED (status))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SIGNALED,
                        _("%s was ended by signal %d (%s) before its function was entered"),
                        name, WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  if (self->is_self && !self->greeted)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("“%s” exited with status %d and never answered as an AFork server does: "
                          "it has to call afork_init() before anything else"),
                        self->program, WEXITSTATUS (status));
  if (self->program != NULL && !self->greeted)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("“%s” exited with status %d and never answered as an AFork server does"),
                        self->program, WEXITSTATUS (status));

  return g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED,
                      _("%s exited with status %d before its function was entered"),
                      name, WEXITSTATUS (status));
}

void
_afork_peer_settle (AForkPeer *self)
{
  AForkPeer *template = self->template;

  if (!self->closed)
    return;

  if (_afork_life_has_ended (self->life))
    {
      g_autoptr(GError) error = describe_end (self);

      _afork_peer_fail (self, error);
    }
  else if (_afork_life_is_known (self->life))
    {
      /* Either it is exiting, or it closed its socket and stays alive, and nothing can be done with
       * it any more. A process that has begun to exit keeps its status. */
      _afork_life_kill_closed (self->life);
    }
  else if (template == NULL || (template->channel == NULL && !template->closed))
    {
      /* Whoever could have told has been handed over, or is gone. */
      _afork_life_end (self->life, -1, 0, 0, 0);
    }
  else if (template->failure != NULL && (self->failure == NULL || template->channel == NULL))
    {
      /* One that has failed itself is perhaps still reported. */
      _afork_peer_fail_like_template (self, template);
    }
}

/* A fork of a process that was told to run goes on as the worker, and may be about to say so: it
 * must not find that the message still leaves, and then nobody reads it. Either it fails to send
 * that, and ends, or it is heard of, and killed. */
static void
give_up_successor (AForkPeer *self)
{
  g_autoptr(GError) error = describe_end (self);

  _afork_peer_fail (self, error);
  _afork_channel_refuse (self->channel);
}

static void
life_ended_cb (AForkLife *life,
               gpointer   data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  _afork_peer_hold_tales (self);
  if (self->outcome != NULL && !_afork_life_is_stranded (life))
    _afork_channel_drain (self->outcome);
  /* What it sent before it ended is here by now, and comes first. More will not come, even if some
   * process that a module started still has the socket. Without a context nothing can come. */
  if (self->channel != NULL && !self->ready && !_afork_life_is_stranded (life))
    _afork_channel_drain (self->channel);
  if (self->channel != NULL && !self->ready && life == self->life && self->told_to_run
      && _afork_peer_has_forks (self) && !_afork_life_is_stranded (life))
    give_up_successor (self);
  if (self->channel != NULL && !self->ready)
    _afork_channel_close (self->channel, NULL);

  _afork_peer_settle (self);
  _afork_peer_forget_template (self);
  if (life == self->life)
    _afork_peer_tell_ended (self);
  _afork_peer_let_tales_go (self, FALSE);
}

/* So that it ends by itself, if it can: it must not be used any more, but still reports on its
 * forks. */
static void
let_end (AForkPeer *self)
{
  if (self->channel == NULL || self->ready)
    return;

  if (_afork_peer_has_forks (self))
    _afork_peer_release (self);
  else
    _afork_channel_close (self->channel, NULL);
}

static void
life_killed_cb (AForkLife    *life,
                const GError *error,
                gpointer      data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  _afork_peer_hold_tales (self);
  if (error != NULL)
    {
      _afork_peer_fail (self, error);
      let_end (self);
    }
  _afork_peer_tell_killed (self);
  _afork_peer_let_tales_go (self, TRUE);
}

void
_afork_peer_set_life (AForkPeer *self,
                      AForkLife *life)
{
  if (self->life != NULL)
    {
      _afork_life_set_funcs (self->life, NULL, NULL, NULL);
      _afork_life_unref (self->life);
    }

  self->life = life;
  _afork_life_set_funcs (life, life_ended_cb, life_killed_cb, self);
  _afork_life_kill_after_context (life, self->after_context_ms);
}

void
_afork_peer_kill_after_context (AForkPeer *self,
                                guint      ms)
{
  self->after_context_ms = ms;
  _afork_life_kill_after_context (self->life, ms);
}

void
_afork_peer_send_signal (AForkPeer *self,
                         int        signal)
{
  if (signal == SIGINT && !self->running)
    self->keeps_interrupt = TRUE;
  else if (signal == SIGTERM && !self->running)
    self->keeps_terminate = TRUE;
  else
    _afork_life_send_signal (self->life, signal);
}

void
_afork_peer_send_kept_signals (AForkPeer *self)
{
  if (self->keeps_interrupt)
    _afork_life_send_signal (self->life, SIGINT);
  if (self->keeps_terminate)
    _afork_life_send_signal (self->life, SIGTERM);
  self->keeps_interrupt = self->keeps_terminate = FALSE;
}

void
_afork_peer_abandon (AForkPeer    *self,
                     const GError *error)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);

  if (self->program == NULL && self->number == 0)
    {
      _afork_peer_fail_to_start (self, error);
      return;
    }

  /* Whoever is told of the failure may wait for its end. */
  _afork_peer_hold_tales (self);
  _afork_peer_fail (self, error);
  _afork_life_send_signal (self->life, SIGKILL);
  _afork_peer_let_tales_go (self, FALSE);
}
