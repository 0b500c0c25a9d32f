/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What is known of a process, and its connections: how it is served, what it is sent, what forks it
 * has, and how it fails and ends. How it is started is in client-start.c, what it replies in
 * client-replies.c, and telling its owner in notifier.c. */

#include "config.h"

#include "client.h"
#include "client-parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "death-pipe.h"

/* Itself. */

/* A template's reports are needed as long as its fork lives, and so is it. */
static void
forget_template (AForkPeer *self)
{
  _afork_peer_stop_being_unborn (self);
  g_clear_pointer (&self->template, _afork_peer_unref);
}

/* To the process that forgets, it is as good as gone with a main context. */
static void
run_in_child (gpointer data)
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

  _afork_atfork_add_hook (&self->atfork_hook, run_in_child, self);
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
  _afork_atfork_remove_hook (&self->atfork_hook);
  forget_template (self);
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

void
_afork_peer_await_handshake (AForkPeer *self)
{
  if (self->start_timeout > 0)
    set_deadline (self, g_get_monotonic_time () + (gint64) self->start_timeout * 1000);
}

/* What it is sent. */

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
  const AForkFrame frame = { .kind = AFORK_FRAME_DEATH_PIPE, .n_fds = 1 };
  g_autoptr(AForkDeathPipe) death_pipe = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  death_pipe = _afork_death_pipe_new (&fd);
  if (death_pipe == NULL)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                           _("The process could not be made to end with its caller: %s"),
                           g_strerror (errno));
      _afork_peer_abandon (self, error);
      return;
    }

  _afork_pid_watch_set_death_pipe (self->life, death_pipe);
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

/* Signals to its forks. A process that this one may not signal is signalled by its parent, which
 * reports it. */

/* What the parent was asked for, or is to be. */
typedef struct
{
  guint32 number;               /* of the fork */
  int     signal;               /* 0: none from now on, and this is not answered */
} Request;

/* Behind the last command nothing may come until it is known whether the socket is the server's
 * still. */
static gboolean
can_be_asked (AForkPeer *self)
{
  return self->channel != NULL && (!self->told_to_run || self->gave_up || self->only_reports);
}

static void
send_request (AForkPeer     *self,
              const Request *request)
{
  const AForkFrame frame = {
    .kind = request->signal != 0 ? AFORK_FRAME_SIGNAL : AFORK_FRAME_DISOWN,
    .number = { request->number, (guint32) request->signal },
  };

  _afork_channel_send (self->channel, &frame, -1);
}

void
_afork_peer_send_requests (AForkPeer *self)
{
  if (!can_be_asked (self))
    return;

  while (self->unsent_request != NULL)
    {
      GList *link = self->unsent_request;
      Request *request = link->data;

      self->unsent_request = link->next;
      send_request (self, request);
      if (request->signal != 0)
        {
          self->n_requests_sent++;
        }
      else
        {
          g_queue_delete_link (&self->requests, link);
          g_free (request);
        }
    }

  /* Who sends a signal need not iterate the main context. */
  _afork_channel_push (self->channel);
}

static void
add_request (AForkPeer *self,
             guint32    number,
             int        signal)
{
  Request *request = g_new (Request, 1);

  *request = (Request) { number, signal };
  g_queue_push_tail (&self->requests, request);
  if (self->unsent_request == NULL)
    self->unsent_request = self->requests.tail;
  _afork_peer_send_requests (self);
}

static gboolean
request_signal (gpointer reporter,
                guint32  number,
                int      signal)
{
  AForkPeer *self = reporter;

  if (self->channel == NULL || !_afork_channel_is_open (self->channel))
    return FALSE;

  add_request (self, number, signal);
  return TRUE;
}

gboolean
_afork_peer_take_answer (AForkPeer *self,
                         guint32    number,
                         int        result)
{
  g_autofree Request *request = NULL;
  AForkLife *life;

  if (self->n_requests_sent == 0)
    return FALSE;

  request = g_queue_pop_head (&self->requests);
  self->n_requests_sent--;
  if (request->number != number)
    return FALSE;

  life = self->lives != NULL ? g_hash_table_lookup (self->lives, GUINT_TO_POINTER (number)) : NULL;
  if (life != NULL)
    _afork_life_signal_answered (life, request->signal, result);
  return TRUE;
}

void
_afork_peer_disown_fork (AForkPeer *self,
                         guint32    number)
{
  AForkLife *life = NULL;

  if (self->lives != NULL)
    life = g_hash_table_lookup (self->lives, GUINT_TO_POINTER (number));
  if (life == NULL)
    return;

  _afork_life_set_reporter (life, NULL, NULL, 0);
  add_request (self, number, 0);
}

static void
drop_requests (AForkPeer *self)
{
  g_queue_clear_full (&self->requests, g_free);
  self->n_requests_sent = 0;
  self->unsent_request = NULL;
}

/* Its forks: those that it reports on, and those that have not been heard of. */

void
_afork_peer_add_fork_life (AForkPeer *self,
                           guint32    number,
                           AForkLife *life)
{
  AForkDeathPipe *death_pipe = _afork_pid_watch_get_death_pipe (self->life);

  if (self->lives == NULL)
    self->lives = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _afork_life_unref);

  if (death_pipe != NULL)
    _afork_pid_watch_set_death_pipe (life, death_pipe);
  _afork_life_set_reporter (life, request_signal, self, number);
  g_hash_table_insert (self->lives, GUINT_TO_POINTER (number), _afork_life_ref (life));
}

AForkLife *
_afork_peer_take_fork_life (AForkPeer *self,
                            guint32    number)
{
  gpointer life = NULL;

  if (self->lives != NULL)
    g_hash_table_steal_extended (self->lives, GUINT_TO_POINTER (number), NULL, &life);
  if (life != NULL)
    _afork_life_set_reporter (life, NULL, NULL, 0);

  return life;
}

gboolean
_afork_peer_has_forks (AForkPeer *self)
{
  return self->lives != NULL && g_hash_table_size (self->lives) > 0;
}

void
_afork_peer_orphan_forks (AForkPeer *self,
                          gboolean   context_gone)
{
  g_autoptr(GHashTable) lives = g_steal_pointer (&self->lives);
  GHashTableIter iter;
  gpointer life;

  drop_requests (self);
  if (lives == NULL)
    return;

  g_hash_table_iter_init (&iter, lives);
  while (g_hash_table_iter_next (&iter, NULL, &life))
    {
      _afork_life_set_reporter (life, NULL, NULL, 0);
      if (context_gone)
        _afork_life_strand (life);
      else
        _afork_life_orphan (life);
    }
}

void
_afork_peer_be_unborn (AForkPeer *self)
{
  AForkPeer *template = self->template;

  if (template->unborn == NULL)
    template->unborn = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (template->unborn, GUINT_TO_POINTER (self->number), self);
}

void
_afork_peer_stop_being_unborn (AForkPeer *self)
{
  if (self->template != NULL && self->template->unborn != NULL)
    g_hash_table_remove (self->template->unborn, GUINT_TO_POINTER (self->number));
}

AForkPeer *
_afork_peer_find_unborn (AForkPeer *self,
                         guint32    number)
{
  return self->unborn != NULL ? g_hash_table_lookup (self->unborn, GUINT_TO_POINTER (number))
                              : NULL;
}

static int
compare_numbers (gconstpointer a,
                 gconstpointer b)
{
  const AForkPeer *first = *(AForkPeer * const *) a;
  const AForkPeer *second = *(AForkPeer * const *) b;

  return first->number < second->number ? -1 : first->number > second->number;
}

/* Whether no server was ever there that could have forked anything. */
static gboolean
was_never_started (AForkPeer *self)
{
  if (self->program != NULL)
    return !self->greeted;
  if (self->adopted)
    return !self->born;

  return self->template != NULL && was_never_started (self->template);
}

/* A fork's socket usually ends with its template's. Not if a child of a program that is no server
 * keeps that, with the unread command that holds the fork's socket. */
void
_afork_peer_settle_unborn (AForkPeer *self)
{
  const gboolean impossible = self->channel == NULL && self->failure != NULL
    && was_never_started (self);
  g_autoptr(GPtrArray) unborn = NULL;
  GHashTableIter iter;
  gpointer peer;

  if (self->unborn == NULL)
    return;

  unborn = g_ptr_array_new_with_free_func ((GDestroyNotify) _afork_peer_unref);
  g_hash_table_iter_init (&iter, self->unborn);
  while (g_hash_table_iter_next (&iter, NULL, &peer))
    g_ptr_array_add (unborn, _afork_peer_ref (peer));
  g_ptr_array_sort (unborn, compare_numbers);
  for (guint i = 0; i < unborn->len; i++)
    {
      AForkPeer *fork = g_ptr_array_index (unborn, i);

      _afork_peer_hold_tales (fork);
      if (impossible)
        _afork_peer_fail_like_template (fork, self);
      else
        _afork_peer_settle (fork);
      _afork_peer_let_tales_go (fork, TRUE);
    }
}

/* Failing and ending. */

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
describe_exit (AForkPeer *self)
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
      g_autoptr(GError) error = describe_exit (self);

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
  g_autoptr(GError) error = describe_exit (self);

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
  forget_template (self);
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
