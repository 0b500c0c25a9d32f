/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "worker-link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "afork-error.h"
#include "afork-process-private.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/debug.h"
#include "base/exit-error.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/turn.h"
#include "oom-counter.h"
#include "stderr-capture.h"

/* The function that serves calls in a worker: see worker/call-service.c. */
#define SERVE_FUNCTION "afork_worker_serve_calls"

enum
{
  /* How long a worker that has to exit may take before it is killed, in milliseconds. */
  EXIT_TIMEOUT = 5000,
};

/* The states of the worker.
 *
 *     STARTING ── it runs ──────> SERVING
 *       │ │ │                       │ │
 *       │ │ └─ the process ends ────┤ │
 *       │ │                         v │
 *       │ └─ it cannot run ─┐    DRAINING
 *       │                   v       │ │
 *       │                 FAILED ───┼─┼─ the process ends ─> DRAINING
 *       │                   │       v v
 *       └───────────────────┴────> EXITED
 *
 * A worker is EXITED once what it had sent is received, or if that is not to be waited for, because
 * it could not be run, is unwatched, or cannot be killed.
 */
typedef enum
{
  AFORK_WORKER_LINK_STATE_STARTING,
  AFORK_WORKER_LINK_STATE_FAILED,   /* it does not serve; EXITED follows in the next iteration */
  AFORK_WORKER_LINK_STATE_SERVING,
  AFORK_WORKER_LINK_STATE_DRAINING, /* the process has ended; what it had sent is received */
  AFORK_WORKER_LINK_STATE_EXITED,   /* nothing more is received, and `exited` is called */
} AForkWorkerLinkState;

/* What the worker is sent: OPEN ── close() ──> CLOSING ── all is sent ──> CLOSED. */
typedef enum
{
  AFORK_SENDING_STATE_OPEN,
  AFORK_SENDING_STATE_CLOSING,      /* no more will be added to the write buffer */
  AFORK_SENDING_STATE_CLOSED,       /* the socket is shut down for writing */
} AForkSendingState;

struct _AForkWorkerLink
{
  AForkAtforkHook              atfork_hook;
  gatomicrefcount              ref_count;
  const AForkWorkerLinkEvents *events;          /* NULL once they must not be called any more */
  gpointer                     data;            /* of the events; used only while a reference to
                                                 * `owner` is held */
  GWeakRef                     owner;           /* the object that `data` points to */
  AForkContext                *home;            /* the owner's context */
  gboolean                     watches_home;    /* the watch on `home` holds a reference */
  AForkContext                *context;         /* the context that the link is served in now */
  AForkProcess                *process;
  gulong                       exited_id;       /* handler of the process; 0 once it is gone */
  AForkStderrCapture          *captured;        /* or NULL */

  AForkWorkerLinkState         state;
  gboolean                     unwatched;       /* the process will not report its exit; in any
                                                 * state */
  GError                      *failure;         /* why this side ended the worker, or NULL */
  GError                      *exit_error;      /* once EXITED: the reason, or NULL if the worker
                                                 * exited properly */
  GSource                     *exit_source;     /* calls report_exit(); or NULL */
  GSource                     *exit_timeout;    /* kills the worker; or NULL; holds a reference */

  /* Receiving. */
  AForkCallStream             *stream;          /* NULL before SERVING, and once EXITED */
  GSource                     *source;          /* NULL if nothing more is expected of the stream */
  gpointer                     source_tag;
  AForkTurnState               turn_state;      /* of the source */
  gboolean                     undelivered;     /* the stream may have messages that it has read */
  guint64                      n_delivered;     /* all messages of the first so many bytes are
                                                 * handed on */
  guint64                      n_sent;          /* set when the stream is dropped */
  guint64                      n_received;      /* set when the stream is dropped */
  gboolean                     takes_rest;      /* while DRAINING: the source goes on with it, and
                                                 * holds a reference */
  AForkWorkerBegun             knows_begun;
  guint32                      begun;           /* the call that the worker began last, if known; or
                                                 * 0 */

  /* Sending. */
  AForkSendingState            sending;
  gboolean                     write_closed;    /* the worker reads no more */
  gboolean                     waits_for_room;  /* the socket takes no more now */
  gboolean                     polls_for_room;  /* the source polls for room; otherwise it tries
                                                 * again after a time */

  guint64                      answer_usec;     /* processor time of a worker with a limit of that,
                                                 * when it has answered last */

  /* What is known about a worker that is to exit. */
  gboolean                     has_unanswered;  /* it is at calls that have ended here */
  gboolean                     wait_for_done;   /* it has a done-function, which may take long */
  gboolean                     refused;         /* it has sent that it cannot serve */
  gboolean                     unneeded;        /* while STARTING: nothing waits for it */
};

typedef struct
{
  GSource          parent;
  AForkWorkerLink *link;
} LinkSource;

static const char *
get_state_name (AForkWorkerLinkState state)
{
  static const char *const names[] = {
    [AFORK_WORKER_LINK_STATE_STARTING] = "starting",
    [AFORK_WORKER_LINK_STATE_FAILED] = "failed",
    [AFORK_WORKER_LINK_STATE_SERVING] = "serving",
    [AFORK_WORKER_LINK_STATE_DRAINING] = "draining",
    [AFORK_WORKER_LINK_STATE_EXITED] = "exited",
  };

  return names[state];
}

static gboolean
is_step (AForkWorkerLinkState from,
         AForkWorkerLinkState to)
{
  switch (to)
    {
    case AFORK_WORKER_LINK_STATE_FAILED:
    case AFORK_WORKER_LINK_STATE_SERVING:
      return from == AFORK_WORKER_LINK_STATE_STARTING;
    case AFORK_WORKER_LINK_STATE_DRAINING:
      return from < AFORK_WORKER_LINK_STATE_DRAINING;
    case AFORK_WORKER_LINK_STATE_EXITED:
      return from < AFORK_WORKER_LINK_STATE_EXITED;
    case AFORK_WORKER_LINK_STATE_STARTING:
    default:
      return FALSE;
    }
}

static void
set_state (AForkWorkerLink      *self,
           AForkWorkerLinkState  state)
{
  g_assert (is_step (self->state, state));

  if (_afork_debug_is_enabled ())
    g_debug ("Worker %d: the link was %s, is %s", afork_process_get_pid (self->process),
             get_state_name (self->state), get_state_name (state));
  self->state = state;
}

static gboolean
has_exited (AForkWorkerLink *self)
{
  return self->state == AFORK_WORKER_LINK_STATE_EXITED;
}

static void
set_sending (AForkWorkerLink   *self,
             AForkSendingState  sending)
{
  g_assert (sending == self->sending + 1);

  if (_afork_debug_is_enabled ())
    g_debug ("Worker %d: the socket is %s", afork_process_get_pid (self->process),
             sending == AFORK_SENDING_STATE_CLOSING ? "to be closed when all is sent"
                                                    : "shut down for writing");
  self->sending = sending;
}

AForkWorkerLink *
_afork_worker_link_ref (AForkWorkerLink *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* Drops the stream. */
static void
shut (AForkWorkerLink *self)
{
  _afork_source_clear (&self->source);
  if (self->stream == NULL)
    return;

  _afork_worker_link_get_traffic (self, &self->n_sent, &self->n_received);
  g_clear_pointer (&self->stream, _afork_call_stream_unref);
}

/* In a fork of the program, which has no worker. Logs nothing: another thread of the parent may
 * have held a lock of the log. */
static void
atfork_child_cb (gpointer data)
{
  g_autoptr(AForkWorkerLink) self = _afork_worker_link_ref (data);

  self->events = NULL;
  self->state = AFORK_WORKER_LINK_STATE_EXITED;
  shut (self);
  _afork_source_clear (&self->exit_timeout);
  _afork_source_clear (&self->exit_source);
}

void
_afork_worker_link_unref (AForkWorkerLink *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  shut (self);
  /* The timeout of an unwatched worker is destroyed with the main context. */
  _afork_source_clear (&self->exit_timeout);
  _afork_source_clear (&self->exit_source);
  _afork_atfork_remove_hook (&self->atfork_hook);
  g_clear_pointer (&self->captured, _afork_stderr_capture_free);
  g_clear_error (&self->failure);
  g_clear_error (&self->exit_error);
  g_object_unref (self->process);
  g_weak_ref_clear (&self->owner);
  _afork_context_unref (self->context);
  _afork_context_unref (self->home);
  g_free (self);
}

/* The end. */

/* Why the process ended, if a limit of its sandbox was the reason, or NULL. */
static GError *
explain_by_limits (AForkWorkerLink *self)
{
  AForkLimits *limits = _afork_process_get_limits (self->process);
  g_autofree char *system_call = NULL;
  AForkLimitsEnd end = { .text = "" };
  guint64 user, system, rss;

  if (limits == NULL)
    return NULL;

  afork_process_get_term_signal (self->process, &end.signal);
  if (afork_process_get_usage (self->process, &user, &system, &rss))
    end.cpu_usec = user + system;
  end.answer_usec = self->answer_usec;
  if (self->captured != NULL)
    end.text = _afork_stderr_capture_finish (self->captured);
  end.system_call = system_call = _afork_process_dup_refused_call (self->process);
  return _afork_limits_explain (limits, _("The worker"), &end);
}

/* How the process ended, or NULL if it exited properly. */
static GError *
describe_exit (AForkWorkerLink *self)
{
  GError *error;

  int wait_status = -1;
  int number;

  if (afork_process_get_exit_status (self->process, &number))
    wait_status = W_EXITCODE (number, 0);
  else if (afork_process_get_term_signal (self->process, &number))
    wait_status = W_EXITCODE (0, number);
  if (wait_status == 0 && self->sending != AFORK_SENDING_STATE_OPEN)
    return NULL;
  if ((error = explain_by_limits (self)) != NULL)
    return error;
  if (wait_status < 0 && (error = _afork_process_new_lost_error (self->process)) != NULL)
    return error;
  if (wait_status == W_EXITCODE (0, SIGKILL) && _afork_oom_counter_has_killed ())
    return g_error_new (AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY,
                        _("The worker was killed because memory ran out"));

  return _afork_exit_error_new (_("The worker"), wait_status);
}

/* Adds the end of the standard error output of the worker and its children. */
static void
attach_stderr (AForkWorkerLink *self,
               GError          *error)
{
  const char *text = self->captured != NULL ? _afork_stderr_capture_finish (self->captured) : "";

  if (*text != '\0')
    {
      char *message = g_strdup_printf (_("%s. Standard error: %s"), error->message, text);

      g_free (error->message);
      error->message = message;
    }
}

/* A reference to the owner, to be held while events are called. Returns NULL if the owner is gone:
 * another thread may drop the last reference at any time, and calls _afork_worker_link_forget()
 * later. */
static GObject *
keep_owner (AForkWorkerLink *self)
{
  GObject *owner = g_weak_ref_get (&self->owner);

  if (owner == NULL)
    self->events = NULL;
  return owner;
}

static gboolean exit_cb (gpointer data);

/* The main context to attach sources to, or NULL if it is gone, or about to be. */
static GMainContext *
get_main (AForkWorkerLink *self)
{
  return _afork_context_peek (self->context);
}

static void
attach_exit_source (AForkWorkerLink *self)
{
  GMainContext *main = get_main (self);

  if (main == NULL || self->exit_source != NULL)
    return;

  self->exit_source = g_idle_source_new ();
  g_source_set_priority (self->exit_source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (self->exit_source, "[afork] calls: worker has exited");
  g_source_set_can_recurse (self->exit_source, TRUE);
  g_source_set_callback (self->exit_source, exit_cb, _afork_worker_link_ref (self),
                         (GDestroyNotify) _afork_worker_link_unref);
  g_source_attach (self->exit_source, main);
}

static void
set_exited (AForkWorkerLink *self)
{
  set_state (self, AFORK_WORKER_LINK_STATE_EXITED);
  self->exit_error = self->failure != NULL ? g_error_copy (self->failure) : describe_exit (self);
  if (self->exit_error != NULL)
    attach_stderr (self, self->exit_error);
  shut (self);
  if (self->events != NULL)
    attach_exit_source (self);
}

/* Disconnects the process. */
static void
unwatch_process (AForkWorkerLink *self)
{
  gulong id = self->exited_id;

  if (id == 0)
    return;

  self->exited_id = 0;
  _afork_process_unwatch_unkillable (self->process, self);
  g_signal_handler_disconnect (self->process, id);
}

static void context_gone_cb (gpointer data);

static void
unwatch_context (AForkWorkerLink *self)
{
  if (!self->watches_home || !_afork_context_unwatch (self->home, context_gone_cb, self))
    return;

  self->watches_home = FALSE;
  _afork_worker_link_unref (self);
}

/* Reports that the worker has exited, or does not run, or is unwatched. A handler may iterate the
 * context and wait there for a call that has not ended yet: then the exit source calls this again,
 * and this ends the rest. */
static void
report_exit (AForkWorkerLink *self)
{
  g_autoptr(AForkWorkerLink) kept G_GNUC_UNUSED = _afork_worker_link_ref (self);
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);

  if (!has_exited (self))
    set_exited (self);
  if (self->events != NULL)
    self->events->exited (self, self->exit_error, self->data);
  self->events = NULL;
  _afork_source_clear (&self->exit_source);
  if (!self->unwatched)
    _afork_source_clear (&self->exit_timeout);
  unwatch_process (self);
  unwatch_context (self);
  if (self->takes_rest)
    {
      self->takes_rest = FALSE;
      _afork_worker_link_unref (self);
    }
}

static gboolean
exit_cb (gpointer data)
{
  report_exit (data);
  return G_SOURCE_CONTINUE;
}

/* Kills the worker because of ERROR, which is taken, and is the reason that is reported also if the
 * worker has ended already. */
static void
kill_worker (AForkWorkerLink *self,
             GError          *error)
{
  if (self->failure == NULL)
    self->failure = error;
  else
    g_error_free (error);

  _afork_source_clear (&self->source);
  if (self->unwatched || self->state < AFORK_WORKER_LINK_STATE_DRAINING)
    afork_process_force_exit (self->process);
}

/* A worker that has to exit. */

static GError *
describe_exit_timeout (AForkWorkerLink *self)
{
  if (self->state != AFORK_WORKER_LINK_STATE_STARTING
      && (self->source == NULL || self->write_closed))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                        _("The worker closed its socket, but did not exit"));
  if (self->has_unanswered)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                        _("The worker went on with calls that had ended, and did not exit within "
                          "%d s"), EXIT_TIMEOUT / 1000);

  return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                      _("The worker was closed, and did not exit within %d s"),
                      EXIT_TIMEOUT / 1000);
}

static gboolean
exit_timeout_cb (gpointer data)
{
  AForkWorkerLink *self = data;
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, NULL))
    return G_SOURCE_CONTINUE;

  /* If the process has exited, its template reports how, as soon as it can: it may be stopped, or
   * lack processor time. */
  if (self->unwatched || !_afork_process_poll_exited (self->process))
    kill_worker (self, describe_exit_timeout (self));
  _afork_source_clear (&self->exit_timeout);
  _afork_turn_end (&turn, NULL, NULL, TRUE);
  return G_SOURCE_REMOVE;
}

static void
attach_exit_timeout (AForkWorkerLink *self,
                     gint64           time)
{
  GMainContext *main = get_main (self);

  _afork_source_clear (&self->exit_timeout);
  if (main == NULL)
    return;

  self->exit_timeout = _afork_turn_timer_new (time);
  g_source_set_static_name (self->exit_timeout, "[afork] calls: worker has to exit");
  g_source_set_callback (self->exit_timeout, exit_timeout_cb, _afork_worker_link_ref (self),
                         (GDestroyNotify) _afork_worker_link_unref);
  g_source_attach (self->exit_timeout, main);
}

/* Whether the worker is of no use any more. */
static gboolean
has_to_exit (AForkWorkerLink *self)
{
  if (self->unwatched)
    return TRUE;
  if (self->state == AFORK_WORKER_LINK_STATE_STARTING)
    return self->unneeded;
  if (self->state != AFORK_WORKER_LINK_STATE_SERVING)
    return FALSE;

  /* Without a source, the worker has closed its socket. A worker that does not read what is left
   * for it never gets to its done-function. */
  return self->source == NULL || self->write_closed || self->refused
    || (self->sending != AFORK_SENDING_STATE_OPEN
        && (self->has_unanswered || !self->wait_for_done || self->waits_for_room));
}

static void
update_exit_timeout (AForkWorkerLink *self)
{
  if (!has_to_exit (self))
    _afork_source_clear (&self->exit_timeout);
  else if (self->exit_timeout == NULL)
    attach_exit_timeout (self, g_get_monotonic_time () + EXIT_TIMEOUT * G_TIME_SPAN_MILLISECOND);
}

/* The worker sends no more. Its process will report how it ended. */
static void
await_exit (AForkWorkerLink *self)
{
  _afork_source_clear (&self->source);
  update_exit_timeout (self);
}

/* The process will not report its exit, because of MESSAGE. Closes the socket. */
static void
set_unwatched (AForkWorkerLink *self,
               const char      *message)
{
  self->unwatched = TRUE;
  if (self->failure == NULL)
    self->failure = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED, message);
  /* A function of this file that called the current handler may hold a reference to the stream. */
  if (self->stream != NULL)
    shutdown (_afork_call_stream_get_fd (self->stream), SHUT_RDWR);
}

/* The context is gone, and all sources with it. The process kills the worker if it does not exit in
 * time: see _afork_process_kill_after_context(). */
static void
lose_context (AForkWorkerLink *self)
{
  set_unwatched (self, _("The main context of the calls is gone"));
  report_exit (self);
}

/* In the thread that drops the context. */
static void
context_gone_cb (gpointer data)
{
  g_autoptr(AForkWorkerLink) self = data;

  self->watches_home = FALSE;
  if (!has_exited (self))
    lose_context (self);
}

/* The process does not report its exit any more: a caller ran its dispose, perhaps just now. */
static void
process_disposed (AForkWorkerLink *self)
{
  set_unwatched (self, _("The process object of the calls has been disposed of"));
  update_exit_timeout (self);
  attach_exit_source (self);
}

/* Messages. */

static gboolean
deliver (AForkWorkerLink   *self,
         AForkCallMessage  *message,
         GError           **error)
{
  return self->events == NULL || self->events->message (self, message, self->data, error);
}

/* Whether messages are still received. Asked after each one: its handler may have ended the
 * worker. */
static gboolean
is_receiving (AForkWorkerLink *self)
{
  return self->stream != NULL && self->failure == NULL;
}

/* All messages that have been read have been handed on. */
static void
note_delivered (AForkWorkerLink *self)
{
  self->n_delivered = _afork_call_stream_get_n_received (self->stream);
  if (self->events != NULL)
    self->events->received (self, self->n_delivered, self->data);
}

/* Hands on what has been read, until the turn is over. Handlers may iterate the main context, and
 * wait there for later messages, which the source then hands on. Returns
 * AFORK_CALL_STREAM_WOULD_BLOCK if all that has been read is handed on. */
static AForkCallStreamStatus
deliver_read (AForkWorkerLink  *self,
              AForkTurn        *turn,
              GError          **error)
{
  AForkCallStreamStatus status = AFORK_CALL_STREAM_BUSY;

  while ((status == AFORK_CALL_STREAM_OK || status == AFORK_CALL_STREAM_BUSY)
         && is_receiving (self) && _afork_turn_goes_on (turn))
    {
      g_auto(AForkCallMessage) message = { 0 };

      status = _afork_call_stream_next (self->stream, &message, error);
      self->undelivered = status == AFORK_CALL_STREAM_OK || status == AFORK_CALL_STREAM_BUSY;
      /* Large values and blobs may have taken long. */
      if (status == AFORK_CALL_STREAM_BUSY || message.blobs != NULL)
        _afork_turn_check_clock (turn);
      if (status == AFORK_CALL_STREAM_OK && !deliver (self, &message, error))
        status = AFORK_CALL_STREAM_FAILED;
    }

  if (status == AFORK_CALL_STREAM_WOULD_BLOCK)
    note_delivered (self);
  return status;
}

/* Reads once, and hands on what has been read. Sets CAUGHT_UP if nothing more can be read now. */
static AForkCallStreamStatus
read_and_deliver (AForkWorkerLink  *self,
                  AForkTurn        *turn,
                  gboolean         *caught_up,
                  GError          **error)
{
  AForkCallStreamStatus status = _afork_call_stream_read (self->stream, FALSE, error);

  if (status != AFORK_CALL_STREAM_OK)
    {
      *caught_up = TRUE;
      return status;
    }

  self->undelivered = TRUE;
  status = deliver_read (self, turn, error);
  if (status == AFORK_CALL_STREAM_WOULD_BLOCK && is_receiving (self))
    *caught_up = self->state == AFORK_WORKER_LINK_STATE_SERVING
      && !_afork_call_stream_may_have_more (self->stream);
  return status;
}

static gboolean
has_crashed (AForkWorkerLink *self)
{
  int signal;

  return self->state >= AFORK_WORKER_LINK_STATE_DRAINING
    && afork_process_get_term_signal (self->process, &signal);
}

/* Whether what was read last is from the outbox of a worker that has crashed. The reason that is
 * reported is then the crash, and not what is wrong in the outbox. */
static gboolean
is_damaged (AForkWorkerLink *self)
{
  return self->stream != NULL && has_crashed (self)
    && _afork_call_stream_is_in_outbox (self->stream);
}

/* Reads and hands on what has arrived, until the turn is over. Returns true if nothing is left. */
static gboolean
receive (AForkWorkerLink *self,
         AForkTurn       *turn)
{
  g_autoptr(AForkCallStream) stream G_GNUC_UNUSED = _afork_call_stream_ref (self->stream);
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = AFORK_CALL_STREAM_WOULD_BLOCK;
  gboolean caught_up = FALSE;

  /* If a handler of one message waits for the next, what the first one leads to comes first. */
  if (self->undelivered && self->events != NULL)
    self->events->resume (self, self->data);
  if (self->undelivered)
    status = deliver_read (self, turn, &error);
  while (status == AFORK_CALL_STREAM_WOULD_BLOCK && !caught_up
         && is_receiving (self) && _afork_turn_goes_on (turn))
    status = read_and_deliver (self, turn, &caught_up, &error);

  if (status == AFORK_CALL_STREAM_FAILED && is_damaged (self))
    caught_up = TRUE;
  else if (status == AFORK_CALL_STREAM_FAILED)
    kill_worker (self, g_steal_pointer (&error));
  else if (status == AFORK_CALL_STREAM_END && self->failure == NULL
           && self->state == AFORK_WORKER_LINK_STATE_SERVING)
    await_exit (self);
  return caught_up || self->source == NULL;
}

/* The process has ended. Receives what it had sent, and then reports the exit. No more than that is
 * read: children of the worker may have the socket, and send without end. */
static void
receive_rest (AForkWorkerLink *self)
{
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);
  gboolean is_all = self->source == NULL;
  AForkTurn turn;

  /* The source goes on from now on, so that a handler can wait for the exit. */
  if (!is_all && !self->takes_rest)
    {
      self->takes_rest = TRUE;
      _afork_worker_link_ref (self);
    }
  if (!is_all && _afork_turn_begin (&turn, NULL))
    {
      is_all = receive (self, &turn);
      _afork_turn_end (&turn, &self->turn_state, self->source, is_all);
    }
  if (!is_all)
    return;

  report_exit (self);
}

/* Has the source wait for room if STATUS, the result of sending, says that there was none. */
static void
wait_for_room (AForkWorkerLink       *self,
               AForkCallStreamStatus  status)
{
  gboolean polls = status == AFORK_CALL_STREAM_WOULD_BLOCK;
  gboolean retries = status == AFORK_CALL_STREAM_LATER;

  if (self->source == NULL)
    return;

  self->waits_for_room = polls || retries;
  if (self->polls_for_room != polls)
    g_source_modify_unix_fd (self->source, self->source_tag,
                             polls ? G_IO_IN | G_IO_OUT : G_IO_IN);
  self->polls_for_room = polls;
  g_source_set_ready_time (self->source, retries ? g_get_monotonic_time ()
                                                   + AFORK_CALL_STREAM_RETRY_TIME
                                                 : -1);
}

/* Shuts the socket down for writing once all has been sent, so that the worker reads its end. */
static void
close_when_sent (AForkWorkerLink *self)
{
  if (self->sending != AFORK_SENDING_STATE_CLOSING || self->waits_for_room
      || _afork_call_stream_get_unsent (self->stream) > 0)
    return;

  set_sending (self, AFORK_SENDING_STATE_CLOSED);
  shutdown (_afork_call_stream_get_fd (self->stream), SHUT_WR);
}

static void
flush (AForkWorkerLink *self)
{
  g_autoptr(AForkCallStream) stream = _afork_call_stream_ref (self->stream);
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = _afork_call_stream_flush (stream, FALSE, &error);

  if (status == AFORK_CALL_STREAM_FAILED)
    {
      kill_worker (self, g_steal_pointer (&error));
      return;
    }
  /* The worker is about to exit, and what it sent before is still to be read; or it has only closed
   * its socket. */
  if (status == AFORK_CALL_STREAM_END)
    {
      self->write_closed = TRUE;
      _afork_call_stream_drop_unsent (stream);
    }

  /* Sending frees bytes, by functions of the program that may have ended the worker. So may the
   * handlers below. */
  if (self->stream == NULL)
    return;
  wait_for_room (self, status);
  update_exit_timeout (self);
  if (self->events != NULL)
    self->events->sent (self, _afork_call_stream_get_n_sent (stream), self->data);
  if (status == AFORK_CALL_STREAM_OK && self->events != NULL)
    self->events->room (self, self->data);
  if (self->stream != NULL)
    close_when_sent (self);
}

/* The source. Whatever is added to the write buffer is added in the thread of the context, so
 * prepare() is called afterwards. */

static gboolean
has_to_flush (AForkWorkerLink *self)
{
  return !self->waits_for_room && !self->write_closed
    && (_afork_call_stream_get_unsent (self->stream) > 0
        || _afork_call_stream_is_copying (self->stream)
        || self->sending == AFORK_SENDING_STATE_CLOSING);
}

static gboolean
has_to_retry (GSource *source)
{
  gint64 time = g_source_get_ready_time (source);

  return time >= 0 && time <= g_source_get_time (source);
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  AForkWorkerLink *self = ((LinkSource *) source)->link;

  *timeout = -1;
  return self->source == source
    && (has_to_flush (self) || self->undelivered || self->takes_rest
        || _afork_turn_prepare (&self->turn_state, timeout));
}

/* Whether nothing could be sent now, nor copied to be sent. */
static gboolean
has_sent_all (AForkWorkerLink *self)
{
  return self->stream == NULL || self->waits_for_room
    || (_afork_call_stream_get_unsent (self->stream) == 0
        && !_afork_call_stream_is_copying (self->stream));
}

static void
serve (AForkWorkerLink *self,
       GSource         *source,
       AForkTurn       *turn)
{
  GIOCondition condition = g_source_query_unix_fd (source, self->source_tag);
  gboolean caught_up = TRUE;

  if ((condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0 || self->undelivered)
    caught_up = receive (self, turn);
  /* Answers often lead to more calls, which leave at once. */
  if (self->source == source
      && ((condition & G_IO_OUT) != 0 || has_to_flush (self) || has_to_retry (source)))
    {
      flush (self);
      _afork_turn_check_clock (turn);
    }
  /* After a flush, more of a large blob is copied. */
  while (self->source == source && _afork_call_stream_is_copying (self->stream)
         && !self->waits_for_room && _afork_turn_goes_on (turn))
    {
      flush (self);
      _afork_turn_check_clock (turn);
    }
  _afork_turn_end (turn, &self->turn_state, self->source == source ? source : NULL,
                   caught_up && has_sent_all (self));
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkWorkerLink *self = _afork_worker_link_ref (((LinkSource *) source)->link);
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);
  AForkTurn turn;

  if (self->takes_rest)
    receive_rest (self);
  else if (self->source == source && _afork_turn_begin (&turn, source))
    serve (self, source, &turn);

  _afork_worker_link_unref (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare, .dispatch = source_dispatch };

static void
attach (AForkWorkerLink *self)
{
  GMainContext *main = get_main (self);

  if (main == NULL)
    return;

  self->source = g_source_new (&source_funcs, sizeof (LinkSource));
  ((LinkSource *) self->source)->link = self;
  g_source_set_static_name (self->source, "[afork] calls");
  /* A handler that iterates the main context may be waiting for an answer. */
  g_source_set_can_recurse (self->source, TRUE);
  self->source_tag = g_source_add_unix_fd (self->source,
                                           _afork_call_stream_get_fd (self->stream),
                                           self->waits_for_room ? G_IO_IN | G_IO_OUT : G_IO_IN);
  self->polls_for_room = self->waits_for_room;
  self->turn_state = (AForkTurnState) { 0 };
  g_source_attach (self->source, main);
}

/* The worker cannot be killed. Reports its exit now, without waiting for it. */
static void
unkillable_cb (AForkProcess *process,
               const GError *error,
               gpointer      data)
{
  g_autoptr(AForkWorkerLink) self = _afork_worker_link_ref (data);
  GError *failure;

  if (self->failure == NULL
      || (self->state == AFORK_WORKER_LINK_STATE_STARTING && !self->unwatched))
    return;

  failure = g_error_copy (error);
  g_prefix_error (&failure, "%s. ", self->failure->message);
  g_error_free (self->failure);
  self->failure = failure;
  report_exit (self);
}

/* The end of the process. */

/* The process has ended. Only what it had sent, or left in its outbox, is still read. */
static void
begin_rest (AForkWorkerLink *self)
{
  g_autoptr(GError) error = NULL;
  gboolean is_last;

  if (self->stream == NULL)
    return;

  _afork_source_clear (&self->exit_timeout);
  if (_afork_call_stream_end_with_outbox (self->stream, &is_last, &self->begun, &error))
    self->knows_begun = is_last ? AFORK_WORKER_BEGUN_LAST : AFORK_WORKER_BEGUN_REPORTED;
  else if (!has_crashed (self))
    kill_worker (self, g_steal_pointer (&error));
  if (self->source == NULL && self->failure == NULL
      && !_afork_call_stream_is_at_end (self->stream))
    attach (self);
}

/* Beginning. */

static void
exited_cb (AForkProcess    *process,
           int              wait_status,
           AForkWorkerLink *self)
{
  g_autoptr(AForkWorkerLink) kept G_GNUC_UNUSED = _afork_worker_link_ref (self);

  if (self->exited_id == 0)
    return;

  unwatch_process (self);
  if (get_main (self) == NULL)
    {
      lose_context (self);
      return;
    }

  if (self->state < AFORK_WORKER_LINK_STATE_DRAINING)
    set_state (self, AFORK_WORKER_LINK_STATE_DRAINING);
  begin_rest (self);
  receive_rest (self);
}

static void
handler_gone_cb (gpointer  data,
                 GClosure *closure)
{
  g_autoptr(AForkWorkerLink) self = data;

  if (self->exited_id == 0)
    return;

  self->exited_id = 0;
  _afork_process_unwatch_unkillable (self->process, self);
  if (!has_exited (self))
    process_disposed (self);
}

/* A copy of the descriptor of CONNECTION, or -1 and an error. */
static int
keep_socket (GSocketConnection  *connection,
             GError            **error)
{
  int fd = _afork_fd_dup (g_socket_get_fd (g_socket_connection_get_socket (connection)));

  if (fd < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                 _("The worker's socket could not be kept: %s"), g_strerror (errno));
  return fd;
}

/* The worker does not serve because of ERROR. This is reported when the context is iterated. */
static void
fail_to_run (AForkWorkerLink *self,
             const GError    *error)
{
  set_state (self, AFORK_WORKER_LINK_STATE_FAILED);
  if (self->failure == NULL)
    self->failure = g_error_copy (error);
  attach_exit_source (self);
}

static void
begin_to_serve (AForkWorkerLink *self,
                int              fd)
{
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);

  set_state (self, AFORK_WORKER_LINK_STATE_SERVING);
  self->stream = _afork_call_stream_new (fd);
  _afork_call_stream_limit_fds (self->stream);
  _afork_call_stream_set_wake (self->stream, self->context, NULL, NULL);
  attach (self);
  update_exit_timeout (self);
  if (self->events != NULL)
    self->events->room (self, self->data);
}

/* DATA is the reference that the run holds. */
static void
ran_cb (AForkProcess      *process,
        GSocketConnection *connection,
        const GError      *error,
        gpointer           data)
{
  g_autoptr(AForkWorkerLink) self = data;
  g_autoptr(GError) failure = NULL;
  int fd = -1;

  if (self->state != AFORK_WORKER_LINK_STATE_STARTING || get_main (self) == NULL)
    return;
  if (connection == NULL)
    {
      fail_to_run (self, error);
      return;
    }

  fd = keep_socket (connection, &failure);
  if (fd < 0)
    {
      fail_to_run (self, failure);
      afork_process_force_exit (process);
      return;
    }

  begin_to_serve (self, fd);
}

AForkWorkerLink *
_afork_worker_link_new (AForkProcess                *process,
                        gboolean                     forward_stderr,
                        const AForkWorkerLinkEvents *events,
                        gpointer                     data)
{
  AForkWorkerLink *self = g_new0 (AForkWorkerLink, 1);

  g_atomic_ref_count_init (&self->ref_count);
  _afork_atfork_add_hook (&self->atfork_hook, atfork_child_cb, self);
  self->events = events;
  self->data = data;
  g_weak_ref_init (&self->owner, data);
  self->home = _afork_context_ref_thread_default ();
  self->context = _afork_context_ref (self->home);
  self->watches_home = _afork_context_watch (self->home, context_gone_cb, self);
  if (self->watches_home)
    _afork_worker_link_ref (self);
  self->process = g_object_ref (process);
  _afork_oom_counter_start ();
  if (_afork_process_can_prepare (process))
    self->captured = _afork_stderr_capture_new (process, get_main (self), forward_stderr);
  self->exited_id = g_signal_connect_data (process, "exited", G_CALLBACK (exited_cb),
                                           _afork_worker_link_ref (self), handler_gone_cb, 0);
  _afork_process_watch_unkillable (process, unkillable_cb, self);
  _afork_process_kill_after_context (process, EXIT_TIMEOUT);
  _afork_process_run_for (process, SERVE_FUNCTION, ran_cb, _afork_worker_link_ref (self));
  return self;
}

AForkContext *
_afork_worker_link_get_context (AForkWorkerLink *self)
{
  return self->context;
}

void
_afork_worker_link_set_context (AForkWorkerLink *self,
                                AForkContext    *context)
{
  GMainContext *main;

  _afork_context_ref (context);
  _afork_context_unref (self->context);
  self->context = context;
  main = get_main (self);

  if (self->stream != NULL)
    _afork_call_stream_set_wake (self->stream, context, NULL, NULL);
  if (self->captured != NULL && main != NULL)
    _afork_stderr_capture_set_context (self->captured, main);
  if (self->source != NULL)
    {
      _afork_source_clear (&self->source);
      attach (self);
    }
  if (self->exit_timeout != NULL)
    attach_exit_timeout (self, g_source_get_ready_time (self->exit_timeout));
  if (self->exit_source != NULL)
    {
      _afork_source_clear (&self->exit_source);
      attach_exit_source (self);
    }
}

AForkWorkerBegun
_afork_worker_link_get_begun (AForkWorkerLink *self,
                              guint32         *number)
{
  *number = self->begun;
  return self->knows_begun;
}

int
_afork_worker_link_get_pid (AForkWorkerLink *self)
{
  return afork_process_get_pid (self->process);
}

void
_afork_worker_link_get_traffic (AForkWorkerLink *self,
                                guint64         *n_sent,
                                guint64         *n_received)
{
  *n_sent = self->n_sent;
  *n_received = self->n_received;
  if (self->stream == NULL)
    return;

  *n_sent = _afork_call_stream_get_n_sent (self->stream);
  *n_received = _afork_call_stream_get_n_received (self->stream);
}

AForkCallStream *
_afork_worker_link_get_stream (AForkWorkerLink *self)
{
  if (self->write_closed || self->failure != NULL || self->sending != AFORK_SENDING_STATE_OPEN)
    return NULL;

  return self->stream;
}

gboolean
_afork_worker_link_has_unread (AForkWorkerLink *self,
                               guint64         *n_arrived)
{
  if (self->source == NULL || !is_receiving (self))
    return FALSE;

  /* While DRAINING, some of it may be in the outbox. All calls end with it. */
  *n_arrived = self->state == AFORK_WORKER_LINK_STATE_DRAINING
    ? G_MAXUINT64
    : _afork_call_stream_get_n_arrived (self->stream);
  return *n_arrived > self->n_delivered;
}

void
_afork_worker_link_close (AForkWorkerLink *self,
                          gboolean         has_unanswered,
                          gboolean         wait_for_done)
{
  if (self->sending == AFORK_SENDING_STATE_OPEN)
    set_sending (self, AFORK_SENDING_STATE_CLOSING);
  self->has_unanswered = has_unanswered;
  self->wait_for_done = wait_for_done;
  update_exit_timeout (self);
}

void
_afork_worker_link_set_unneeded (AForkWorkerLink *self)
{
  self->unneeded = TRUE;
  if (self->state == AFORK_WORKER_LINK_STATE_STARTING)
    update_exit_timeout (self);
}

void
_afork_worker_link_all_answered (AForkWorkerLink *self)
{
  self->has_unanswered = FALSE;
  if (self->sending != AFORK_SENDING_STATE_OPEN)
    update_exit_timeout (self);
}

void
_afork_worker_link_note_answer (AForkWorkerLink *self)
{
  const AForkLimits *limits = _afork_process_get_limits (self->process);
  const int pid = _afork_worker_link_get_pid (self);
  struct timespec used;
  clockid_t clock;

  /* If the worker has exited, another process may have its pid. A wrong time does no harm. */
  if (limits != NULL && limits->cpu_time >= 0 && pid != 0
      && clock_getcpuclockid (pid, &clock) == 0 && clock_gettime (clock, &used) == 0)
    self->answer_usec =
      (guint64) used.tv_sec * G_USEC_PER_SEC + (guint64) used.tv_nsec / 1000;
}

void
_afork_worker_link_refused (AForkWorkerLink *self)
{
  self->refused = TRUE;
  update_exit_timeout (self);
}

void
_afork_worker_link_forget (AForkWorkerLink *self,
                           gboolean         has_unanswered)
{
  self->events = NULL;
  self->unneeded = TRUE;
  _afork_worker_link_close (self, has_unanswered, FALSE);
}

const AForkLimits *
_afork_worker_link_get_limits (AForkWorkerLink *self)
{
  return _afork_process_get_limits (self->process);
}
