/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How a process is started: executed, forked off this program or off another process, or taken
 * over. */

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
connect_commands (AForkPeer  *self,
                  GError    **error)
{
  return _afork_peer_connect_channel (self, &self->channel, &_afork_peer_channel_events, error);
}

/* A process whose pidfd finds no room could not be ended any more, whatever it does. So that is
 * kept before the process is there. */
static gboolean
expect_birth (AForkPeer  *self,
              GError    **error)
{
  if (_afork_channel_expect_fds (self->channel, 1))
    return TRUE;

  g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
               _("A process could not be connected: %s"), g_strerror (errno));
  return FALSE;
}

static void
fail_to_begin (AForkPeer    *self,
               const GError *error)
{
  _afork_peer_fail_to_start (self, error);
  if (self->channel != NULL)
    _afork_channel_close (self->channel, NULL);
}

/* What PATH is called in messages, where this program's own tells nobody which that is. */
static const char *
get_program_name (const char *path)
{
  return strcmp (path, "/proc/self/exe") == 0 ? program_invocation_short_name : path;
}

void
_afork_peer_spawn (AForkPeer          *self,
                   const char * const *argv,
                   const char * const *environment,
                   const char         *working_directory,
                   AForkSpawnSocket    how)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GError) error = NULL;
  GPid pid;
  int socket, pidfd;

  self->program = g_filename_display_name (get_program_name (argv[0]));
  self->is_self = how == AFORK_SPAWN_SOCKET_HIDDEN;
  socket = connect_commands (self, &error);
  if (socket >= 0
      && _afork_spawn (argv, environment, working_directory, how, socket, &pid, &pidfd, &error))
    {
      _afork_life_adopt (self->life, pid, pidfd);
      _afork_peer_await_handshake (self);
      return;
    }

  fail_to_begin (self, error);
}

void
_afork_peer_fork_program (AForkPeer *self)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GError) error = NULL;
  int socket, pidfd;
  GPid pid;

  self->program = g_strdup (g_get_prgname () != NULL ? g_get_prgname () : "a fork of the program");
  /* A second thread is what is told of, whatever else there is not, for that will not pass. */
  socket = _afork_program_check_threads (&error) ? connect_commands (self, &error) : -1;
  if (socket >= 0 && _afork_program_fork (socket, &pid, &pidfd, &error))
    {
      _afork_life_adopt (self->life, pid, pidfd);
      _afork_peer_await_handshake (self);
      return;
    }

  fail_to_begin (self, error);
}

void
_afork_peer_fork (AForkPeer *self,
                  AForkPeer *template)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  AForkFrame frame = { .kind = AFORK_FRAME_FORK, .n_fds = 1 };
  g_autoptr(GError) error = NULL;
  g_auto(AForkFd) socket = -1;

  self->template = _afork_peer_ref (template);
  self->number = ++template->last_number;
  if (template->failure != NULL)
    {
      _afork_peer_fail_like_template (self, template);
      return;
    }
  if (_afork_peer_is_stranded (template))
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                           _("The process could not be forked from its template: the main context "
                             "of that is gone"));
      _afork_peer_fail_to_start (self, error);
      return;
    }
  if (template->told_to_run)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                           _("The process could not be forked from its template: that was run"));
      _afork_peer_fail_to_start (self, error);
      return;
    }

  socket = connect_commands (self, &error);
  if (socket < 0 || !expect_birth (self, &error))
    {
      fail_to_begin (self, error);
      return;
    }

  _afork_peer_be_unborn (self);
  _afork_peer_add_fork_life (template, self->number, self->life);

  /* The fork's own commands should be there before it looks for them. */
  frame.number[0] = self->number;
  _afork_peer_send (template, &frame, g_steal_fd (&socket));
  if (template->channel != NULL)
    _afork_channel_send_first (template->channel, self->channel);
}

/* Who has forked the process reports its end elsewhere; here it is seen by its pidfd, and so is
 * how it ended where the kernel tells. */
void
_afork_peer_adopt (AForkPeer *self,
                   int        fd)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_IDENTIFY,
    .number = { AFORK_WIRE_VERSION },
  };
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) cause = NULL;
  gboolean used_up;
  int socket;

  self->adopted = TRUE;
  self->adopted_fd = fd;
  self->number = 1;
  _afork_life_orphan (self->life);
  socket = _afork_fd_avoid_standard (fd);
  if (socket >= 0 && fcntl (socket, F_SETFD, FD_CLOEXEC) == 0
      && _afork_peer_open_channel (self, &self->channel, &_afork_peer_channel_events, socket,
                                   &cause)
      && expect_birth (self, &cause))
    {
      _afork_peer_send (self, &frame, -1);
      _afork_peer_await_handshake (self);
      return;
    }

  used_up = cause != NULL ? g_error_matches (cause, AFORK_ERROR, AFORK_ERROR_SPAWN)
                          : errno == EMFILE;
  error = g_error_new (AFORK_ERROR, used_up ? AFORK_ERROR_SPAWN : AFORK_ERROR_FAILED,
                       _("No process can be taken over by descriptor %d: %s"), fd,
                       cause != NULL ? cause->message : g_strerror (errno));
  fail_to_begin (self, error);
}
