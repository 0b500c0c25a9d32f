/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The replies of a process: frames on its command channel, and on the channel that reports how
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

/* Reports FRAME as a protocol error. Returns false. */
static gboolean
refuse_frame (const AForkFrame  *frame,
              GError           **error)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The process does not keep to the protocol: %s came where it may not"),
               afork_frame_kind_name (frame->kind));
  return FALSE;
}

/* Whether the process is a fork that is not confirmed. */
static gboolean
is_pending_fork (AForkClient *self)
{
  return self->number != 0 && !_afork_pid_watch_is_known (self->pid_watch);
}

/* Whether READY comes from a fork of the process that becomes the worker. This can only happen once
 * the process is confirmed. */
static gboolean
is_of_successor (AForkClient      *self,
                 const AForkFrame *frame)
{
  return !is_pending_fork (self) && frame->n_fds > 0;
}

/* Whether FRAME has a pidfd in front of N_MORE other descriptors, unless the process has announced
 * that it has none. */
static gboolean
has_pidfd_in_place (AForkClient      *self,
                    const AForkFrame *frame,
                    const int        *fds,
                    guint             n_more)
{
  if (self->lacks_pidfd)
    return frame->n_fds == n_more;

  return frame->n_fds == n_more + 1 && _afork_pidfd_check (fds[0]);
}

/* A server sends READY when it has read everything. Only the first reply of a fork has its pidfd,
 * if the kernel has pidfds. If a fork of the process becomes the worker, the socket for reports
 * follows that pidfd. */
static gboolean
is_ready_in_place (AForkClient      *self,
                   const AForkFrame *frame,
                   const int        *fds)
{
  const gboolean is_successor = is_of_successor (self, frame);

  if (!_afork_client_has_last_command (self) || !_afork_channel_is_sent (self->channel))
    return FALSE;
  if (is_successor && !_afork_client_may_have_successor (self))
    return FALSE;
  if (!is_successor && !is_pending_fork (self))
    return !self->lacks_pidfd;

  return has_pidfd_in_place (self, frame, fds, is_successor ? 1 : 0);
}

/* Whether a server could send FRAME now. */
static gboolean
is_in_place (AForkClient      *self,
             const AForkFrame *frame,
             const int        *fds)
{
  const gboolean is_report = frame->kind == AFORK_FRAME_EXITED
    || frame->kind == AFORK_FRAME_SIGNALED
    || frame->kind == AFORK_FRAME_MEASURED
    || frame->kind == AFORK_FRAME_REFUSED
    || frame->kind == AFORK_FRAME_FORK_FAILED;

  /* A program that is executed sends HELLO first. A process that has given up, and one that has
   * handed its socket over, only report on forks. */
  if (self->program != NULL && !_afork_client_has_replied (self))
    return frame->kind == AFORK_FRAME_HELLO;
  if (_afork_client_is_handed_over (self) || self->state == AFORK_CLIENT_STATE_UNWANTED)
    return is_report && frame->kind != AFORK_FRAME_FORK_FAILED;
  if (self->state == AFORK_CLIENT_STATE_GAVE_UP)
    return is_report;

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_FORKED:
      return is_pending_fork (self) && has_pidfd_in_place (self, frame, fds, 0);
    case AFORK_FRAME_NO_PIDFD:
      return !self->lacks_pidfd
        && (is_pending_fork (self)
            || (_afork_client_has_last_command (self)
                && _afork_client_may_have_successor (self)));
    case AFORK_FRAME_REMOTE:
      return _afork_client_is_remote (self) && self->remote_pid == 0
        && frame->number[0] > 0 && frame->number[0] <= G_MAXINT
        && (is_pending_fork (self)
            || (_afork_client_has_last_command (self)
                && _afork_client_may_have_successor (self)));
    case AFORK_FRAME_CONFINED:
      return self->confinement == NULL && _afork_client_has_last_command (self)
        && _afork_channel_is_sent (self->channel);
    case AFORK_FRAME_READY:
      return is_ready_in_place (self, frame, fds);
    case AFORK_FRAME_ERROR:
      return frame->n_fds == 0 || _afork_pidfd_check (fds[0]);
    default:
      return is_report;
    }
}

/* Whether the sender of FRAME is the process whose pid becomes known by it. */
static gboolean
makes_known (AForkClient      *self,
             const AForkFrame *frame)
{
  switch ((int) frame->kind)
    {
    case AFORK_FRAME_FORKED:
    case AFORK_FRAME_READY:
      return is_pending_fork (self) || frame->n_fds > 0;
    case AFORK_FRAME_ERROR:
      return frame->n_fds > 0 && is_pending_fork (self);
    default:
      return FALSE;
    }
}

static gboolean
hello_came (AForkClient       *self,
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

  _afork_client_set_state (self, AFORK_CLIENT_STATE_SERVING);
  _afork_client_clear_handshake_timeout (self);
  if (!_afork_client_has_last_command (self))
    _afork_channel_ask_sender (self->channel, FALSE);
  _afork_client_notify_known (self);
  return TRUE;
}

/* The first reply of a fork has come. Takes *PIDFD, which is -1 if there is none. */
static void
confirm_fork (AForkClient *self,
              GPid         pid,
              int         *pidfd)
{
  if (self->state == AFORK_CLIENT_STATE_STARTING)
    _afork_client_set_state (self, AFORK_CLIENT_STATE_SERVING);
  self->lacks_pidfd = FALSE;
  self->remote_pid = 0;
  _afork_client_clear_handshake_timeout (self);
  _afork_client_remove_pending_fork (self);
  if (self->channel != NULL && !_afork_client_has_last_command (self))
    _afork_channel_ask_sender (self->channel, FALSE);
  _afork_pid_watch_confirm_fork (self->pid_watch, pid, g_steal_fd (pidfd));
  _afork_client_notify_known (self);
}

/* A fork of the process has become the worker. The process itself goes on and sends reports on
 * *REPORTS. *PIDFD is -1 if there is none. */
static void
follow_worker (AForkClient *self,
               GPid         pid,
               int         *pidfd,
               int         *reports)
{
  g_autoptr(GError) error = NULL;
  AForkPidWatch *pid_watch = _afork_pid_watch_new (self->context);
  gboolean opened;

  if (self->host != NULL)
    _afork_pid_watch_set_host (pid_watch, self->host);

  /* A blocking call may serve the client in a context of its own. When it gives the client back,
   * the old pid watch is no longer a part of it. */
  _afork_pid_watch_set_context (self->pid_watch, _afork_context_peek (self->home));
  _afork_pid_watch_take_signals (pid_watch, self->pid_watch);
  /* It has to reap the worker. If it was stopped, nothing else could continue it. */
  _afork_pid_watch_send_signal (self->pid_watch, SIGCONT);
  _afork_client_add_fork_watch (self, AFORK_WORKER_NUMBER, pid_watch);
  _afork_client_set_pid_watch (self, pid_watch);
  /* First, so that it can be asked to signal its forks, including the worker. */
  self->n_fork_commands_sent = 0;
  self->unsent_fork_command = self->fork_commands.head;
  opened = _afork_client_open_channel (self, &self->channel, &_afork_client_channel_events,
                                       g_steal_fd (reports), &error);
  _afork_client_send_fork_commands (self);
  _afork_pid_watch_confirm_fork (pid_watch, pid, g_steal_fd (pidfd));
  if (!opened)
    {
      g_debug ("The reports of process %d are lost: %s", (int) pid, error->message);
      _afork_client_set_forks_unreported (self);
    }
  _afork_client_notify_known (self);
}

/* The process belongs to another caller from now on. */
static void
send_disown (AForkClient *self,
             gboolean     is_successor)
{
  if (is_successor)
    _afork_client_disown_fork (self, AFORK_WORKER_NUMBER);
  else if (self->template != NULL)
    _afork_client_disown_fork (self->template, self->number);
}

static gboolean
ready_came (AForkClient      *self,
            const AForkFrame *frame,
            int              *fds,
            GPid              pid)
{
  g_autoptr(GSocket) socket = _afork_channel_steal_socket (self->channel);
  const gboolean is_successor = is_of_successor (self, frame);
  int none = -1;
  int *pidfd = frame->n_fds > (is_successor ? 1 : 0) ? &fds[0] : &none;

  _afork_client_drop_channel (self);
  /* First, because the rest depends on it. If the client has failed, the process finds its socket
   * closed. */
  if (self->failure != NULL)
    _afork_client_set_state (self, AFORK_CLIENT_STATE_UNWANTED);
  else if (self->exec_status != NULL)
    _afork_client_set_state (self, AFORK_CLIENT_STATE_EXECUTING);
  else
    _afork_client_set_state (self, AFORK_CLIENT_STATE_RUNNING);
  if (self->exec_status != NULL)
    self->program_socket = g_steal_pointer (&socket);
  if (is_pending_fork (self))
    confirm_fork (self, pid, pidfd);
  if (is_successor)
    follow_worker (self, pid, pidfd, &fds[frame->n_fds - 1]);
  else
    _afork_client_set_forks_unreported (self);
  if (_afork_client_is_handed_over (self) && _afork_client_is_detached (self))
    send_disown (self, is_successor);
  /* A function that never looks at its socket would not find it closed. */
  if (self->state == AFORK_CLIENT_STATE_UNWANTED)
    _afork_pid_watch_send_signal (self->pid_watch, SIGKILL);
  if (self->state == AFORK_CLIENT_STATE_RUNNING)
    _afork_client_send_kept_signals (self);
  /* Without reports, the outcome of forks whose sockets have ended is now final. */
  if (self->channel == NULL)
    _afork_client_update_pending_forks (self);

  if (socket != NULL && self->state == AFORK_CLIENT_STATE_RUNNING)
    _afork_client_notify_ready (self, socket);
  return TRUE;
}

/* The next reply is READY, or an error. */
static gboolean
confined_came (AForkClient       *self,
               const AForkFrame  *frame,
               GError           **error)
{
  AForkConfinementReport report;

  if (!afork_confinement_report_parse (frame->bytes, frame->n_bytes, &report))
    return refuse_frame (frame, error);

  self->confinement = g_new (AForkConfinementReport, 1);
  *self->confinement = report;
  return TRUE;
}

static gboolean
error_came (AForkClient      *self,
            const AForkFrame *frame,
            int              *fds,
            GPid              pid)
{
  g_autoptr(GError) error = _afork_remote_error_new (frame->number[0], frame->string[0]);

  _afork_client_set_state (self, AFORK_CLIENT_STATE_GAVE_UP);
  _afork_client_send_fork_commands (self);
  if (frame->n_fds == 1 && is_pending_fork (self))
    confirm_fork (self, pid, &fds[0]);
  _afork_client_fail (self, error);
  return TRUE;
}

static gboolean
fork_failed_came (AForkClient       *self,
                  const AForkFrame  *frame,
                  GError           **error)
{
  g_autoptr(AForkPidWatch) pid_watch = _afork_client_take_fork_watch (self, frame->number[0]);
  AForkClient *fork = _afork_client_find_pending_fork (self, frame->number[0]);
  g_autoptr(GError) cause = NULL;

  if (pid_watch == NULL)
    return refuse_frame (frame, error);

  cause = _afork_remote_error_new (frame->number[1], frame->string[0]);
  if (fork != NULL)
    {
      g_autoptr(AForkClient) kept = _afork_client_ref (fork);

      _afork_client_fail_to_start (kept, cause);
    }

  /* The fork may have existed for a moment, and its own reply may have come first. */
  _afork_pid_watch_send_signal (pid_watch, SIGKILL);
  _afork_pid_watch_set_exited (pid_watch, -1, 0, 0, 0);
  _afork_client_release_connection (self);
  return TRUE;
}

static gboolean
exited_came (AForkClient       *self,
             const AForkFrame  *frame,
             GError           **error)
{
  g_autoptr(AForkPidWatch) pid_watch = _afork_client_take_fork_watch (self, frame->number[0]);
  int wait_status = -1;

  if (pid_watch == NULL)
    return refuse_frame (frame, error);

  if (frame->exit.wait_status <= G_MAXUINT16)
    wait_status = (int) frame->exit.wait_status;
  _afork_pid_watch_set_exited (pid_watch, wait_status, frame->exit.user_usec,
                               frame->exit.system_usec, frame->exit.max_rss_kib);
  _afork_client_release_connection (self);
  return TRUE;
}

static gboolean
signaled_came (AForkClient       *self,
               const AForkFrame  *frame,
               GError           **error)
{
  return _afork_client_take_reply (self, AFORK_FRAME_SIGNAL, frame->number[0], frame->number[1])
    || refuse_frame (frame, error);
}

static gboolean
measured_came (AForkClient       *self,
               const AForkFrame  *frame,
               GError           **error)
{
  return _afork_client_take_reply (self, AFORK_FRAME_MEASURE, frame->number[0], frame->number[1])
    || refuse_frame (frame, error);
}

static gboolean
handle_reply (AForkClient       *self,
              const AForkFrame  *frame,
              int               *fds,
              GPid               pid,
              GError           **error)
{
  int none = -1;

  if (!is_in_place (self, frame, fds))
    return refuse_frame (frame, error);
  /* The sender is the relay. */
  if (_afork_client_is_remote (self))
    pid = (GPid) self->remote_pid;
  /* The kernel reports no pid for a sender that has none in this PID namespace, or for a message
   * that was sent before SO_PASSCRED was set. Without a pid, the process could be neither signalled
   * nor waited for. */
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
      confirm_fork (self, pid, frame->n_fds > 0 ? &fds[0] : &none);
      return TRUE;
    case AFORK_FRAME_NO_PIDFD:
      self->lacks_pidfd = TRUE;
      return TRUE;
    case AFORK_FRAME_REMOTE:
      self->lacks_pidfd = TRUE;
      self->remote_pid = frame->number[0];
      return TRUE;
    case AFORK_FRAME_CONFINED:
      return confined_came (self, frame, error);
    case AFORK_FRAME_READY:
      return ready_came (self, frame, fds, pid);
    case AFORK_FRAME_ERROR:
      return error_came (self, frame, fds, pid);
    case AFORK_FRAME_FORK_FAILED:
      return fork_failed_came (self, frame, error);
    case AFORK_FRAME_EXITED:
      return exited_came (self, frame, error);
    case AFORK_FRAME_SIGNALED:
      return signaled_came (self, frame, error);
    case AFORK_FRAME_MEASURED:
      return measured_came (self, frame, error);
    case AFORK_FRAME_REFUSED:
      _afork_client_set_refused_call (self, frame->number[0], frame->number[1]);
      return TRUE;
    default:
      return refuse_frame (frame, error);
    }
}

/* Replies are handled one after the other. While one is handled, it may become known that the
 * process has exited. Then the rest of what it sent is read after this reply, not within it. */

static void
begin_reply (AForkClient *self)
{
  _afork_notifier_freeze (&self->notifier);
  self->n_replies++;
}

static void
end_reply (AForkClient *self)
{
  self->n_replies--;
  _afork_client_handle_exit (self);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

static gboolean
frame_cb (AForkChannel      *channel,
          const AForkFrame  *frame,
          int               *fds,
          GPid               pid,
          gpointer           data,
          GError           **error)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);
  gboolean success;

  begin_reply (self);
  success = handle_reply (self, frame, fds, pid, error);
  /* Nothing else is read. */
  if (!success)
    _afork_channel_close (channel, *error);
  end_reply (self);
  return success;
}

/* The main context is gone, which is no failure of the process. It finds its socket closed, and
 * exits when it has done its commands. */
static void
lose_context (AForkClient *self)
{
  _afork_notifier_lose_context (&self->notifier);
  if (!_afork_client_is_handed_over (self))
    _afork_pid_watch_lose_context (self->pid_watch);
  _afork_client_update_outcome (self);
  _afork_backlog_lose_context (&self->backlog);
  _afork_client_set_forks_unreported (self);
  _afork_client_update_pending_forks (self);
  _afork_client_handle_exit (self);
}

/* The socket of a process that another caller has detached was closed before any reply. */
static void
fail_to_attach (AForkClient *self)
{
  g_autoptr(GError) error = NULL;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                       _("The process that the descriptor belonged to has exited"));
  _afork_client_fail_to_start (self, error);
}

static void
closed_cb (AForkChannel *channel,
           const GError *error,
           gpointer      data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);

  _afork_client_drop_channel (self);
  _afork_client_lose_host (self);
  _afork_client_read_connection (self);
  if (!_afork_client_is_handed_over (self))
    _afork_client_set_state (self, _afork_client_has_replied (self)
                                     ? AFORK_CLIENT_STATE_CLOSED
                                     : AFORK_CLIENT_STATE_CLOSED_EARLY);
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)
      || _afork_pid_watch_is_context_lost (self->pid_watch))
    {
      lose_context (self);
      return;
    }

  _afork_notifier_freeze (&self->notifier);
  if (!_afork_client_waits_for_host (self))
    _afork_client_set_forks_unreported (self);
  if (error != NULL && !_afork_client_is_handed_over (self))
    {
      _afork_client_fail (self, error);
      _afork_pid_watch_send_signal (self->pid_watch, SIGKILL);
    }
  if (self->attached && !_afork_pid_watch_is_known (self->pid_watch))
    fail_to_attach (self);

  _afork_client_update_outcome (self);
  _afork_client_update_pending_forks (self);
  _afork_client_handle_exit (self);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

static void
drained_cb (AForkChannel *channel,
            gpointer      data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);

  _afork_notifier_freeze (&self->notifier);
  _afork_client_handle_exit (self);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

const AForkChannelEvents _afork_client_channel_events = { frame_cb, closed_cb, drained_cb };

/* Executing a program. */

/* The process sends READY before it executes the program, so READY has arrived. If there is no time
 * to read that now, it leads to the same later. */
static void
let_ready_come_first (AForkClient *self)
{
  if (self->channel != NULL && self->program_socket == NULL)
    _afork_channel_drain (self->channel);
}

static gboolean
exec_status_frame_cb (AForkChannel      *channel,
                      const AForkFrame  *frame,
                      int               *fds,
                      GPid               pid,
                      gpointer           data,
                      GError           **error)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);
  g_autoptr(GError) cause = NULL;

  if (frame->kind != AFORK_FRAME_ERROR || frame->n_fds > 0)
    return refuse_frame (frame, error);

  cause = _afork_remote_error_new (frame->number[0], frame->string[0]);
  begin_reply (self);
  let_ready_come_first (self);
  g_clear_object (&self->program_socket);
  _afork_client_fail (self, cause);
  /* Nothing else may come, and a process that sends without end is not listened to. */
  _afork_channel_close (channel, NULL);
  end_reply (self);
  return TRUE;
}

/* If READY has come, executing has succeeded. If not, the command channel reports what went
 * wrong. */
static void
exec_status_closed_cb (AForkChannel *channel,
                       const GError *error,
                       gpointer      data)
{
  g_autoptr(AForkClient) self = data;
  g_autoptr(GSocket) socket = NULL;

  begin_reply (self);
  if (error == NULL)
    let_ready_come_first (self);

  g_clear_pointer (&self->exec_status, _afork_channel_unref);
  socket = g_steal_pointer (&self->program_socket);
  if (error != NULL)
    {
      _afork_client_fail (self, error);
      /* If only the main context is gone, the process goes on. */
      if (!g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED))
        _afork_pid_watch_send_signal (self->pid_watch, SIGKILL);
    }
  else if (socket != NULL && self->failure == NULL)
    {
      _afork_client_set_state (self, AFORK_CLIENT_STATE_RUNNING);
      _afork_client_send_kept_signals (self);
      _afork_client_notify_ready (self, socket);
    }
  end_reply (self);
}

static const AForkChannelEvents exec_status_events =
  { exec_status_frame_cb, exec_status_closed_cb, drained_cb };

void
_afork_client_exec (AForkClient        *self,
                    const char * const *argv)
{
  AForkFrame frame = { .kind = AFORK_FRAME_EXEC, .n_fds = 1 };
  g_autofree guint8 *bytes G_GNUC_UNUSED = NULL;
  g_autoptr(GError) error = NULL;
  int exec_status;

  self->last_command = AFORK_CLIENT_LAST_COMMAND_RUN;
  if (self->channel == NULL)
    return;

  exec_status =
    _afork_client_connect_channel (self, &self->exec_status, &exec_status_events, &error);
  if (exec_status < 0)
    {
      _afork_client_kill_with_error (self, error);
      return;
    }

  if (!_afork_client_prepare_for_ready (self))
    {
      _afork_fd_close (exec_status);
      return;
    }

  bytes = _afork_client_pack_strings (argv, &frame.strings);
  _afork_client_send (self, &frame, exec_status);
}
