/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Starts a process: executes a program, forks this program or another process, or takes over a
 * process of another caller. */

#include "config.h"

#include "client-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "afork-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "self/self-server.h"
#include "spawn.h"

static int
connect_command_channel (AForkClient  *self,
                         GError      **error)
{
  return _afork_client_connect_channel (self, &self->channel, &_afork_client_channel_events, error);
}

/* If there were no descriptor for the pidfd of a process, the process could not be killed. So one
 * is reserved before the process exists. */
static gboolean
reserve_pidfd (AForkClient  *self,
               GError      **error)
{
  if (_afork_channel_reserve_fds (self->channel, 1))
    return TRUE;

  g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
               _("A process could not be connected: %s"), g_strerror (errno));
  return FALSE;
}

static void
fail_start (AForkClient  *self,
            const GError *error)
{
  _afork_client_fail_to_start (self, error);
  if (self->channel != NULL)
    _afork_channel_close (self->channel, NULL);
}

/* The name of PATH in messages. The path by which this program executes itself would say
 * nothing. */
static const char *
get_program_name (const char *path)
{
  return strcmp (path, "/proc/self/exe") == 0 ? program_invocation_short_name : path;
}

void
_afork_client_spawn (AForkClient        *self,
                     const char * const *argv,
                     const char * const *environment,
                     const char         *working_directory,
                     AForkSpawnSocket    how,
                     const char         *hint)
{
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);
  g_autoptr(GError) error = NULL;
  GPid pid;
  int socket, pidfd;

  _afork_client_set_state (self, AFORK_CLIENT_STATE_STARTING);
  self->program = g_filename_display_name (get_program_name (argv[0]));
  self->start_hint = hint;
  socket = connect_command_channel (self, &error);
  if (socket >= 0
      && _afork_spawn (argv, environment, working_directory, how, socket, &pid, &pidfd, &error))
    {
      _afork_pid_watch_watch_child (self->pid_watch, pid, pidfd);
      _afork_client_await_handshake (self);
      return;
    }

  fail_start (self, error);
}

void
_afork_client_fork_program (AForkClient *self)
{
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);
  g_autoptr(GError) error = NULL;
  int socket, pidfd;
  GPid pid = 0;

  _afork_client_set_state (self, AFORK_CLIENT_STATE_STARTING);
  self->program = g_strdup (g_get_prgname () != NULL ? g_get_prgname () : "a fork of the program");
  /* First, because a second thread is a permanent error, and a lack of descriptors is not. */
  socket = _afork_self_server_check_threads (&error) ? connect_command_channel (self, &error) : -1;
  if (socket >= 0 && _afork_self_server_fork (socket, &pid, &pidfd, &error))
    {
      _afork_pid_watch_watch_child (self->pid_watch, pid, pidfd);
      _afork_client_await_handshake (self);
      return;
    }

  if (pid != 0)
    _afork_pid_watch_discard_child (_afork_get_thread_context (), pid);
  fail_start (self, error);
}

void
_afork_client_fork (AForkClient *self,
                    AForkClient *template)
{
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);
  AForkFrame frame = { .kind = AFORK_FRAME_FORK, .n_fds = 1 };
  g_autoptr(GError) error = NULL;
  g_auto(AForkFd) socket = -1;

  _afork_client_set_state (self, AFORK_CLIENT_STATE_STARTING);
  self->template = _afork_client_ref (template);
  self->number = ++template->last_number;
  if (template->host != NULL)
    {
      self->host = _afork_host_ref (template->host);
      _afork_pid_watch_set_host (self->pid_watch, self->host);
    }
  if (template->failure != NULL)
    {
      _afork_client_fail_like_template (self, template);
      return;
    }
  if (_afork_client_is_context_lost (template))
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                           _("The process could not be forked from its template, whose main "
                             "context is gone"));
      _afork_client_fail_to_start (self, error);
      return;
    }
  if (_afork_client_has_last_command (template))
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                           _("The process could not be forked from its template, which was run"));
      _afork_client_fail_to_start (self, error);
      return;
    }

  socket = connect_command_channel (self, &error);
  if (socket < 0 || (self->host == NULL && !reserve_pidfd (self, &error)))
    {
      fail_start (self, error);
      return;
    }

  _afork_client_add_pending_fork (self);
  _afork_client_add_fork_watch (template, self->number, self->pid_watch);

  /* The fork's own commands should be there before it reads. */
  frame.number[0] = self->number;
  _afork_client_send (template, &frame, g_steal_fd (&socket));
  if (template->channel != NULL)
    _afork_channel_send_first (template->channel, self->channel);
}

/* The parent of the process reports its exit to another caller. Here the exit is seen by the pidfd,
 * and so is the exit status if the kernel reports it. */
void
_afork_client_attach_fd (AForkClient *self,
                         int          fd)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_IDENTIFY,
    .number = { AFORK_WIRE_VERSION },
  };
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) cause = NULL;
  gboolean used_up;
  int socket;

  _afork_client_set_state (self, AFORK_CLIENT_STATE_STARTING);
  self->attached = TRUE;
  self->attached_fd = fd;
  self->number = 1;
  _afork_pid_watch_set_unreported (self->pid_watch);
  socket = _afork_fd_avoid_standard (fd);
  if (socket >= 0 && fcntl (socket, F_SETFD, FD_CLOEXEC) == 0
      && _afork_client_open_channel (self, &self->channel, &_afork_client_channel_events, socket,
                                     &cause)
      && reserve_pidfd (self, &cause))
    {
      _afork_client_send (self, &frame, -1);
      _afork_client_await_handshake (self);
      return;
    }

  used_up = cause != NULL ? g_error_matches (cause, AFORK_ERROR, AFORK_ERROR_SPAWN)
                          : errno == EMFILE;
  error = g_error_new (AFORK_ERROR, used_up ? AFORK_ERROR_SPAWN : AFORK_ERROR_FAILED,
                       _("No process can be taken over by descriptor %d: %s"), fd,
                       cause != NULL ? cause->message : g_strerror (errno));
  fail_start (self, error);
}
