/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-peer-private.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "afork-belonging-private.h"
#include "afork-blocking-private.h"
#include "afork-channel-private.h"
#include "afork-context-private.h"
#include "afork-error.h"
#include "afork-fd-private.h"
#include "afork-i18n-private.h"
#include "afork-program-private.h"
#include "afork-spawn-private.h"

struct _AForkPeer
{
  AForkBelonging         belonging;     /* the channels */
  gatomicrefcount        ref_count;
  GMainContext          *home;          /* that of its owner; not a reference */
  GMainContext          *context;       /* in which it is served now */
  const AForkPeerEvents *events;
  GWeakRef               owner;

  GQueue                 tales;         /* of Tale */
  GSource               *tales_source;  /* NULL if there are none; holds a reference */

  AForkChannel          *channel;       /* NULL once handed over or closed */
  AForkLife             *life;
  GError                *failure;       /* set once */
  gboolean               closed;        /* the command socket ended with no function entered */
  gboolean               ready;         /* the command socket is no longer ours … */
  gboolean               running;       /* … but a function's or a program's */
  gboolean               forgotten;     /* it is one of the program that this one was forked from */

  char                  *program;       /* of one that is executed, for messages */
  gboolean               greeted;       /* … and it has answered as a server does */

  AForkPeer             *template;      /* of one that is forked, until its life has ended */
  guint32                number;        /* … what that calls it: not 0 */
  gboolean               adopted;       /* forked for another caller: by whom is not known */
  gboolean               born;          /* … and it has been heard of */

  gboolean               told_to_run;
  gboolean               gave_up;       /* it has said why it does nothing more */

  AForkChannel          *outcome;       /* that tells how executing a program went, or NULL */
  GSocket               *program_socket;  /* the program's other end, until that is known */

  guint32                last_number;   /* that a fork was given */
  char                  *expected;      /* the function that a fork was told to run last, or NULL */
  GHashTable            *lives;         /* number → AForkLife of forks it reports; or NULL */
  GPtrArray             *unborn;        /* forks not heard of, which remove themselves; or NULL */
};

static const AForkChannelEvents channel_events;

static void settle          (AForkPeer *self);
static void forget_template (AForkPeer *self);

/* Telling the owner. It may drop the last reference to itself meanwhile. */

static void
tell_known_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->known (owner);
}

static void
tell_ready_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->ready (owner, socket);
}

static void
tell_failed_now (AForkPeer *self,
                 GObject   *owner,
                 GSocket   *socket)
{
  self->events->failed (owner, self->failure);
}

static void
tell_ended_now (AForkPeer *self,
                GObject   *owner,
                GSocket   *socket)
{
  self->events->ended (owner);
}

typedef void (*TellFunc) (AForkPeer *self,
                          GObject   *owner,
                          GSocket   *socket);

/* What is told later, when the context in which the peer is served turns. */
typedef struct
{
  TellFunc  func;
  GSocket  *socket;             /* or NULL */
} Tale;

static void
tale_free (gpointer data)
{
  Tale *tale = data;

  g_clear_object (&tale->socket);
  g_free (tale);
}

static void
forget_tales_source (AForkPeer *self)
{
  _afork_source_clear (&self->tales_source);
}

static gboolean
tell_tales_cb (gpointer data)
{
  AForkPeer *self = data;

  forget_tales_source (self);
  while (!g_queue_is_empty (&self->tales) && self->tales_source == NULL)
    {
      g_autoptr(GObject) owner = g_weak_ref_get (&self->owner);
      Tale *tale = g_queue_pop_head (&self->tales);

      if (owner != NULL)
        tale->func (self, owner, tale->socket);
      tale_free (tale);
    }

  return G_SOURCE_REMOVE;
}

static void
schedule_tales (AForkPeer *self)
{
  forget_tales_source (self);
  self->tales_source = g_idle_source_new ();
  g_source_set_static_name (self->tales_source, "[afork] process told later");
  g_source_set_priority (self->tales_source, G_PRIORITY_DEFAULT);
  g_source_set_callback (self->tales_source, tell_tales_cb, _afork_peer_ref (self),
                         (GDestroyNotify) _afork_peer_unref);
  g_source_attach (self->tales_source, self->context);
}

static void
tell_later (AForkPeer *self,
            TellFunc   func,
            GSocket   *socket)
{
  Tale *tale = g_new0 (Tale, 1);

  tale->func = func;
  tale->socket = socket != NULL ? g_object_ref (socket) : NULL;
  g_queue_push_tail (&self->tales, tale);
  if (self->tales_source == NULL)
    schedule_tales (self);
}

/* A blocking call for one process sees what becomes of others, too, by the template that they have
 * in common. That is kept until their own context turns. */
static void
tell (AForkPeer *self,
      TellFunc   func,
      GSocket   *socket)
{
  GMainContext *blocking = _afork_blocking_get_context ();
  g_autoptr(GObject) owner = NULL;

  if ((blocking != NULL && blocking != self->context) || !g_queue_is_empty (&self->tales))
    {
      tell_later (self, func, socket);
      return;
    }

  owner = g_weak_ref_get (&self->owner);
  if (owner != NULL)
    func (self, owner, socket);
}

/* Failure. */

/* Forks of SELF that have not been heard of by now may never have come to be. */
static void
settle_unborn (AForkPeer *self)
{
  g_autoptr(GPtrArray) unborn = NULL;

  if (self->unborn == NULL)
    return;

  unborn = g_ptr_array_copy (self->unborn, (GCopyFunc) _afork_peer_ref, NULL);
  g_ptr_array_set_free_func (unborn, (GDestroyNotify) _afork_peer_unref);
  for (guint i = 0; i < unborn->len; i++)
    settle (g_ptr_array_index (unborn, i));
}

static void
fail (AForkPeer    *self,
      const GError *error)
{
  if (self->failure != NULL || self->running)
    return;

  self->failure = g_error_copy (error);
  tell (self, tell_failed_now, NULL);
  settle_unborn (self);
}

/* It never came to be, and ERROR is why. */
static void
fail_to_start (AForkPeer    *self,
               const GError *error)
{
  fail (self, error);
  _afork_life_end (self->life, -1, 0, 0, 0);
}

/* What happened to its template before it was forked from it. */
static void
fail_like_template (AForkPeer *self)
{
  g_autoptr(GError) error = g_error_copy (self->template->failure);

  g_prefix_error (&error, "%s ", _("The process could not be forked from its template:"));
  fail_to_start (self, error);
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
  if (WIFSIGNALED (status))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SIGNALED,
                        _("%s was ended by signal %d (%s) before its function was entered"),
                        name, WTERMSIG (status), g_strsignal (WTERMSIG (status)));
  if (self->program != NULL && !self->greeted)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("“%s” exited with status %d and never answered as an AFork server does"),
                        self->program, WEXITSTATUS (status));

  return g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED,
                      _("%s exited with status %d before its function was entered"),
                      name, WEXITSTATUS (status));
}

/* Finds out why SELF, whose command socket has ended, will not run its function, and sees to it
 * that its life ends, as soon as that can be; called again whenever more is known. */
static void
settle (AForkPeer *self)
{
  AForkPeer *template = self->template;

  if (!self->closed)
    return;

  if (_afork_life_has_ended (self->life))
    {
      g_autoptr(GError) error = describe_end (self);

      fail (self, error);
    }
  else if (_afork_life_is_known (self->life))
    {
      /* It ends just now; or else it has closed its socket and lives on, and nothing can be done
       * with it any more. A process that has begun to exit keeps its status. */
      _afork_life_send_signal (self->life, SIGKILL);
    }
  else if (template == NULL || (template->channel == NULL && !template->closed))
    {
      /* Whoever could have told has been handed over, or is gone. */
      _afork_life_end (self->life, -1, 0, 0, 0);
    }
  else if (template->failure != NULL && (self->failure == NULL || template->channel == NULL))
    {
      /* One that has failed itself is perhaps still reported. */
      fail_like_template (self);
    }
}

/* Life. */

static void
life_ended_cb (AForkLife *life,
               gpointer   data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  if (self->outcome != NULL && !_afork_life_is_stranded (life))
    _afork_channel_drain (self->outcome);
  /* What it sent before it ended is here by now, and comes first. More will not come, even if some
   * process that a module started still has the socket. Without a context nothing can come. */
  if (self->channel != NULL && !self->ready && !_afork_life_is_stranded (life))
    _afork_channel_drain (self->channel);
  if (self->channel != NULL && !self->ready)
    _afork_channel_close (self->channel, NULL);

  settle (self);
  forget_template (self);
  if (life == self->life)
    tell (self, tell_ended_now, NULL);
}

static void
set_life (AForkPeer *self,
          AForkLife *life)
{
  if (self->life != NULL)
    {
      _afork_life_set_ended_func (self->life, NULL, NULL);
      _afork_life_unref (self->life);
    }

  self->life = life;
  _afork_life_set_ended_func (life, life_ended_cb, self);
}

/* The lives of forks, and of the fork that is the worker, hang on what theirs does. */
static void
share_lifeline (AForkLife *life,
                AForkLife *template)
{
  AForkLifeline *lifeline = _afork_life_get_lifeline (template);

  if (lifeline != NULL)
    _afork_life_set_lifeline (life, lifeline);
}

static void
add_fork_life (AForkPeer *self,
               guint32    number,
               AForkLife *life)
{
  if (self->lives == NULL)
    self->lives = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _afork_life_unref);

  g_hash_table_insert (self->lives, GUINT_TO_POINTER (number), _afork_life_ref (life));
}

/* Nobody will report the ends of our forks any more. They are watched in our context, unless that
 * is gone. */
static void
orphan_forks (AForkPeer *self,
              gboolean   context_gone)
{
  g_autoptr(GHashTable) lives = g_steal_pointer (&self->lives);
  GHashTableIter iter;
  gpointer life;

  if (lives == NULL)
    return;

  g_hash_table_iter_init (&iter, lives);
  while (g_hash_table_iter_next (&iter, NULL, &life))
    {
      if (context_gone)
        _afork_life_strand (life);
      else
        _afork_life_orphan (life);
    }
}

static void
stop_being_unborn (AForkPeer *self)
{
  if (self->template != NULL && self->template->unborn != NULL)
    g_ptr_array_remove_fast (self->template->unborn, self);
}

/* Its reports are needed as long as we live, and so is it. */
static void
forget_template (AForkPeer *self)
{
  stop_being_unborn (self);
  g_clear_pointer (&self->template, _afork_peer_unref);
}

/* Frames. */

static int
to_error_code (guint32 wire_error)
{
  switch (wire_error)
    {
    case AFORK_WIRE_ERROR_PROTOCOL:
      return AFORK_ERROR_PROTOCOL;
    case AFORK_WIRE_ERROR_MODULE:
      return AFORK_ERROR_MODULE;
    case AFORK_WIRE_ERROR_EVAL:
      return AFORK_ERROR_EVAL;
    case AFORK_WIRE_ERROR_FUNCTION:
      return AFORK_ERROR_FUNCTION;
    case AFORK_WIRE_ERROR_THREADS:
      return AFORK_ERROR_THREADS;
    case AFORK_WIRE_ERROR_SANDBOX:
      return AFORK_ERROR_SANDBOX;
    case AFORK_WIRE_ERROR_NOT_SUPPORTED:
      return AFORK_ERROR_NOT_SUPPORTED;
    case AFORK_WIRE_ERROR_SPAWN:
      return AFORK_ERROR_SPAWN;
    default:
      return AFORK_ERROR_FAILED;
    }
}

/* The text is another process's, which may send what it likes. */
static GError *
make_remote_error (guint32     wire_error,
                   const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  return g_error_new_literal (AFORK_ERROR, to_error_code (wire_error), valid);
}

static gboolean
refuse (const AForkFrame  *frame,
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

/* What is no pidfd would never tell of an end. */
static gboolean
is_pidfd (int fd)
{
  siginfo_t info;

  return waitid (P_PIDFD, (id_t) fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno == ECHILD;
}

/* READY comes when everything that was sent has been read. A fork's first answer has its pidfd with
 * it, and no other has one; but if a fork of it goes on as the worker, there are two descriptors in
 * any case. */
static gboolean
is_ready_in_place (AForkPeer        *self,
                   const AForkFrame *frame,
                   const int        *fds)
{
  gboolean has_forks = self->lives != NULL && g_hash_table_size (self->lives) > 0;

  if (!self->told_to_run || !_afork_channel_is_sent (self->channel))
    return FALSE;
  if (frame->n_fds == 2)
    return has_forks && is_pidfd (fds[0]);
  if (frame->n_fds == 1)
    return is_unborn (self) && is_pidfd (fds[0]);

  return !is_unborn (self);
}

/* Whether a server could send FRAME now. */
static gboolean
is_in_place (AForkPeer        *self,
             const AForkFrame *frame,
             const int        *fds)
{
  const gboolean is_report = frame->kind == AFORK_FRAME_EXITED
    || frame->kind == AFORK_FRAME_FORK_FAILED;

  /* A program that is executed greets before anything else. One that has given up still reports on
   * its forks, and nothing else comes where a function has the socket. */
  if (self->program != NULL && !self->greeted)
    return frame->kind == AFORK_FRAME_HELLO;
  if (self->ready)
    return frame->kind == AFORK_FRAME_EXITED;
  if (self->gave_up)
    return is_report;

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_BORN:
      return is_unborn (self) && is_pidfd (fds[0]);
    case AFORK_FRAME_READY:
      return is_ready_in_place (self, frame, fds);
    case AFORK_FRAME_ERROR:
      return frame->n_fds == 0 || is_pidfd (fds[0]);
    default:
      return is_report;
    }
}

static gboolean
hello_came (AForkPeer         *self,
            const AForkFrame  *frame,
            GError           **error)
{
  if (strcmp (frame->string[0], AFORK_WIRE_MAGIC) != 0)
    return refuse (frame, error);
  if (frame->number[0] != AFORK_WIRE_VERSION)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                   _("“%s” speaks version %u of the protocol, and this library version %u"),
                   self->program, frame->number[0], AFORK_WIRE_VERSION);
      return FALSE;
    }

  self->greeted = TRUE;
  if (!self->told_to_run)
    _afork_channel_ask_sender (self->channel, FALSE);
  tell (self, tell_known_now, NULL);
  return TRUE;
}

/* A fork is heard of for the first time; *PIDFD is its own. */
static void
be_born (AForkPeer *self,
         GPid       pid,
         int       *pidfd)
{
  self->born = TRUE;
  stop_being_unborn (self);
  if (self->channel != NULL && !self->told_to_run)
    _afork_channel_ask_sender (self->channel, FALSE);
  _afork_life_bear (self->life, pid, g_steal_fd (pidfd));
  tell (self, tell_known_now, NULL);
}

/* The channel keeps its peer as long as it is open. Takes FD. */
static gboolean
open_channel (AForkPeer                 *self,
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

static void
drop_channel (AForkPeer *self)
{
  g_clear_pointer (&self->channel, _afork_channel_unref);
  _afork_peer_unref (self);
}

/* The worker is a fork of the process that we knew, which goes on reporting on REPORTS. */
static void
follow_worker (AForkPeer *self,
               GPid       pid,
               int       *pidfd,
               int       *reports)
{
  g_autoptr(GError) error = NULL;
  AForkLife *life = _afork_life_new (self->context);

  share_lifeline (life, self->life);
  add_fork_life (self, AFORK_WORKER_NUMBER, life);
  /* Where it is our child, it is still to be reaped, and not with a call that waits just now. */
  _afork_life_set_context (self->life, self->home);
  set_life (self, life);
  self->born = TRUE;
  _afork_life_bear (life, pid, g_steal_fd (pidfd));
  if (!open_channel (self, &self->channel, &channel_events, g_steal_fd (reports), &error))
    {
      g_debug ("The reports of process %d are lost: %s", (int) pid, error->message);
      orphan_forks (self, FALSE);
    }
  tell (self, tell_known_now, NULL);
}

static gboolean
ready_came (AForkPeer        *self,
            const AForkFrame *frame,
            int              *fds,
            GPid              pid)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GSocket) socket = _afork_channel_steal_socket (self->channel);

  drop_channel (self);
  /* If nobody wants it any more, it finds its socket closed. */
  self->ready = self->failure == NULL;
  self->running = self->ready && self->outcome == NULL;
  /* First of all: the process may turn out to have ended, and then the outcome comes at once. */
  if (self->outcome != NULL)
    self->program_socket = g_steal_pointer (&socket);
  if (frame->n_fds == 1)
    be_born (self, pid, &fds[0]);
  if (frame->n_fds == 2)
    follow_worker (self, pid, &fds[0], &fds[1]);
  else
    orphan_forks (self, FALSE);
  /* Without reports, nothing will be heard of those whose sockets have ended. */
  if (self->channel == NULL)
    settle_unborn (self);

  if (socket != NULL && self->running)
    tell (self, tell_ready_now, socket);
  return TRUE;
}

static gboolean
error_came (AForkPeer        *self,
            const AForkFrame *frame,
            int              *fds,
            GPid              pid)
{
  g_autoptr(GError) error = make_remote_error (frame->number[0], frame->string[0]);

  self->gave_up = TRUE;
  if (frame->n_fds == 1 && is_unborn (self))
    be_born (self, pid, &fds[0]);
  fail (self, error);
  return TRUE;
}

static gboolean
fork_failed_came (AForkPeer         *self,
                  const AForkFrame  *frame,
                  GError           **error)
{
  guint32 number = frame->number[0];
  g_autoptr(AForkLife) life = NULL;
  g_autoptr(GError) cause = NULL;

  if (self->lives == NULL
      || !g_hash_table_steal_extended (self->lives, GUINT_TO_POINTER (number), NULL,
                                       (gpointer *) &life))
    return refuse (frame, error);

  cause = make_remote_error (frame->number[1], frame->string[0]);
  for (guint i = 0; self->unborn != NULL && i < self->unborn->len; i++)
    {
      g_autoptr(AForkPeer) fork = _afork_peer_ref (g_ptr_array_index (self->unborn, i));

      if (fork->number == number)
        {
          fail_to_start (fork, cause);
          break;
        }
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
  gpointer number = GUINT_TO_POINTER (frame->number[0]);
  g_autoptr(AForkLife) life = NULL;
  int wait_status = -1;

  if (self->lives == NULL
      || !g_hash_table_steal_extended (self->lives, number, NULL, (gpointer *) &life))
    return refuse (frame, error);

  if (frame->exit.wait_status <= G_MAXUINT16)
    wait_status = (int) frame->exit.wait_status;
  _afork_life_end (life, wait_status, frame->exit.user_usec, frame->exit.system_usec,
                   frame->exit.max_rss_kib);
  return TRUE;
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

  if (!is_in_place (self, frame, fds))
    return refuse (frame, error);

  switch ((int) frame->kind)
    {
    case AFORK_FRAME_HELLO:
      return hello_came (self, frame, error);
    case AFORK_FRAME_BORN:
      be_born (self, pid, &fds[0]);
      return TRUE;
    case AFORK_FRAME_READY:
      return ready_came (self, frame, fds, pid);
    case AFORK_FRAME_ERROR:
      return error_came (self, frame, fds, pid);
    case AFORK_FRAME_FORK_FAILED:
      return fork_failed_came (self, frame, error);
    case AFORK_FRAME_EXITED:
      return exited_came (self, frame, error);
    default:
      return refuse (frame, error);
    }
}

/* The main context is gone. The other process is not to blame: it finds its socket closed, and ends
 * when it has done what it was told. */
static void
be_stranded (AForkPeer *self)
{
  if (self->closed)
    _afork_life_strand (self->life);
  settle (self);
  settle_unborn (self);
  orphan_forks (self, TRUE);
}

/* The socket of a process that another caller gave away has ended, and nothing was heard of it. */
static void
fail_to_adopt (AForkPeer *self)
{
  g_autoptr(GError) error = NULL;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                       _("The process that the descriptor belonged to has ended"));
  fail_to_start (self, error);
}

static void
closed_cb (AForkChannel *channel,
           const GError *error,
           gpointer      data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  drop_channel (self);
  self->closed = !self->ready;
  if (g_error_matches (error, AFORK_ERROR, AFORK_ERROR_CLOSED)
      || _afork_life_is_stranded (self->life))
    {
      be_stranded (self);
      return;
    }

  orphan_forks (self, FALSE);
  if (self->closed && error != NULL)
    {
      _afork_life_send_signal (self->life, SIGKILL);
      fail (self, error);
    }
  if (self->adopted && !_afork_life_is_known (self->life))
    fail_to_adopt (self);

  settle (self);
  settle_unborn (self);
}

static const AForkChannelEvents channel_events = { frame_cb, closed_cb };

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
    return refuse (frame, error);

  cause = make_remote_error (frame->number[0], frame->string[0]);
  let_ready_come_first (self);
  g_clear_object (&self->program_socket);
  fail (self, cause);
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

  if (error == NULL)
    let_ready_come_first (self);

  g_clear_pointer (&self->outcome, _afork_channel_unref);
  socket = g_steal_pointer (&self->program_socket);
  if (error != NULL)
    {
      fail (self, error);
    }
  else if (socket != NULL && self->failure == NULL)
    {
      self->running = TRUE;
      tell (self, tell_ready_now, socket);
    }
}

static const AForkChannelEvents outcome_events = { outcome_frame_cb, outcome_closed_cb };

/* Beginning. */

/* To the process that forgets, it is as good as gone with a main context. */
static void
forget (gpointer data)
{
  g_autoptr(AForkPeer) self = _afork_peer_ref (data);

  self->forgotten = TRUE;
  forget_tales_source (self);
  g_queue_clear_full (&self->tales, tale_free);
  g_clear_object (&self->program_socket);
  if (self->failure == NULL)
    self->failure = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                                 _("The process is one of the program that this one was forked "
                                   "from"));
  if (self->channel != NULL)
    drop_channel (self);
  if (self->outcome != NULL)
    {
      g_clear_pointer (&self->outcome, _afork_channel_unref);
      _afork_peer_unref (self);
    }
}

AForkPeer *
_afork_peer_new (GMainContext          *context,
                 const AForkPeerEvents *events,
                 GObject               *owner)
{
  AForkPeer *self = g_new0 (AForkPeer, 1);

  _afork_belonging_begin (&self->belonging, forget, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->home = context;
  self->context = context;
  g_queue_init (&self->tales);
  self->events = events;
  g_weak_ref_init (&self->owner, owner);
  set_life (self, _afork_life_new (context));
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

  g_assert (self->channel == NULL && self->outcome == NULL);
  _afork_belonging_end (&self->belonging);
  forget_template (self);
  orphan_forks (self, FALSE);
  _afork_life_set_ended_func (self->life, NULL, NULL);
  _afork_life_unref (self->life);
  g_clear_pointer (&self->unborn, g_ptr_array_unref);
  g_clear_error (&self->failure);
  g_queue_clear_full (&self->tales, tale_free);
  g_weak_ref_clear (&self->owner);
  g_free (self->program);
  g_clear_object (&self->program_socket);
  g_free (self->expected);
  g_free (self);
}

/* Opens *CHANNEL, which keeps its peer as long as it is open, and returns its other end, or -1. */
static int
connect_channel (AForkPeer                 *self,
                 AForkChannel             **channel,
                 const AForkChannelEvents  *events,
                 GError                   **error)
{
  g_auto(AForkFd) ours = -1;
  g_auto(AForkFd) theirs = -1;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
    {
      ours = _afork_fd_avoid_standard (fds[0]);
      theirs = _afork_fd_avoid_standard (fds[1]);
    }
  if (ours < 0 || theirs < 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A process could not be connected: %s"), g_strerror (errno));
      return -1;
    }
  if (!open_channel (self, channel, events, g_steal_fd (&ours), error))
    return -1;

  return g_steal_fd (&theirs);
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

  self->program = g_strdup (argv[0]);
  socket = connect_channel (self, &self->channel, &channel_events, &error);
  if (socket >= 0
      && _afork_spawn (argv, environment, working_directory, how, socket, &pid, &pidfd, &error))
    {
      _afork_life_adopt (self->life, pid, pidfd);
      return;
    }

  fail_to_start (self, error);
  if (self->channel != NULL)
    _afork_channel_close (self->channel, NULL);
}

void
_afork_peer_fork_program (AForkPeer *self)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);
  g_autoptr(GError) error = NULL;
  int socket, pidfd;
  GPid pid;

  self->program = g_strdup (g_get_prgname () != NULL ? g_get_prgname () : "a fork of the program");
  socket = connect_channel (self, &self->channel, &channel_events, &error);
  if (socket >= 0 && _afork_program_fork (socket, &pid, &pidfd, &error))
    {
      _afork_life_adopt (self->life, pid, pidfd);
      return;
    }

  fail_to_start (self, error);
  if (self->channel != NULL)
    _afork_channel_close (self->channel, NULL);
}

void
_afork_peer_fork (AForkPeer *self,
                  AForkPeer *template)
{
  AForkFrame frame = { .kind = AFORK_FRAME_FORK, .n_fds = 1 };
  g_autoptr(GError) error = NULL;
  int socket;

  self->template = _afork_peer_ref (template);
  self->number = ++template->last_number;
  if (template->failure != NULL)
    {
      fail_like_template (self);
      return;
    }
  if (template->told_to_run)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                           _("The process could not be forked from its template: that was run"));
      fail_to_start (self, error);
      return;
    }

  socket = connect_channel (self, &self->channel, &channel_events, &error);
  if (socket < 0)
    {
      fail_to_start (self, error);
      return;
    }

  if (template->unborn == NULL)
    template->unborn = g_ptr_array_new ();
  g_ptr_array_add (template->unborn, self);
  add_fork_life (template, self->number, self->life);
  share_lifeline (self->life, template->life);

  /* The fork's own commands should be there before it looks for them. */
  frame.number[0] = self->number;
  _afork_peer_send (template, &frame, socket);
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
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) cause = NULL;
  int socket;

  self->adopted = TRUE;
  self->number = 1;
  _afork_life_orphan (self->life);
  socket = _afork_fd_avoid_standard (fd);
  if (socket >= 0 && fcntl (socket, F_SETFD, FD_CLOEXEC) == 0
      && open_channel (self, &self->channel, &channel_events, socket, &cause))
    {
      _afork_peer_send (self, &frame, -1);
      return;
    }

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                       _("No process can be taken over by descriptor %d: %s"), fd,
                       cause != NULL ? cause->message : g_strerror (errno));
  fail_to_start (self, error);
}

/* Commands. */

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
    _afork_peer_refuse_large (self, frame);
}

void
_afork_peer_refuse_large (AForkPeer        *self,
                          const AForkFrame *frame)
{
  g_autoptr(GError) error = NULL;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                       _("%s is longer than the %d bytes that a command may have"),
                       afork_frame_kind_name (frame->kind), AFORK_FRAME_MAX_PAYLOAD);
  _afork_peer_abandon (self, error);
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

/* The answer to the last command may come from another process than the one that was told, and what
 * comes behind it is not the library's to read. */
static void
expect_ready (AForkPeer *self)
{
  self->told_to_run = TRUE;
  if (self->channel != NULL)
    {
      _afork_channel_ask_sender (self->channel, TRUE);
      _afork_channel_read_exactly (self->channel);
    }
}

static void
send_last (AForkPeer        *self,
           const AForkFrame *frame)
{
  expect_ready (self);
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
      _afork_peer_refuse_large (self, &frame);
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

  send_last (self, &frame);
}

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

  outcome = connect_channel (self, &self->outcome, &outcome_events, &error);
  if (outcome < 0)
    {
      _afork_peer_abandon (self, error);
      return;
    }

  expect_ready (self);
  bytes = _afork_peer_pack_strings (argv, &frame.strings);
  _afork_peer_send (self, &frame, outcome);
}

void
_afork_peer_abandon (AForkPeer    *self,
                     const GError *error)
{
  g_autoptr(AForkPeer) kept G_GNUC_UNUSED = _afork_peer_ref (self);

  if (self->program == NULL && self->number == 0)
    {
      fail_to_start (self, error);
      return;
    }

  fail (self, error);
  _afork_life_send_signal (self->life, SIGKILL);
}

void
_afork_peer_release (AForkPeer *self)
{
  if (self->channel != NULL && !self->ready)
    _afork_channel_finish (self->channel);
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
  if (self->tales_source != NULL)
    schedule_tales (self);
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
  for (AForkPeer *peer = self; peer != NULL; peer = peer->template)
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

gboolean
_afork_peer_has_work (AForkPeer *self)
{
  return g_atomic_pointer_get (&self->channel) != NULL && !self->ready;
}

gboolean
_afork_peer_is_stranded (AForkPeer *self)
{
  return self->forgotten || _afork_life_is_stranded (self->life);
}
