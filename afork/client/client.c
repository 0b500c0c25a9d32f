/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a peer is: how it is made and connected, how it begins, and where it is served. */

#include "config.h"

#include "client.h"
#include "client-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "self/self-server.h"
#include "spawn.h"

/* Itself. */

/* To the process that forgets, it is as good as gone with a main context. */
static void
forget (gpointer data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  self->forgotten = TRUE;
  _afork_peer_forget_tales (self);
  g_clear_object (&self->program_socket);
  if (self->failure == NULL)
    self->failure = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                 _("The process is one of the program that this one was forked "
                                   "from"));
  if (self->channel != NULL)
    _afork_peer_drop_channel (self);
  if (self->outcome != NULL)
    {
      g_clear_pointer (&self->outcome, _afork_channel_unref);
      _afork_peer_unref (self);
    }
}

AForkPeer *
_afork_peer_new (AForkContext          *context,
                 const AForkPeerEvents *events,
                 GObject               *owner)
{
  AForkPeer *self = g_new0 (AForkPeer, 1);

  _afork_belonging_begin (&self->belonging, forget, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->home = _afork_context_ref (context);
  self->context = _afork_context_peek (context);
  /* Nobody could have asked yet to be told. */
  _afork_peer_hold_tales (self);
  g_queue_init (&self->tales);
  g_queue_init (&self->requests);
  self->events = events;
  g_weak_ref_init (&self->owner, owner);
  _afork_peer_set_life (self, _afork_life_new (self->context));
  return self;
}

void
_afork_peer_set_owner (AForkPeer             *self,
                       const AForkPeerEvents *events,
                       GObject               *owner)
{
  self->events = events;
  g_weak_ref_set (&self->owner, owner);
}

void
_afork_peer_set_begun (AForkPeer *self)
{
  if (self->begun)
    return;

  self->begun = TRUE;
  _afork_peer_let_tales_go (self, TRUE);
}

AForkPeer *
_afork_peer_ref (AForkPeer *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_peer_unref (AForkPeer *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->channel == NULL && self->outcome == NULL && self->tales_source == NULL);
  _afork_belonging_end (&self->belonging);
  _afork_peer_forget_template (self);
  _afork_peer_orphan_forks (self, FALSE);
  _afork_life_set_funcs (self->life, NULL, NULL, NULL);
  _afork_life_unref (self->life);
  g_clear_pointer (&self->unborn, g_hash_table_unref);
  g_clear_error (&self->failure);
  _afork_peer_forget_tales (self);
  g_weak_ref_clear (&self->owner);
  _afork_context_unref (self->home);
  g_free (self->program);
  g_clear_object (&self->program_socket);
  g_free (self->expected);
  g_free (self);
}

/* Its channels. */

gboolean
_afork_peer_open_channel (AForkPeer                 *self,
                          AForkChannel             **channel,
                          const AForkChannelEvents  *events,
                          int                        fd,
                          GError                   **error)
{
  *channel = _afork_channel_new (fd, self->context, events, self, error);
  if (*channel == NULL)
    return FALSE;

  _afork_peer_ref (self);
  return TRUE;
}

void
_afork_peer_drop_channel (AForkPeer *self)
{
  _afork_peer_clear_deadline (self);
  g_clear_pointer (&self->channel, _afork_channel_unref);
  _afork_peer_unref (self);
}

int
_afork_peer_connect_channel (AForkPeer                 *self,
                             AForkChannel             **channel,
                             const AForkChannelEvents  *events,
                             GError                   **error)
{
  g_auto(AForkFd) ours = -1;
  g_auto(AForkFd) theirs = -1;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
    {
      ours = _afork_fd_own (_afork_fd_avoid_standard (fds[0]));
      theirs = _afork_fd_own (_afork_fd_avoid_standard (fds[1]));
    }
  if (ours < 0 || theirs < 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A process could not be connected: %s"), g_strerror (errno));
      return -1;
    }
  if (!_afork_peer_open_channel (self, channel, events, g_steal_fd (&ours), error))
    return -1;

  return g_steal_fd (&theirs);
}

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

/* The handshake: a program that was executed, or the process at the other end of a socket that was
 * taken over, may never answer. */

void
_afork_peer_set_start_timeout (AForkPeer *self,
                               guint      timeout)
{
  self->start_timeout = timeout;
}

void
_afork_peer_clear_deadline (AForkPeer *self)
{
  _afork_source_clear (&self->deadline);
}

static GError *
new_timeout_error (AForkPeer *self)
{
  g_autofree char *seconds = g_strdup_printf ("%g", self->start_timeout / 1000.0);

  if (self->adopted)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("The process that was taken over by descriptor %d did not answer as an "
                          "AFork server does within %s seconds"),
                        self->adopted_fd, seconds);
  if (self->is_self)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("“%s” did not answer as an AFork server does within %s seconds, and was "
                          "killed: it has to call afork_init() before anything else"),
                        self->program, seconds);

  return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                      _("“%s” did not answer as an AFork server does within %s seconds, and was "
                        "killed"),
                      self->program, seconds);
}

static gboolean
is_handshake_done (AForkPeer *self)
{
  return self->adopted ? self->born : self->greeted;
}

/* The context may not have been iterated for a long time, and then the answer may be here. */
static gboolean
deadline_cb (gpointer data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);
  g_autoptr(GError) error = NULL;

  _afork_peer_clear_deadline (self);
  _afork_peer_hold_tales (self);
  _afork_channel_drain (self->channel);
  if (!is_handshake_done (self) && self->channel != NULL)
    {
      error = new_timeout_error (self);
      _afork_peer_abandon (self, error);
      /* It may not be possible to kill it, and children of it may keep its socket open. */
      if (self->channel != NULL)
        _afork_channel_close (self->channel, NULL);
    }
  _afork_peer_let_tales_go (self, FALSE);
  return G_SOURCE_REMOVE;
}

static void
set_deadline (AForkPeer *self,
              gint64     time)
{
  _afork_peer_clear_deadline (self);
  self->deadline = g_timeout_source_new (0);
  g_source_set_ready_time (self->deadline, time);
  g_source_set_static_name (self->deadline, "[afork] process deadline");
  g_source_set_callback (self->deadline, deadline_cb, self, NULL);
  g_source_attach (self->deadline, self->context);
}

static void
await_handshake (AForkPeer *self)
{
  if (self->start_timeout > 0)
    set_deadline (self, g_get_monotonic_time () + (gint64) self->start_timeout * 1000);
}

/* Beginning. */

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
      await_handshake (self);
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
      await_handshake (self);
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
      await_handshake (self);
      return;
    }

  used_up = cause != NULL ? g_error_matches (cause, AFORK_ERROR, AFORK_ERROR_SPAWN)
                          : errno == EMFILE;
  error = g_error_new (AFORK_ERROR, used_up ? AFORK_ERROR_SPAWN : AFORK_ERROR_FAILED,
                       _("No process can be taken over by descriptor %d: %s"), fd,
                       cause != NULL ? cause->message : g_strerror (errno));
  fail_to_begin (self, error);
}

/* Being let go, and being served. */

/* While it has forks, it can be asked to signal them. */
void
_afork_peer_release (AForkPeer *self)
{
  const AForkFrame leave = { .kind = AFORK_FRAME_LEAVE };

  if (self->channel == NULL || self->ready)
    return;

  if (!_afork_peer_has_forks (self))
    _afork_channel_finish (self->channel);
  else if (!self->told_to_run)
    _afork_peer_send (self, &leave, -1);
}

static void
serve_in (AForkPeer    *self,
          GMainContext *context)
{
  self->context = context;
  if (self->channel != NULL)
    _afork_channel_set_context (self->channel, context);
  if (self->outcome != NULL)
    _afork_channel_set_context (self->outcome, context);
  _afork_life_set_context (self->life, context);
  _afork_peer_move_tales (self);
  if (self->deadline != NULL)
    set_deadline (self, g_source_get_ready_time (self->deadline));
}

static void
clear_borrowed (gpointer data)
{
  AForkBorrowedPeer *borrowed = data;

  _afork_peer_unref (borrowed->peer);
}

GArray *
_afork_peer_borrow (AForkPeer    *self,
                    GMainContext *context)
{
  GArray *borrowed = g_array_new (FALSE, FALSE, sizeof (AForkBorrowedPeer));

  g_array_set_clear_func (borrowed, clear_borrowed);
  /* One whose context goes could not be given back. */
  for (AForkPeer *peer = self;
       peer != NULL && !_afork_peer_is_stranded (peer);
       peer = peer->template)
    {
      AForkBorrowedPeer one = { _afork_peer_ref (peer), peer->context };

      g_array_append_val (borrowed, one);
      serve_in (peer, context);
    }

  return borrowed;
}

void
_afork_peer_give_back (GArray *borrowed)
{
  for (guint i = 0; i < borrowed->len; i++)
    {
      AForkBorrowedPeer *one = &g_array_index (borrowed, AForkBorrowedPeer, i);

      serve_in (one->peer, one->context);
    }

  g_array_unref (borrowed);
}

AForkLife *
_afork_peer_get_life (AForkPeer *self)
{
  return self->life;
}

GError *
_afork_peer_get_failure (AForkPeer *self)
{
  return self->failure;
}

gboolean
_afork_peer_is_open (AForkPeer *self)
{
  return self->channel != NULL && self->failure == NULL && !self->told_to_run;
}

AForkContext *
_afork_peer_get_home (AForkPeer *self)
{
  return self->home;
}

gboolean
_afork_peer_is_stranded (AForkPeer *self)
{
  return self->forgotten || _afork_life_is_stranded (self->life)
    || _afork_context_is_gone (self->home);
}
