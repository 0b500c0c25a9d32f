/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A client: its channels and commands, its forks, its outcome, and the context where it is served.
 * client-start.c starts the process, and client-replies.c handles its replies. */

#include "config.h"

#include "client.h"
#include "client-parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "afork-error.h"
#include "base/context.h"
#include "base/debug.h"
#include "base/exit-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "death-pipe.h"

enum
{
  EXIT_TIMEOUT = 1000,          /* milliseconds for a process to exit after its server */
};

/* The client itself. */

static const char *
get_state_name (AForkClientState state)
{
  static const char names[][16] = {
    [AFORK_CLIENT_STATE_NEW] = "new",
    [AFORK_CLIENT_STATE_STARTING] = "starting",
    [AFORK_CLIENT_STATE_SERVING] = "serving",
    [AFORK_CLIENT_STATE_GAVE_UP] = "gave up",
    [AFORK_CLIENT_STATE_UNWANTED] = "unwanted",
    [AFORK_CLIENT_STATE_EXECUTING] = "executing",
    [AFORK_CLIENT_STATE_RUNNING] = "running",
    [AFORK_CLIENT_STATE_CLOSED] = "closed",
    [AFORK_CLIENT_STATE_CLOSED_EARLY] = "closed early",
    [AFORK_CLIENT_STATE_INHERITED] = "inherited",
  };

  return names[state];
}

/* Whether STATE may follow BEFORE: see the drawing in client-parts.h. */
static gboolean
may_follow (AForkClientState before,
            AForkClientState state)
{
  enum
  {
    REPLIES = 1 << AFORK_CLIENT_STATE_GAVE_UP | 1 << AFORK_CLIENT_STATE_UNWANTED
      | 1 << AFORK_CLIENT_STATE_EXECUTING | 1 << AFORK_CLIENT_STATE_RUNNING,
  };
  static const guint next[] = {
    [AFORK_CLIENT_STATE_NEW] = 1 << AFORK_CLIENT_STATE_STARTING,
    [AFORK_CLIENT_STATE_STARTING] = 1 << AFORK_CLIENT_STATE_SERVING | REPLIES
      | 1 << AFORK_CLIENT_STATE_CLOSED_EARLY,
    [AFORK_CLIENT_STATE_SERVING] = REPLIES | 1 << AFORK_CLIENT_STATE_CLOSED,
    [AFORK_CLIENT_STATE_GAVE_UP] = 1 << AFORK_CLIENT_STATE_CLOSED,
    [AFORK_CLIENT_STATE_UNWANTED] = 1 << AFORK_CLIENT_STATE_CLOSED,
    [AFORK_CLIENT_STATE_EXECUTING] = 1 << AFORK_CLIENT_STATE_RUNNING,
    [AFORK_CLIENT_STATE_INHERITED] = 0,
  };

  return state == AFORK_CLIENT_STATE_INHERITED || (next[before] & 1U << state) != 0;
}

void
_afork_client_set_state (AForkClient      *self,
                         AForkClientState  state)
{
  g_assert (may_follow (self->state, state));

  /* In a fork of the program, no log handler of the program is called. Elsewhere it is called only
   * if debug messages are enabled, because each process changes its state several times. */
  if (state != AFORK_CLIENT_STATE_INHERITED && _afork_debug_is_enabled ())
    g_debug ("Client %p of process %d: %s, was %s", self,
             (int) _afork_pid_watch_get_pid (self->pid_watch), get_state_name (state),
             get_state_name (self->state));
  self->state = state;
}

gboolean
_afork_client_is_handed_over (AForkClient *self)
{
  return self->state == AFORK_CLIENT_STATE_EXECUTING || self->state == AFORK_CLIENT_STATE_RUNNING;
}

gboolean
_afork_client_has_replied (AForkClient *self)
{
  return self->state != AFORK_CLIENT_STATE_NEW && self->state != AFORK_CLIENT_STATE_STARTING
    && self->state != AFORK_CLIENT_STATE_CLOSED_EARLY;
}

gboolean
_afork_client_is_remote (AForkClient *self)
{
  return self->host != NULL && !self->is_connection;
}

gboolean
_afork_client_has_last_command (AForkClient *self)
{
  return self->last_command != AFORK_CLIENT_LAST_COMMAND_NONE;
}

static gboolean
is_closed (AForkClient *self)
{
  return self->state == AFORK_CLIENT_STATE_CLOSED
    || self->state == AFORK_CLIENT_STATE_CLOSED_EARLY;
}

/* Whether the channel is open to the server itself, and not only for reports on forks. */
static gboolean
has_server (AForkClient *self)
{
  return self->channel != NULL && !_afork_client_is_handed_over (self);
}

/* A client keeps its template until its process has exited, because the template reports that. */
static void
forget_template (AForkClient *self)
{
  _afork_client_remove_pending_fork (self);
  g_clear_pointer (&self->template, _afork_client_unref);
}

static void set_all_unreported (AForkClient *self);

/* In a fork of the program, which cannot use the process. */
static void
atfork_child_cb (gpointer data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);

  _afork_client_set_state (self, AFORK_CLIENT_STATE_INHERITED);
  _afork_client_drop_notifications (self);
  _afork_backlog_clear (&self->backlog);
  g_clear_pointer (&self->exited_watch, _afork_pid_watch_unref);
  g_clear_object (&self->program_socket);
  if (self->failure == NULL)
    self->failure = _afork_atfork_new_error ();
  if (self->channel != NULL)
    _afork_client_drop_channel (self);
  if (self->exec_status != NULL)
    {
      g_clear_pointer (&self->exec_status, _afork_channel_unref);
      _afork_client_unref (self);
    }
}

/* The owner. */

static void
ref_cb (gpointer data)
{
  _afork_client_ref (data);
}

static void
unref_cb (gpointer data)
{
  _afork_client_unref (data);
}

static gboolean
is_context_lost_cb (gpointer data)
{
  AForkClient *self = data;

  return _afork_pid_watch_is_context_lost (self->pid_watch) || _afork_context_is_gone (self->home);
}

static const AForkNotifierFuncs notifier_funcs = { ref_cb, unref_cb, is_context_lost_cb };
static const AForkBacklogFuncs backlog_funcs = { ref_cb, unref_cb };

static void
known_cb (gpointer  client,
          GObject  *owner,
          gpointer  data)
{
  AForkClient *self = client;

  if (self->events->known != NULL)
    self->events->known (owner);
}

static void
ready_cb (gpointer  client,
          GObject  *owner,
          gpointer  data)
{
  AForkClient *self = client;

  if (self->events->ready != NULL)
    self->events->ready (owner, data);
}

static void
failed_cb (gpointer  client,
           GObject  *owner,
           gpointer  data)
{
  AForkClient *self = client;

  if (self->events->failed != NULL)
    self->events->failed (owner, self->failure);
}

static void
killed_cb (gpointer  client,
           GObject  *owner,
           gpointer  data)
{
  AForkClient *self = client;

  if (self->events->killed != NULL)
    self->events->killed (owner, _afork_pid_watch_get_kill_error (self->pid_watch));
}

static void
exited_cb (gpointer  client,
           GObject  *owner,
           gpointer  data)
{
  AForkClient *self = client;

  if (self->events->exited != NULL)
    self->events->exited (owner);
}

void
_afork_client_notify_known (AForkClient *self)
{
  _afork_notifier_notify (&self->notifier, known_cb, NULL);
}

void
_afork_client_notify_ready (AForkClient *self,
                            GSocket     *socket)
{
  _afork_notifier_notify (&self->notifier, ready_cb, socket);
}

static void
notify_failed (AForkClient *self)
{
  _afork_notifier_notify (&self->notifier, failed_cb, NULL);
}

static void
notify_killed (AForkClient *self)
{
  _afork_notifier_notify (&self->notifier, killed_cb, NULL);
}

static void
notify_exited (AForkClient *self)
{
  _afork_notifier_notify (&self->notifier, exited_cb, NULL);
}

void
_afork_client_insert_notification (AForkClient           *self,
                                   AForkClientNotifyFunc  func,
                                   gpointer               data,
                                   gboolean               at_once)
{
  _afork_notifier_insert (&self->notifier, func, data, at_once);
}

void
_afork_client_drop_notifications (AForkClient *self)
{
  _afork_notifier_clear (&self->notifier);
}

AForkClient *
_afork_client_new (AForkContext            *context,
                   const AForkClientEvents *events,
                   GObject                 *owner)
{
  AForkClient *self = g_new0 (AForkClient, 1);

  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  g_atomic_ref_count_init (&self->ref_count);
  self->home = _afork_context_ref (context);
  self->context = _afork_context_peek (context);
  _afork_notifier_init (&self->notifier, &notifier_funcs, self, self->context, owner);
  /* The owner has no handlers yet. */
  _afork_notifier_freeze (&self->notifier);
  _afork_backlog_init (&self->backlog, &backlog_funcs, self, self->context);
  g_queue_init (&self->fork_commands);
  self->events = events;
  _afork_client_set_pid_watch (self, _afork_pid_watch_new (self->context));
  return self;
}

AForkClient *
_afork_client_new_connection (AForkContext *context,
                              const char   *name)
{
  static const AForkClientEvents no_events;
  AForkClient *self = _afork_client_new (context, &no_events, NULL);

  self->host = _afork_host_new (name);
  self->is_connection = TRUE;
  /* To the caller, no template has failed. */
  self->failed_like_template = TRUE;
  _afork_client_set_started (self);
  return self;
}

void
_afork_client_set_owner (AForkClient             *self,
                         const AForkClientEvents *events,
                         GObject                 *owner)
{
  self->events = events;
  _afork_notifier_set_owner (&self->notifier, owner);
}

void
_afork_client_set_started (AForkClient *self)
{
  if (self->started)
    return;

  self->started = TRUE;
  _afork_notifier_thaw (&self->notifier, TRUE);
}

AForkClient *
_afork_client_ref (AForkClient *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_client_unref (AForkClient *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  g_assert (self->channel == NULL && self->exec_status == NULL);
  _afork_atfork_remove_hook (&self->atfork_hook);
  forget_template (self);
  set_all_unreported (self);
  _afork_backlog_clear (&self->backlog);
  g_clear_pointer (&self->exited_watch, _afork_pid_watch_unref);
  _afork_pid_watch_set_funcs (self->pid_watch, NULL, NULL, NULL);
  _afork_pid_watch_unref (self->pid_watch);
  g_clear_pointer (&self->pending_forks, g_hash_table_unref);
  g_clear_error (&self->failure);
  _afork_notifier_destroy (&self->notifier);
  _afork_context_unref (self->home);
  g_clear_pointer (&self->host, _afork_host_unref);
  g_free (self->program);
  g_clear_object (&self->program_socket);
  g_free (self->looked_up);
  g_free (self->confinement);
  g_free (self);
}

/* Channels. */

static gboolean
open_channel (AForkClient               *self,
              AForkChannel             **channel,
              const AForkChannelEvents  *events,
              int                        fd,
              AForkChannelSocket         origin,
              GError                   **error)
{
  *channel = _afork_channel_new (fd, origin, self->context, events, self, error);
  if (*channel == NULL)
    return FALSE;

  _afork_client_ref (self);
  return TRUE;
}

gboolean
_afork_client_open_channel (AForkClient               *self,
                            AForkChannel             **channel,
                            const AForkChannelEvents  *events,
                            int                        fd,
                            GError                   **error)
{
  return open_channel (self, channel, events, fd, AFORK_CHANNEL_SOCKET_RECEIVED, error);
}

void
_afork_client_drop_channel (AForkClient *self)
{
  _afork_client_clear_handshake_timeout (self);
  g_clear_pointer (&self->channel, _afork_channel_unref);
  _afork_client_unref (self);
}

int
_afork_client_connect_channel (AForkClient               *self,
                               AForkChannel             **channel,
                               const AForkChannelEvents  *events,
                               GError                   **error)
{
  g_auto(AForkFd) ours = -1;
  g_auto(AForkFd) theirs = -1;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0)
    {
      ours = _afork_fd_register (_afork_fd_avoid_standard (fds[0]));
      theirs = _afork_fd_register (_afork_fd_avoid_standard (fds[1]));
    }
  if (ours < 0 || theirs < 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_SPAWN,
                   _("A process could not be connected: %s"), g_strerror (errno));
      return -1;
    }
  if (!open_channel (self, channel, events, g_steal_fd (&ours), AFORK_CHANNEL_SOCKET_NEW, error))
    return -1;

  return g_steal_fd (&theirs);
}

/* The handshake: a program that was executed, or the process at the other end of a socket that was
 * taken over, may never answer. */

void
_afork_client_set_start_timeout (AForkClient *self,
                                 guint        timeout)
{
  self->start_timeout = timeout;
}

void
_afork_client_clear_handshake_timeout (AForkClient *self)
{
  _afork_source_clear (&self->handshake_timeout);
}

/* An error of an executed program, with the hint for this program if there is one. */
G_GNUC_PRINTF (2, 3) static GError *
new_start_error (AForkClient *self,
                 const char  *format,
                 ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  if (self->start_hint == NULL)
    return g_error_new_literal (AFORK_ERROR, AFORK_ERROR_SPAWN, text);

  return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN, "%s: %s", text, self->start_hint);
}

static GError *
new_timeout_error (AForkClient *self)
{
  g_autofree char *seconds = g_strdup_printf ("%g", self->start_timeout / 1000.0);

  if (self->attached)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                        _("The process that was taken over by descriptor %d did not answer as an "
                          "AFork server does within %s seconds"),
                        self->attached_fd, seconds);

  return new_start_error (self,
                          _("“%s” did not answer as an AFork server does within %s seconds, and "
                            "was killed"),
                          self->program, seconds);
}

static gboolean
is_handshake_done (AForkClient *self)
{
  return self->attached ? _afork_pid_watch_is_known (self->pid_watch)
                        : _afork_client_has_replied (self);
}

static void set_handshake_timeout (AForkClient *self,
                                   gint64       time);

/* If the context was not iterated for a long time, the reply may be there already. */
static gboolean
handshake_timeout_cb (gpointer data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);
  g_autoptr(GError) error = NULL;

  _afork_client_clear_handshake_timeout (self);
  _afork_notifier_freeze (&self->notifier);
  if (!_afork_channel_drain (self->channel) && !is_handshake_done (self))
    {
      set_handshake_timeout (self, 0);
    }
  else if (!is_handshake_done (self) && self->channel != NULL)
    {
      error = new_timeout_error (self);
      _afork_client_kill_with_error (self, error);
      /* The process may not have been killed, or children of it may keep its socket open. */
      if (self->channel != NULL)
        _afork_channel_close (self->channel, NULL);
    }
  _afork_notifier_thaw (&self->notifier, FALSE);
  return G_SOURCE_REMOVE;
}

static void
set_handshake_timeout (AForkClient *self,
                       gint64       time)
{
  _afork_client_clear_handshake_timeout (self);
  self->handshake_timeout = g_timeout_source_new (0);
  g_source_set_ready_time (self->handshake_timeout, time);
  g_source_set_static_name (self->handshake_timeout, "[afork] process handshake timeout");
  g_source_set_callback (self->handshake_timeout, handshake_timeout_cb, self, NULL);
  g_source_attach (self->handshake_timeout, self->context);
}

void
_afork_client_await_handshake (AForkClient *self)
{
  if (self->start_timeout > 0)
    set_handshake_timeout (self, g_get_monotonic_time () + (gint64) self->start_timeout * 1000);
}

/* Commands. */

guint8 *
_afork_client_pack_strings (const char * const *strings,
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
_afork_client_new_size_error (const AForkFrame *frame)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                      _("%s is longer than the %d bytes that a command may have"),
                      afork_frame_kind_name (frame->kind), AFORK_FRAME_MAX_PAYLOAD);
}

static void
refuse_large (AForkClient      *self,
              const AForkFrame *frame)
{
  g_autoptr(GError) error = _afork_client_new_size_error (frame);

  _afork_client_kill_with_error (self, error);
}

void
_afork_client_send (AForkClient      *self,
                    const AForkFrame *frame,
                    int               fd)
{
  /* A new module may have a function of the same name. */
  if (frame->kind == AFORK_FRAME_REQUIRE || frame->kind == AFORK_FRAME_REQUIRE_FILE)
    g_clear_pointer (&self->looked_up, g_free);
  if (frame->kind == AFORK_FRAME_RESTRICT)
    self->may_refork = TRUE;
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
_afork_client_send_item (AForkClient *self,
                         GBytes      *bytes)
{
  if (self->channel != NULL)
    _afork_channel_send_item (self->channel, bytes);
}

void
_afork_client_set_die_with_parent (AForkClient *self)
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
      _afork_client_kill_with_error (self, error);
      return;
    }

  _afork_pid_watch_set_death_pipe (self->pid_watch, death_pipe);
  _afork_client_send (self, &frame, fd);
}

/* Makes the template look FUNCTION up, once for all of its forks. */
static void
send_look_up (AForkClient *template,
              const char  *function)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_LOOK_UP, .string = { function } };

  if (!_afork_client_is_open (template) || template->is_connection
      || g_strcmp0 (template->looked_up, function) == 0)
    return;

  g_free (template->looked_up);
  template->looked_up = g_strdup (function);
  _afork_client_send (template, &frame, -1);
}

/* Another process may become the worker, perhaps before that is known here. READY then has two
 * descriptors, without which the worker could not be killed. */
static gboolean
reserve_successor_fds (AForkClient *self)
{
  g_autoptr(GError) error = NULL;

  _afork_pid_watch_keep_signals (self->pid_watch);
  if (_afork_channel_reserve_fds (self->channel, 2))
    return TRUE;

  error = g_error_new (AFORK_ERROR, AFORK_ERROR_SPAWN,
                       _("The process could not be forked once more, to be run: %s"),
                       g_strerror (errno));
  _afork_client_kill_with_error (self, error);
  return FALSE;
}

/* The reply to the last command may come from another process than the one that got it. What
 * follows the reply belongs to the program and must not be read. */
gboolean
_afork_client_prepare_for_ready (AForkClient *self)
{
  if (self->last_command == AFORK_CLIENT_LAST_COMMAND_NONE)
    self->last_command = AFORK_CLIENT_LAST_COMMAND_RUN;
  if (self->channel == NULL)
    return FALSE;

  _afork_channel_ask_sender (self->channel, TRUE);
  _afork_channel_read_exactly (self->channel);
  return !_afork_client_may_have_successor (self) || reserve_successor_fds (self);
}

static void
send_last (AForkClient      *self,
           const AForkFrame *frame)
{
  if (_afork_client_prepare_for_ready (self))
    _afork_client_send (self, frame, -1);
}

void
_afork_client_run (AForkClient *self,
                   const char  *function,
                   const char  *title)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_RUN, .string = { function, title } };

  if (afork_frame_size (&frame) == 0)
    {
      refuse_large (self, &frame);
      return;
    }

  if (self->template != NULL)
    send_look_up (self->template, function);
  send_last (self, &frame);
}

void
_afork_client_run_func (AForkClient *self,
                        const char  *object,
                        guint64      offset,
                        const char  *title)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_RUN_FUNC,
    .string = { object, title },
    .number = { (guint32) offset, (guint32) (offset >> 32) },
  };

  send_last (self, &frame);
}

void
_afork_client_detach (AForkClient *self)
{
  const AForkFrame frame = { .kind = AFORK_FRAME_DETACH };

  self->last_command = AFORK_CLIENT_LAST_COMMAND_DETACH;
  send_last (self, &frame);
}

gboolean
_afork_client_is_detached (AForkClient *self)
{
  return self->last_command == AFORK_CLIENT_LAST_COMMAND_DETACH;
}

/* Commands about forks. If this program may not signal a fork, it asks the process, which is the
 * parent, to do so. */

/* A command to the process about one of its forks. */
typedef struct
{
  AForkFrameKind    kind;       /* SIGNAL, MEASURE, or DISOWN, which has no reply */
  guint32           number;     /* of the fork */
  int               signal;     /* of SIGNAL */
  AForkMeasuredFunc func;       /* of MEASURE */
  gpointer          data;       /* for FUNC */
} ForkCommand;

/* After the last command, the client sends nothing until it knows whether the server still has the
 * socket. */
static gboolean
can_send_fork_commands (AForkClient *self)
{
  return self->channel != NULL
    && (!_afork_client_has_last_command (self) || self->state == AFORK_CLIENT_STATE_GAVE_UP
        || self->state == AFORK_CLIENT_STATE_UNWANTED || _afork_client_is_handed_over (self));
}

static void
send_fork_command (AForkClient       *self,
                   const ForkCommand *command)
{
  const AForkFrame frame = {
    .kind = command->kind,
    .number = { command->number, (guint32) command->signal },
  };

  _afork_channel_send (self->channel, &frame, -1);
}

void
_afork_client_send_fork_commands (AForkClient *self)
{
  if (!can_send_fork_commands (self))
    return;

  while (self->unsent_fork_command != NULL)
    {
      GList *link = self->unsent_fork_command;
      ForkCommand *command = link->data;

      self->unsent_fork_command = link->next;
      send_fork_command (self, command);
      if (command->kind != AFORK_FRAME_DISOWN)
        {
          self->n_fork_commands_sent++;
        }
      else
        {
          g_queue_delete_link (&self->fork_commands, link);
          g_free (command);
        }
    }

  /* A caller that sends a signal need not iterate the main context. */
  _afork_channel_push (self->channel);
}

static void
add_fork_command (AForkClient       *self,
                  const ForkCommand *command)
{
  g_queue_push_tail (&self->fork_commands, g_memdup2 (command, sizeof *command));
  if (self->unsent_fork_command == NULL)
    self->unsent_fork_command = self->fork_commands.tail;
  _afork_client_send_fork_commands (self);
}

static gboolean
can_ask (AForkClient *self)
{
  return self->channel != NULL && _afork_channel_is_open (self->channel);
}

static gboolean
signal_fork (gpointer reporter,
             guint32  number,
             int      signal)
{
  AForkClient *self = reporter;

  if (!can_ask (self))
    return FALSE;

  add_fork_command (self, &(ForkCommand) {
    .kind = AFORK_FRAME_SIGNAL, .number = number, .signal = signal,
  });
  return TRUE;
}

void
_afork_client_measure (AForkClient       *self,
                       AForkMeasuredFunc  func,
                       gpointer           data)
{
  guint32 number;
  AForkClient *reporter = _afork_pid_watch_get_reporter (self->pid_watch, &number);

  if (reporter == NULL || !can_ask (reporter))
    {
      func (0, data);
      return;
    }

  add_fork_command (reporter, &(ForkCommand) {
    .kind = AFORK_FRAME_MEASURE, .number = number, .func = func, .data = data,
  });
}

static void
signal_replied (AForkClient       *self,
                const ForkCommand *command,
                guint32            error)
{
  AForkPidWatch *pid_watch = NULL;

  if (self->fork_watches != NULL)
    pid_watch = g_hash_table_lookup (self->fork_watches, GUINT_TO_POINTER (command->number));
  if (pid_watch != NULL)
    _afork_pid_watch_signal_replied (pid_watch, command->signal, (int) MIN (error, G_MAXINT));
}

gboolean
_afork_client_take_reply (AForkClient    *self,
                          AForkFrameKind  kind,
                          guint32         number,
                          guint32         result)
{
  ForkCommand *command = g_queue_peek_head (&self->fork_commands);

  if (self->n_fork_commands_sent == 0 || command->kind != kind || command->number != number)
    return FALSE;

  g_queue_pop_head (&self->fork_commands);
  self->n_fork_commands_sent--;
  if (kind == AFORK_FRAME_MEASURE)
    command->func (result * G_GUINT64_CONSTANT (1024), command->data);
  else
    signal_replied (self, command, result);
  g_free (command);
  return TRUE;
}

void
_afork_client_disown_fork (AForkClient *self,
                           guint32      number)
{
  AForkPidWatch *pid_watch = NULL;

  if (self->fork_watches != NULL)
    pid_watch = g_hash_table_lookup (self->fork_watches, GUINT_TO_POINTER (number));
  if (pid_watch == NULL)
    return;

  _afork_pid_watch_set_reporter (pid_watch, NULL, NULL, 0);
  add_fork_command (self, &(ForkCommand) { .kind = AFORK_FRAME_DISOWN, .number = number });
}

static void
drop_fork_commands (AForkClient *self)
{
  GQueue commands = self->fork_commands;
  ForkCommand *command;

  g_queue_init (&self->fork_commands);
  self->n_fork_commands_sent = 0;
  self->unsent_fork_command = NULL;
  while ((command = g_queue_pop_head (&commands)) != NULL)
    {
      if (command->kind == AFORK_FRAME_MEASURE)
        command->func (0, command->data);
      g_free (command);
    }
}

/* Forks: those that the process reports, and those that are pending. */

void
_afork_client_add_fork_watch (AForkClient   *self,
                              guint32        number,
                              AForkPidWatch *pid_watch)
{
  AForkDeathPipe *death_pipe = _afork_pid_watch_get_death_pipe (self->pid_watch);

  if (self->fork_watches == NULL)
    self->fork_watches =
      g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) _afork_pid_watch_unref);

  if (death_pipe != NULL)
    _afork_pid_watch_set_death_pipe (pid_watch, death_pipe);
  _afork_pid_watch_set_reporter (pid_watch, signal_fork, self, number);
  g_hash_table_insert (self->fork_watches, GUINT_TO_POINTER (number),
                       _afork_pid_watch_ref (pid_watch));
}

AForkPidWatch *
_afork_client_take_fork_watch (AForkClient *self,
                               guint32      number)
{
  gpointer pid_watch = NULL;

  if (self->fork_watches != NULL)
    g_hash_table_steal_extended (self->fork_watches, GUINT_TO_POINTER (number), NULL, &pid_watch);
  if (pid_watch != NULL)
    _afork_pid_watch_set_reporter (pid_watch, NULL, NULL, 0);

  return pid_watch;
}

void
_afork_client_set_refused_call (AForkClient *self,
                                guint32      number,
                                guint32      system_call)
{
  AForkPidWatch *pid_watch = NULL;

  if (self->fork_watches != NULL)
    pid_watch = g_hash_table_lookup (self->fork_watches, GUINT_TO_POINTER (number));
  if (pid_watch != NULL)
    _afork_pid_watch_set_refused_call (pid_watch, system_call);
}

gboolean
_afork_client_has_forks (AForkClient *self)
{
  return self->fork_watches != NULL && g_hash_table_size (self->fork_watches) > 0;
}

void
_afork_client_release_connection (AForkClient *self)
{
  if (!self->is_connection || self->released || _afork_client_has_forks (self))
    return;

  self->released = TRUE;
  _afork_client_release (self);
}

static GError *
new_host_lost_error (AForkClient *self)
{
  return g_error_new (AFORK_ERROR, AFORK_ERROR_HOST_LOST,
                      _("The host “%s” was lost: the process that relays to it has exited"),
                      _afork_host_get_name (self->host));
}

void
_afork_client_lose_host (AForkClient *self)
{
  g_autoptr(GError) error = NULL;

  if (!self->is_connection)
    return;

  error = new_host_lost_error (self);
  _afork_host_set_lost (self->host, error);
}

gboolean
_afork_client_waits_for_host (AForkClient *self)
{
  return _afork_client_is_remote (self) && !_afork_pid_watch_has_exited (self->pid_watch)
    && !_afork_pid_watch_is_context_lost (self->pid_watch);
}

/* A relay reports the end of the connection before it closes the sockets of the processes. */
void
_afork_client_read_connection (AForkClient *self)
{
  AForkClient *connection = self;

  if (!_afork_client_is_remote (self))
    return;

  while (connection != NULL && !connection->is_connection)
    connection = connection->template;
  if (connection != NULL && connection->channel != NULL && connection->n_replies == 0)
    {
      g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (connection);

      _afork_channel_drain (connection->channel);
    }
}

gboolean
_afork_client_may_have_successor (AForkClient *self)
{
  return self->may_refork || _afork_client_has_forks (self);
}

static void
set_unreported (gpointer client,
                gpointer pid_watch)
{
  AForkClient *self = client;

  _afork_pid_watch_set_reporter (pid_watch, NULL, NULL, 0);
  if (self->backlog.is_context_lost || _afork_atfork_is_inherited (&self->atfork_hook))
    _afork_pid_watch_lose_context (pid_watch);
  else
    _afork_pid_watch_set_unreported (pid_watch);
}

static void
unref_pid_watch (gpointer data)
{
  _afork_pid_watch_unref (data);
}

/* The client is being freed. */
static void
set_all_unreported (AForkClient *self)
{
  g_autoptr(GHashTable) fork_watches = g_steal_pointer (&self->fork_watches);
  GHashTableIter iter;
  gpointer pid_watch;

  drop_fork_commands (self);
  if (fork_watches == NULL)
    return;

  g_hash_table_iter_init (&iter, fork_watches);
  while (g_hash_table_iter_next (&iter, NULL, &pid_watch))
    set_unreported (self, pid_watch);
}

void
_afork_client_set_forks_unreported (AForkClient *self)
{
  g_autoptr(GHashTable) fork_watches = g_steal_pointer (&self->fork_watches);
  GHashTableIter iter;
  gpointer pid_watch;

  drop_fork_commands (self);
  if (fork_watches == NULL)
    return;

  g_hash_table_iter_init (&iter, fork_watches);
  while (g_hash_table_iter_next (&iter, NULL, &pid_watch))
    _afork_backlog_add (&self->backlog, set_unreported, _afork_pid_watch_ref (pid_watch),
                        unref_pid_watch);
  _afork_backlog_go_on (&self->backlog);
}

void
_afork_client_add_pending_fork (AForkClient *self)
{
  AForkClient *template = self->template;

  if (template->pending_forks == NULL)
    template->pending_forks = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (template->pending_forks, GUINT_TO_POINTER (self->number), self);
}

void
_afork_client_remove_pending_fork (AForkClient *self)
{
  if (self->template != NULL && self->template->pending_forks != NULL)
    g_hash_table_remove (self->template->pending_forks, GUINT_TO_POINTER (self->number));
}

AForkClient *
_afork_client_find_pending_fork (AForkClient *self,
                                 guint32      number)
{
  return self->pending_forks != NULL
    ? g_hash_table_lookup (self->pending_forks, GUINT_TO_POINTER (number)) : NULL;
}

static int
compare_numbers (gconstpointer a,
                 gconstpointer b)
{
  const AForkClient *first = *(AForkClient * const *) a;
  const AForkClient *second = *(AForkClient * const *) b;

  return first->number < second->number ? -1 : first->number > second->number;
}

/* Whether there was never a server that could have made forks. */
static gboolean
was_never_started (AForkClient *self)
{
  if (self->program != NULL)
    return !_afork_client_has_replied (self);
  if (self->attached)
    return !_afork_pid_watch_is_known (self->pid_watch);

  return self->template != NULL && was_never_started (self->template);
}

/* The socket of a fork usually ends together with that of its template. But if the program was not
 * a server, a child of it may keep the command socket, and with it the unread command that contains
 * the socket of the fork. */
static void
update_pending_fork (gpointer client,
                     gpointer data)
{
  AForkClient *self = client;
  AForkClient *fork = data;

  if (_afork_client_find_pending_fork (self, fork->number) != fork)
    return;

  _afork_notifier_freeze (&fork->notifier);
  if (self->channel == NULL && self->failure != NULL && was_never_started (self))
    _afork_client_fail_like_template (fork, self);
  else
    _afork_client_update_outcome (fork);
  _afork_notifier_thaw (&fork->notifier, TRUE);
}

void
_afork_client_update_pending_forks (AForkClient *self)
{
  g_autoptr(GPtrArray) pending_forks = NULL;
  GHashTableIter iter;
  gpointer client;

  if (self->pending_forks == NULL)
    return;

  pending_forks = g_ptr_array_new ();
  g_hash_table_iter_init (&iter, self->pending_forks);
  while (g_hash_table_iter_next (&iter, NULL, &client))
    g_ptr_array_add (pending_forks, client);
  g_ptr_array_sort (pending_forks, compare_numbers);
  for (guint i = 0; i < pending_forks->len; i++)
    _afork_backlog_add (&self->backlog, update_pending_fork,
                        _afork_client_ref (g_ptr_array_index (pending_forks, i)), unref_cb);
  _afork_backlog_go_on (&self->backlog);
}

/* The outcome. */

void
_afork_client_fail (AForkClient  *self,
                    const GError *error)
{
  if (self->failure != NULL || self->state == AFORK_CLIENT_STATE_RUNNING)
    return;

  _afork_notifier_freeze (&self->notifier);
  self->failure = g_error_copy (error);
  if (self->is_connection)
    _afork_host_set_lost (self->host, error);
  notify_failed (self);
  _afork_client_update_pending_forks (self);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

void
_afork_client_fail_to_start (AForkClient  *self,
                             const GError *error)
{
  _afork_notifier_freeze (&self->notifier);
  _afork_client_fail (self, error);
  _afork_pid_watch_set_exited (self->pid_watch, -1, 0, 0, 0);
  _afork_notifier_thaw (&self->notifier, TRUE);
}

void
_afork_client_fail_like_template (AForkClient *self,
                                  AForkClient *template)
{
  g_autoptr(GError) error = g_error_copy (template->failure);

  /* If templates were forked from templates, the message says this once. */
  if (!template->failed_like_template)
    g_prefix_error (&error, "%s ", _("The process could not be forked from its template:"));
  self->failed_like_template |= self->failure == NULL;
  _afork_client_fail_to_start (self, error);
}

/* A program that was executed, and exited without a reply. */
static GError *
describe_program_exit (AForkClient *self,
                       int          status)
{
  if (WIFSIGNALED (status))
    return new_start_error (self,
                            _("“%s” was ended by signal %d (%s) and never answered as an AFork "
                              "server does"),
                            self->program, WTERMSIG (status), g_strsignal (WTERMSIG (status)));

  return new_start_error (self,
                          _("“%s” exited with status %d and never answered as an AFork server "
                            "does"),
                          self->program, WEXITSTATUS (status));
}

/* A process that has exited without having said why. */
static GError *
describe_exit (AForkClient *self)
{
  g_autofree char *name = _afork_pid_watch_get_name (self->pid_watch);
  const int status = _afork_pid_watch_get_wait_status (self->pid_watch);

  if (_afork_pid_watch_is_context_lost (self->pid_watch))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                        _("The main context of the process is gone"));
  if (status < 0 && _afork_client_is_remote (self))
    return _afork_pid_watch_new_unknown_error (self->pid_watch);
  if (self->is_connection)
    return new_host_lost_error (self);
  /* A program with a hint may have closed the socket, and then it was killed. Another program may
   * have been killed for any reason. */
  if (status >= 0 && self->program != NULL && !_afork_client_has_replied (self)
      && (self->start_hint != NULL || !WIFSIGNALED (status)))
    return describe_program_exit (self, status);

  return _afork_exit_error_new_early (name, status);
}

void
_afork_client_update_outcome (AForkClient *self)
{
  AForkClient *template = self->template;

  /* If there is more to be read of a process that has exited, that comes first. */
  if (!is_closed (self) || self->exited_watch != NULL)
    return;

  if (_afork_pid_watch_has_exited (self->pid_watch))
    {
      g_autoptr(GError) error = describe_exit (self);

      _afork_client_fail (self, error);
    }
  else if (_afork_pid_watch_is_known (self->pid_watch))
    {
      /* Either it is exiting, or it closed its socket and stays alive, and then it is of no use. A
       * process that is exiting already keeps its exit status. But if its server is in a PID
       * namespace, the process has not exited yet: it learns how the server has exited, and exits
       * likewise. */
      _afork_pid_watch_kill_closed (self->pid_watch, self->may_refork ? EXIT_TIMEOUT : 0);
    }
  else if (template == NULL || (template->channel == NULL && !is_closed (template)))
    {
      /* The template no longer reports. */
      _afork_pid_watch_set_exited (self->pid_watch, -1, 0, 0, 0);
    }
  else if (template->failure != NULL && (self->failure == NULL || template->channel == NULL))
    {
      /* If this client has failed, the template may still report its process. */
      _afork_client_fail_like_template (self, template);
    }
}

/* The process was asked to run, and a fork of it that becomes the worker may be about to send
 * READY. A READY that is sent but not read would leave a worker alone. So the channel refuses:
 * either sending fails, and the worker exits, or READY is read, and the worker is killed. Returns
 * false if there is more to be read. */
static gboolean
give_up_successor (AForkClient *self)
{
  g_autoptr(GError) error = describe_exit (self);

  _afork_client_fail (self, error);
  return _afork_channel_refuse (self->channel);
}

/* Reads what the process sent before it exited: this has arrived, and is handled first. Nothing
 * more will come, even if a process that a module started still has the socket. Returns false if
 * there is more to be read. */
static gboolean
read_rest (AForkClient   *self,
           AForkPidWatch *pid_watch)
{
  /* Without a context nothing is read. */
  if (_afork_pid_watch_is_context_lost (pid_watch))
    return TRUE;
  if (self->exec_status != NULL && !_afork_channel_drain (self->exec_status))
    return FALSE;
  if (has_server (self) && !_afork_channel_drain (self->channel))
    return FALSE;

  if (has_server (self) && pid_watch == self->pid_watch && _afork_client_has_last_command (self)
      && _afork_client_may_have_successor (self))
    return give_up_successor (self);
  return TRUE;
}

void
_afork_client_handle_exit (AForkClient *self)
{
  g_autoptr(AForkPidWatch) pid_watch = NULL;

  if (self->exited_watch == NULL || self->n_replies > 0)
    return;

  /* Reading may lead here again. */
  pid_watch = g_steal_pointer (&self->exited_watch);
  if (!read_rest (self, pid_watch))
    {
      if (self->exited_watch == NULL)
        self->exited_watch = g_steal_pointer (&pid_watch);
      return;
    }

  if (has_server (self))
    _afork_channel_close (self->channel, NULL);
  /* Its socket was closed before, see _afork_client_waits_for_host(). */
  else if (_afork_client_is_remote (self) && self->channel == NULL
           && _afork_client_has_forks (self))
    _afork_client_set_forks_unreported (self);
  _afork_client_update_outcome (self);
  forget_template (self);
  if (pid_watch == self->pid_watch)
    notify_exited (self);
}

static void
pid_watch_exited_cb (AForkPidWatch *pid_watch,
                     gpointer       data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);

  _afork_notifier_freeze (&self->notifier);
  g_clear_pointer (&self->exited_watch, _afork_pid_watch_unref);
  self->exited_watch = _afork_pid_watch_ref (pid_watch);
  _afork_client_handle_exit (self);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

/* Makes the process exit by itself. It gets no more commands, but reports on its forks as long as
 * it has any. */
static void
let_exit (AForkClient *self)
{
  if (!has_server (self))
    return;

  if (_afork_client_has_forks (self))
    _afork_client_release (self);
  else
    _afork_channel_close (self->channel, NULL);
}

static void
pid_watch_killed_cb (AForkPidWatch *pid_watch,
                     const GError  *error,
                     gpointer       data)
{
  g_autoptr(AForkClient) self = _afork_client_ref (data);

  _afork_notifier_freeze (&self->notifier);
  if (error != NULL)
    {
      _afork_client_fail (self, error);
      let_exit (self);
    }
  notify_killed (self);
  _afork_notifier_thaw (&self->notifier, TRUE);
}

void
_afork_client_set_pid_watch (AForkClient   *self,
                             AForkPidWatch *pid_watch)
{
  if (self->pid_watch != NULL)
    {
      _afork_pid_watch_set_funcs (self->pid_watch, NULL, NULL, NULL);
      _afork_pid_watch_unref (self->pid_watch);
    }

  self->pid_watch = pid_watch;
  _afork_pid_watch_set_funcs (pid_watch, pid_watch_exited_cb, pid_watch_killed_cb, self);
  _afork_pid_watch_kill_after_context (pid_watch, self->after_context_ms);
}

void
_afork_client_kill_after_context (AForkClient *self,
                                  guint        ms)
{
  self->after_context_ms = ms;
  _afork_pid_watch_kill_after_context (self->pid_watch, ms);
}

void
_afork_client_send_signal (AForkClient *self,
                           int          signal)
{
  if (signal == SIGINT && self->state != AFORK_CLIENT_STATE_RUNNING)
    self->keeps_interrupt = TRUE;
  else if (signal == SIGTERM && self->state != AFORK_CLIENT_STATE_RUNNING)
    self->keeps_terminate = TRUE;
  else
    _afork_pid_watch_send_signal (self->pid_watch, signal);
}

void
_afork_client_send_kept_signals (AForkClient *self)
{
  if (self->keeps_interrupt)
    _afork_pid_watch_send_signal (self->pid_watch, SIGINT);
  if (self->keeps_terminate)
    _afork_pid_watch_send_signal (self->pid_watch, SIGTERM);
  self->keeps_interrupt = self->keeps_terminate = FALSE;
}

void
_afork_client_kill_with_error (AForkClient  *self,
                               const GError *error)
{
  g_autoptr(AForkClient) kept G_GNUC_UNUSED = _afork_client_ref (self);

  if (self->state == AFORK_CLIENT_STATE_NEW)
    {
      _afork_client_fail_to_start (self, error);
      return;
    }

  /* A handler of the failure may wait for the exit. */
  _afork_notifier_freeze (&self->notifier);
  _afork_client_fail (self, error);
  _afork_pid_watch_send_signal (self->pid_watch, SIGKILL);
  _afork_notifier_thaw (&self->notifier, FALSE);
}

/* Release, and the context. */

/* While the process has forks, it can be asked to signal them. */
void
_afork_client_release (AForkClient *self)
{
  const AForkFrame leave = { .kind = AFORK_FRAME_LEAVE };

  if (!has_server (self))
    return;

  if (!_afork_client_has_forks (self))
    _afork_channel_finish (self->channel);
  else if (!_afork_client_has_last_command (self))
    _afork_client_send (self, &leave, -1);
}

static void
serve_in (AForkClient  *self,
          GMainContext *context)
{
  self->context = context;
  if (self->channel != NULL)
    _afork_channel_set_context (self->channel, context);
  if (self->exec_status != NULL)
    _afork_channel_set_context (self->exec_status, context);
  _afork_pid_watch_set_context (self->pid_watch, context);
  _afork_notifier_set_context (&self->notifier, context);
  _afork_backlog_set_context (&self->backlog, context);
  if (self->handshake_timeout != NULL)
    set_handshake_timeout (self, g_source_get_ready_time (self->handshake_timeout));
}

static void
clear_borrowed (gpointer data)
{
  AForkBorrowedClient *borrowed = data;

  _afork_client_unref (borrowed->client);
}

GArray *
_afork_client_borrow (AForkClient  *self,
                      GMainContext *context)
{
  GArray *borrowed = g_array_new (FALSE, FALSE, sizeof (AForkBorrowedClient));

  g_array_set_clear_func (borrowed, clear_borrowed);
  /* A client whose context is being freed could not be given back. */
  for (AForkClient *client = self;
       client != NULL && !_afork_client_is_context_lost (client);
       client = client->template)
    {
      AForkBorrowedClient one = { _afork_client_ref (client), client->context };

      g_array_append_val (borrowed, one);
      serve_in (client, context);
    }

  return borrowed;
}

void
_afork_client_give_back (GArray *borrowed)
{
  for (guint i = 0; i < borrowed->len; i++)
    {
      AForkBorrowedClient *one = &g_array_index (borrowed, AForkBorrowedClient, i);

      serve_in (one->client, one->context);
    }

  g_array_unref (borrowed);
}

AForkPidWatch *
_afork_client_get_pid_watch (AForkClient *self)
{
  return self->pid_watch;
}

const AForkConfinementReport *
_afork_client_get_confinement (AForkClient *self)
{
  return self->confinement;
}

GError *
_afork_client_get_failure (AForkClient *self)
{
  return self->failure;
}

gboolean
_afork_client_is_open (AForkClient *self)
{
  return self->channel != NULL && self->failure == NULL && !self->released
    && !_afork_client_has_last_command (self);
}

AForkContext *
_afork_client_get_home (AForkClient *self)
{
  return self->home;
}

gboolean
_afork_client_is_context_lost (AForkClient *self)
{
  return self->state == AFORK_CLIENT_STATE_INHERITED
    || _afork_pid_watch_is_context_lost (self->pid_watch)
    || _afork_context_is_gone (self->home);
}
