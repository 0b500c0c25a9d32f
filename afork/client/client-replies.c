/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a process replies: the frames on its command channel, and on the channel that tells how
 * executing a program went. */

#include "config.h"

#include "client-parts.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/pidfd-info.h"
#include "remote-error.h"

/* Makes FRAME a breach of the protocol; returns false. */
static gboolean
refuse_frame (const AForkFrame  *frame,
              GError           **error)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The process does not keep to the protocol: %s came where it may not"),
               afork_frame_kind_name (frame->kind));
  return FALSE;
}

/* A fork of which nothing has been heard. */
static gboolean
is_unborn (AForkPeer *self)
{
  return self->number != 0 && !self->born;
}

/* Whether READY comes from a fork of the process that goes on as the worker, which it does not
 * before the process was heard of. */
static gboolean
is_of_successor (AForkPeer        *self,
                 const AForkFrame *frame)
{
  return !is_unborn (self) && frame->n_fds > 0;
}

/* Whether FRAME, which has N_MORE descriptors otherwise, has a pidfd as well, if there are
 * such. */
static gboolean
has_pidfd_in_place (AForkPeer        *self,
                    const AForkFrame *frame,
                    const int        *fds,
                    guint             n_more)
{
  if (self->lacks_pidfd)
    return frame->n_fds == n_more;

  return frame->n_fds == n_more + 1 && _afork_pidfd_check (fds[0]);
}

/* READY comes when everything that was sent has been read. A fork's first answer has its pidfd
 * with it, if there are such, and no other has one; but if a fork of it goes on as the worker,
 * the socket for its reports stands behind that. */
static gboolean
is_ready_in_place (AForkPeer        *self,
                   const AForkFrame *frame,
                   const int        *fds)
{
  const gboolean is_successor = is_of_successor (self, frame);

  if (!self->told_to_run || !_afork_channel_is_sent (self->channel))
    return FALSE;
  if (is_successor && !_afork_peer_has_forks (self))
    return FALSE;
  if (!is_successor && !is_unborn (self))
    return !self->lacks_pidfd;

  return has_pidfd_in_place (self, frame, fds, is_successor ? 1 : 0);
}

/* Whether a server could send FRAME now. */
static gboolean
is_in_place (AForkPeer        *self,
             const AForkFrame *frame,
             const int        *fds)
{
  const gboolean is_report = frame->kind == AFORK_FRAME_EXITED
    || frame->kind == AFORK_FRAME_SIGNALED
    || frame->kind == AFORK_FRAME_FORK_FAILED;

  /* A program that is executed greets before anything else. One that has given up still reports
   * on its forks, and nothing else comes where a function has the socket. */
  if (self->program != NULL && !self->greeted)
    return frame->kind == AFORK_FRAME_HELLO;
  if (self->ready)
    return is_report && frame->kind != AFORK_FRAME_FORK_FAILED;
  if (self->gave_up)
    return is_report;

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_FORKED:
      return is_unborn (self) && has_pidfd_in_place (self, frame, fds, 0);
    case AFORK_FRAME_NO_PIDFD:
      return !self->lacks_pidfd
        && (is_unborn (self) || (self->told_to_run && _afork_peer_has_forks (self)));
    case AFORK_FRAME_READY:
      return is_ready_in_place (self, frame, fds);
    case AFORK_FRAME_ERROR:
      return frame->n_fds == 0 || _afork_pidfd_check (fds[0]);
    default:
      return is_report;
    }
}

/* Whether FRAME is the first that is heard of a process. */
static gboolean
makes_known (AForkPeer        *self,
             const AForkFrame *frame)
{
  switch ((int) frame->kind)
    {
    case AFORK_FRAME_FORKED:
    case AFORK_FRAME_READY:
      return is_unborn (self) || frame->n_fds > 0;
    case AFORK_FRAME_ERROR:
      return frame->n_fds > 0 && is_unborn (self);
    default:
      return FALSE;
    }
}

static gboolean
hello_came (AForkPeer         *self,
            const AForkFrame  *frame,
            GError           **error)
{
  if (strcmp (frame->string[0], AFORK_WIRE_MAGIC) != 0)
    return refuse_frame (frame, error);
  if (frame->number[0] != AFORK_WIRE_VERSION)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("“%s” speaks version %u of the protocol, and this library version %u"),
                   self->program, frame->number[0], AFORK_WIRE_VERSION);
      return FALSE;
    }

  self->greeted = TRUE;
  _afork_peer_clear_deadline (self);
  if (!self->told_to_run)
    _afork_channel_ask_sender (self->channel, FALSE);
  _afork_peer_tell_known (self);
  return TRUE;
}

/* A fork is heard of for the first time; *PIDFD is its own, or -1. */
static void
be_born (AForkPeer *self,
         GPid       pid,
         int       *pidfd)
{
  self->born = TRUE;
  self->lacks_pidfd = FALSE;
  _afork_peer_clear_deadline (self);
  _afork_peer_stop_being_unborn (self);
  if (self->channel != NULL && !self->told_to_run)
    _afork_channel_ask_sender (self->channel, FALSE);
  _afork_life_bear (self->life, pid, g_steal_fd (pidfd));
  _afork_peer_tell_known (self);
}

/* The worker is a fork of the process that we knew, which goes on reporting on REPORTS. *PIDFD is
 * -1 where there are none. */
static void
follow_worker (AForkPeer *self,
               GPid       pid,
               int       *pidfd,
               int       *reports)
{
  g_autoptr(GError) error = NULL;
  AForkLife *life = _afork_life_new (self->context);
  gboolean opened;

  /* A blocking call perhaps serves it in a context of its own, and gives back only what is ours
   * then. */
  _afork_life_set_context (self->life, _afork_context_peek (self->home));
  _afork_life_take_signals (life, self->life);
  /* Nobody else can tell it to go on from here, and it has to reap the worker. */
  _afork_life_send_signal (self->life, SIGCONT);
  _afork_peer_add_fork_life (self, AFORK_WORKER_NUMBER, life);
  _afork_peer_set_life (self, life);
  /* First, so that it can be asked to signal its forks, the worker among them. */
  self->n_requests_sent = 0;
  self->only_reports = TRUE;
  self->unsent_request = self->requests.head;
  opened = _afork_peer_open_channel (self, &self->channel, &_afork_peer_channel_events,
                                     g_steal_fd (reports), &error);
  _afork_peer_send_requests (self);
  _afork_life_bear (life, pid, g_steal_fd (pidfd));
  if (!opened)
    {
      g_debug ("The reports of process %d are lost: %s", (int) pid, error->message);
      _afork_peer_orphan_forks (self, FALSE);
    }
  _afork_peer_tell_known (self);
}

/* It is another caller's from now on. */
static void
disown (AForkPeer *self,
        gboolean   is_successor)
{
  if (is_successor)
    _afork_peer_disown_fork (self, AFORK_WORKER_NUMBER);
  else if (self->template != NULL)
    _afork_peer_disown_fork (self->template, self->number);
}

static gboolean
ready_came (AForkPeer         *self,
            const AForkFrame  *frame,
            int               *fds,
            GPid               pid,
            GError           **error)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GSocket) socket = _afork_channel_steal_socket (self->channel, error);
  const gboolean is_successor = is_of_successor (self, frame);
  int none = -1;
  int *pidfd = frame->n_fds > (is_successor ? 1 : 0) ? &fds[0] : &none;

  if (socket == NULL)
    return FALSE;

  _afork_peer_hold_tales (self);
  _afork_peer_drop_channel (self);
  /* If nobody wants it any more, it finds its socket closed. */
  self->ready = self->failure == NULL;
  self->running = self->ready && self->outcome == NULL;
  /* First of all, for the process may turn out to have ended: then the outcome comes at once. */
  if (self->outcome != NULL)
    self->program_socket = g_steal_pointer (&socket);
  if (is_unborn (self))
    be_born (self, pid, pidfd);
  if (is_successor)
    follow_worker (self, pid, pidfd, &fds[frame->n_fds - 1]);
  else
    _afork_peer_orphan_forks (self, FALSE);
  if (self->ready && self->detaching)
    disown (self, is_successor);
  /* Nor would a function that never looks at its socket find that. */
  if (!self->ready)
    _afork_life_send_signal (self->life, SIGKILL);
  if (self->running)
    _afork_peer_send_kept_signals (self);
  /* Without reports, nothing will be heard of those whose sockets have ended. */
  if (self->channel == NULL)
    _afork_peer_settle_unborn (self);

  if (socket != NULL && self->running)
    _afork_peer_tell_ready (self, socket);
  _afork_peer_let_tales_go (self, FALSE);
  return TRUE;
}

static gboolean
error_came (AForkPeer        *self,
            const AForkFrame *frame,
            int              *fds,
            GPid              pid)
{
  g_autoptr(GError) error = _afork_remote_error_new (frame->number[0], frame->string[0]);

  _afork_peer_hold_tales (self);
  self->gave_up = TRUE;
  _afork_peer_send_requests (self);
  if (frame->n_fds == 1 && is_unborn (self))
    be_born (self, pid, &fds[0]);
  _afork_peer_fail (self, error);
  _afork_peer_let_tales_go (self, FALSE);
  return TRUE;
}

static gboolean
fork_failed_came (AForkPeer         *self,
                  const AForkFrame  *frame,
                  GError           **error)
{
  g_autoptr(AForkLife) life = _afork_peer_take_fork_life (self, frame->number[0]);
  AForkPeer *fork = _afork_peer_find_unborn (self, frame->number[0]);
  g_autoptr(GError) cause = NULL;

  if (life == NULL)
    return refuse_frame (frame, error);

  cause = _afork_remote_error_new (frame->number[1], frame->string[0]);
  if (fork != NULL)
    {
      g_autoptr(AForkPeer) kept = _afork_peer_ref (fork);

      _afork_peer_fail_to_start (kept, cause);
    }

  /* It may have been there for a moment, and been quicker to say so. */
  _afork_life_send_signal (life, SIGKILL);
  _afork_life_end (life, -1, 0, 0, 0);
  return TRUE;
}

static gboolean
exited_came (AForkPeer         *self,
             const AForkFrame  *frame,
             GError           **error)
{
  g_autoptr(AForkLife) life = _afork_peer_take_fork_life (self, frame->number[0]);
  int wait_status = -1;

  if (life == NULL)
    return refuse_frame (frame, error);

  if (frame->exit.wait_status <= G_MAXUINT16)
    wait_status = (int) frame->exit.wait_status;
  _afork_life_end (life, wait_status, frame->exit.user_usec, frame->exit.system_usec,
                   frame->exit.max_rss_kib);
  return TRUE;
}

static gboolean
signaled_came (AForkPeer         *self,
               const AForkFrame  *frame,
               GError           **error)
{
  const int result = (int) MIN (frame->number[1], (guint32) G_MAXINT);

  return _afork_peer_take_answer (self, frame->number[0], result)
    || refuse_frame (frame, error);
}

static gboolean
frame_cb (AForkChannel      *channel,
          const AForkFrame  *frame,
          int               *fds,
          GPid               pid,
          gpointer           data,
          GError           **error)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);
  int none = -1;

  if (!is_in_place (self, frame, fds))
    return refuse_frame (frame, error);
  /* The kernel gives no pid of a sender that this PID namespace does not have, nor of what was
   * sent before anybody asked. Without a pid, the process could be neither signalled nor waited
   * for. */
  if (pid == 0 && makes_known (self, frame))
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("The process has no pid here: it is in a PID namespace that this program "
                     "cannot see, or does not keep to the protocol (%s)"),
                   afork_frame_kind_name (frame->kind));
      return FALSE;
    }

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_HELLO:
      return hello_came (self, frame, error);
    case AFORK_FRAME_FORKED:
      be_born (self, pid, frame->n_fds > 0 ? &fds[0] : &none);
      return TRUE;
    case AFORK_FRAME_NO_PIDFD:
      self->lacks_pidfd = TRUE;
      return TRUE;
    case AFORK_FRAME_READY:
      return ready_came (self, frame, fds, pid, error);
    case AFORK_FRAME_ERROR:
      return error_came (self, frame, fds, pid);
    case AFORK_FRAME_FORK_FAILED:
      return fork_failed_came (self, frame, error);
    case AFORK_FRAME_EXITED:
      return exited_came (self, frame, error);
    case AFORK_FRAME_SIGNALED:
      return signaled_came (self, frame, error);
    default:
      return refuse_frame (frame, error);
    }
}

/* The main context is gone. The other process is not to blame: it finds its socket closed, and
 * ends when it has done what it was told. */
static void
be_stranded (AForkPeer *self)
{
  self->context_gone = TRUE;
  if (self->closed)
    _afork_life_strand (self->life);
  _afork_peer_settle (self);
  _afork_peer_orphan_forks (self, TRUE);
  _afork_peer_settle_unborn (self);
}

/* The socket of a process that another caller gave away has ended, and nothing was heard of
 * it. */
static void
fail_to_adopt (AForkPeer *self)
{
  g_autoptr(GError) error = NULL;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                       _("The process that the descriptor belonged to has ended"));
  _afork_peer_fail_to_start (self, error);
}

static void
closed_cb (AForkChannel *channel,
           const GError *error,
           gpointer      data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  _afork_peer_drop_channel (self);
  self->closed = !self->ready;
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)
      || _afork_life_is_stranded (self->life))
    {
      be_stranded (self);
      return;
    }

  _afork_peer_hold_tales (self);
  _afork_peer_orphan_forks (self, FALSE);
  if (self->closed && error != NULL)
    {
      _afork_peer_fail (self, error);
      _afork_life_send_signal (self->life, SIGKILL);
    }
  if (self->adopted && !_afork_life_is_known (self->life))
    fail_to_adopt (self);

  _afork_peer_settle (self);
  _afork_peer_settle_unborn (self);
  _afork_peer_let_tales_go (self, FALSE);
}

const AForkChannelEvents _afork_peer_channel_events = { frame_cb, closed_cb };

/* Executing a program. */

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
    return refuse_frame (frame, error);

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
