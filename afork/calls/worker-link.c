/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "worker-link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "afork-error.h"
#include "afork-process-private.h"
#include "base/atfork.h"
#include "base/context.h"
#include "base/fd.h"
#include "base/i18n.h"
#include "base/turn.h"
#include "oom-counter.h"
#include "stderr-capture.h"

/* The function that serves calls in a worker: see worker/call-service.c. */
#define SERVE_FUNCTION "afork_worker_serve_calls"

enum
{
  /* How long a worker that is of no use any more has to exit before it is killed, in
   * milliseconds. */
  EXIT_TIMEOUT = 5000,
};

struct _AForkWorkerLink
{
  AForkAtforkHook              atfork_hook; /* the stream and the source */
  gatomicrefcount              ref_count;
  const AForkWorkerLinkEvents *events;     /* NULL once forgotten */
  gpointer                     data;       /* only to be used with a reference … */
  GWeakRef                     owner;      /* … to this, which is the same object */
  AForkContext                *home;       /* of the object … */
  gboolean                     watched;    /* … whose end is waited for, with a reference */
  AForkContext                *context;    /* in which it is served now */
  AForkProcess                *process;
  gulong                       exited_id;  /* 0 once it has */
  AForkStderrCapture          *captured;   /* or NULL */

  gboolean                     starting;   /* the process has not run yet */
  AForkCallStream             *stream;     /* NULL before the worker runs, and at the end */
  GSource                     *source;     /* NULL when nothing is to be expected of the stream */
  gpointer                     source_tag;
  AForkTurnState               turn_state; /* of the source */
  gboolean                     undelivered; /* messages may have been read that were not handed
                                             * on */
  guint64                      n_delivered; /* bytes whose messages were all handed on */
  gboolean                     waits_for_room;
  gboolean                     polls_for_room; /* … which the descriptor tells; else it is tried */
  gboolean                     closing;
  gboolean                     closed;     /* the worker has been told that no more comes */
  gboolean                     has_unanswered;  /* … and is at calls that nobody waits for */
  gboolean                     wait_for_done;  /* … and may take its time for what else it does
                                                * then */
  gboolean                     refused;    /* the worker has said that it does not serve */

  gboolean                     write_closed; /* it takes no more */
  GSource                     *exit_timeout; /* or NULL; holds a reference */
  gboolean                     lost;       /* nothing is heard of the process any more */
  GError                      *failure;    /* why it was ended by this side, or NULL */
  gboolean                     process_exited;
  gboolean                     takes_rest; /* … its source receives the rest, and has a reference */
  AForkWorkerBegun             knows_begun;
  guint32                      begun;      /* the call that the worker began last, if known; or 0 */
  gboolean                     exited;     /* nothing more comes … */
  GError                      *exit_error; /* … for this reason, or NULL if it ended properly */
  GSource                     *exit_source; /* goes on with the end if a handler iterates the
                                             * context; or NULL */
};

typedef struct
{
  GSource          parent;
  AForkWorkerLink *link;
} LinkSource;

AForkWorkerLink *
_afork_worker_link_ref (AForkWorkerLink *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* Gives up the stream. */
static void
shut (AForkWorkerLink *self)
{
  _afork_source_clear (&self->source);
  g_clear_pointer (&self->stream, _afork_call_stream_unref);
}

/* In a fork of the program. */
static void
run_in_child (gpointer data)
{
  g_autoptr(AForkWorkerLink) self = _afork_worker_link_ref (data);

  self->events = NULL;
  self->exited = TRUE;
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
  /* The timeout of a lost worker is destroyed with the main context. */
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

/* How the process ended, or NULL if it did so properly. */
static GError *
describe_exit (AForkWorkerLink *self)
{
  int number;

  if (afork_process_get_exit_status (self->process, &number))
    {
      if (number == 0 && self->closing)
        return NULL;
      return g_error_new (AFORK_ERROR, AFORK_ERROR_EXITED,
                          _("The worker exited with status %d"), number);
    }
  if (!afork_process_get_term_signal (self->process, &number))
    return g_error_new (AFORK_ERROR, AFORK_ERROR_LOST,
                        _("The worker has ended, and nobody can say how"));
  if (number == SIGKILL && _afork_oom_counter_has_killed ())
    return g_error_new (AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY,
                        _("The worker was killed because memory ran out"));

  return g_error_new (AFORK_ERROR, AFORK_ERROR_SIGNALED,
                      _("The worker was ended by signal %d (%s)"), number, g_strsignal (number));
}

/* Adds the end of what the worker and its children wrote. */
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

/* A reference to the object that the link is of, for as long as that may be called. NULL if there
 * is none any more: another thread may drop the last one at any time, and tells later. */
static GObject *
keep_owner (AForkWorkerLink *self)
{
  GObject *owner = g_weak_ref_get (&self->owner);

  if (owner == NULL)
    self->events = NULL;
  return owner;
}

static gboolean exit_cb (gpointer data);

/* Where sources can be attached; NULL if the context has gone, or is going. */
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
  self->exited = TRUE;
  self->exit_error = self->failure != NULL ? g_error_copy (self->failure) : describe_exit (self);
  if (self->exit_error != NULL)
    attach_stderr (self, self->exit_error);
  shut (self);
  if (self->events != NULL)
    attach_exit_source (self);
}

/* Nothing more is to be heard of the process. */
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
  if (!self->watched || !_afork_context_unwatch (self->home, context_gone_cb, self))
    return;

  self->watched = FALSE;
  _afork_worker_link_unref (self);
}

/* The worker has exited, or will not run, or is lost. Reports that. A handler may iterate the
 * context and wait there for what is still to be reported: then this function is called again, and
 * does the rest. */
static void
report_exit (AForkWorkerLink *self)
{
  g_autoptr(AForkWorkerLink) kept G_GNUC_UNUSED = _afork_worker_link_ref (self);
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);

  if (!self->exited)
    set_exited (self);
  if (self->events != NULL)
    self->events->exited (self, self->exit_error, self->data);
  self->events = NULL;
  _afork_source_clear (&self->exit_source);
  if (!self->lost)
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

/* Ends the worker because of ERROR, which is taken. If it has ended already, ERROR still is why. */
static void
kill_worker (AForkWorkerLink *self,
             GError          *error)
{
  if (self->failure == NULL)
    self->failure = error;
  else
    g_error_free (error);

  _afork_source_clear (&self->source);
  if (!self->process_exited)
    afork_process_force_exit (self->process);
}

/* A worker that has to exit. */

static GError *
describe_exit_timeout (AForkWorkerLink *self)
{
  if (self->source == NULL || self->write_closed)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_CLOSED,
                        _("The worker closed its socket, and yet did not end"));
  if (self->has_unanswered)
    return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                        _("The worker was at calls that had been given up, and did not end within "
                          "%d s"), EXIT_TIMEOUT / 1000);

  return g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                      _("The worker was closed, and did not end within %d s"),
                      EXIT_TIMEOUT / 1000);
}

static gboolean
exit_timeout_cb (gpointer data)
{
  AForkWorkerLink *self = data;

  kill_worker (self, describe_exit_timeout (self));
  _afork_source_clear (&self->exit_timeout);
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

  self->exit_timeout = g_timeout_source_new (EXIT_TIMEOUT);
  if (time >= 0)
    g_source_set_ready_time (self->exit_timeout, time);
  g_source_set_static_name (self->exit_timeout, "[afork] calls: worker has to exit");
  g_source_set_callback (self->exit_timeout, exit_timeout_cb, _afork_worker_link_ref (self),
                         (GDestroyNotify) _afork_worker_link_unref);
  g_source_attach (self->exit_timeout, main);
}

/* Whether nobody waits for anything that the worker could still do. */
static gboolean
has_to_exit (AForkWorkerLink *self)
{
  if (self->lost)
    return TRUE;
  if (self->stream == NULL || self->process_exited)
    return FALSE;

  /* Without a source it has closed its socket. One that takes its time does so when it has been
   * told that no more comes. */
  return self->source == NULL || self->write_closed || self->refused
    || (self->closing && (self->has_unanswered || !self->wait_for_done || self->waits_for_room));
}

static void
update_exit_timeout (AForkWorkerLink *self)
{
  if (!has_to_exit (self))
    _afork_source_clear (&self->exit_timeout);
  else if (self->exit_timeout == NULL)
    attach_exit_timeout (self, -1);
}

/* The worker sends no more. How it ended is still to come. */
static void
await_exit (AForkWorkerLink *self)
{
  _afork_source_clear (&self->source);
  update_exit_timeout (self);
}

/* A worker that is lost. It finds its socket closed. */
static void
lose (AForkWorkerLink *self,
      const char      *message)
{
  self->lost = TRUE;
  self->starting = FALSE;
  if (self->failure == NULL)
    self->failure = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_CLOSED, message);
  /* Code of ours that has called a handler may still keep the stream. */
  if (self->stream != NULL)
    shutdown (_afork_call_stream_get_fd (self->stream), SHUT_RDWR);
}

/* No source of it is left, and the process kills the worker if it does not exit in time. */
static void
lose_context (AForkWorkerLink *self)
{
  lose (self, _("The main context of the calls is gone"));
  report_exit (self);
}

/* In the thread that lets the context go. */
static void
context_gone_cb (gpointer data)
{
  g_autoptr(AForkWorkerLink) self = data;

  self->watched = FALSE;
  if (!self->exited)
    lose_context (self);
}

/* The process does not tell of its end any more: it was disposed of by force, which is perhaps
 * still going on. */
static void
lose_process (AForkWorkerLink *self)
{
  lose (self, _("The process object of the calls has been disposed of"));
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

/* A handler may have ended the worker. */
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

/* Hands on what has been read, until the turn is over. Handlers may run the main context, and wait
 * there for later messages; then the source does the same. AFORK_CALL_STREAM_WOULD_BLOCK: all that
 * has been read is handed on. */
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
      /* Large values and blobs take long. */
      if (status == AFORK_CALL_STREAM_BUSY || message.blobs != NULL)
        _afork_turn_look (turn);
      if (status == AFORK_CALL_STREAM_OK && !deliver (self, &message, error))
        status = AFORK_CALL_STREAM_FAILED;
    }

  if (status == AFORK_CALL_STREAM_WOULD_BLOCK)
    note_delivered (self);
  return status;
}

/* Reads once, and hands on what has come. */
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
    *caught_up = !self->process_exited && !_afork_call_stream_may_have_more (self->stream);
  return status;
}

static gboolean
has_crashed (AForkWorkerLink *self)
{
  int signal;

  return self->process_exited && afork_process_get_term_signal (self->process, &signal);
}

/* What was read last was in the memory of a worker that has crashed. The crash is what matters
 * then, and not what became of that memory. */
static gboolean
is_damaged (AForkWorkerLink *self)
{
  return has_crashed (self) && _afork_call_stream_is_in_outbox (self->stream);
}

/* Reads and hands on what has come, until the turn is over. True if nothing is left. */
static gboolean
receive (AForkWorkerLink *self,
         AForkTurn       *turn)
{
  g_autoptr(AForkCallStream) stream G_GNUC_UNUSED = _afork_call_stream_ref (self->stream);
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = AFORK_CALL_STREAM_WOULD_BLOCK;
  gboolean caught_up = FALSE;

  /* A handler of one message waits for the next: the rest of what the first leads to is done
   * before. */
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
  else if (status == AFORK_CALL_STREAM_END && self->failure == NULL && !self->process_exited)
    await_exit (self);
  return caught_up || self->source == NULL;
}

/* The process has ended. What it sent is still in the socket, and comes first; but only that, since
 * children of it may have the socket, and send without end. */
static void
receive_rest (AForkWorkerLink *self)
{
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);
  gboolean is_all = self->source == NULL;
  AForkTurn turn;

  /* From now on, so that a handler can wait for the end. */
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

/* Has the source look for room as STATUS, of what was sent, makes it necessary. */
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

/* Tells the worker that no more comes, once all has been sent. */
static void
close_when_sent (AForkWorkerLink *self)
{
  if (!self->closing || self->closed || self->waits_for_room
      || _afork_call_stream_get_unsent (self->stream) > 0)
    return;

  self->closed = TRUE;
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
  /* It is about to end; what it sent before is still to be read. */
  if (status == AFORK_CALL_STREAM_END)
    {
      self->write_closed = TRUE;
      _afork_call_stream_drop_unsent (stream);
    }

  /* What was sent is freed by code of the program, which may have ended the worker; and so may a
   * handler that is called for the room. */
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

/* The source. Who gathers something is of the context's own thread, which does not sleep. */

static gboolean
has_to_flush (AForkWorkerLink *self)
{
  return !self->waits_for_room && !self->write_closed
    && (_afork_call_stream_get_unsent (self->stream) > 0 || (self->closing && !self->closed));
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

/* Whether nothing is gathered that could be sent at once. */
static gboolean
has_sent_all (AForkWorkerLink *self)
{
  return self->stream == NULL || self->waits_for_room
    || _afork_call_stream_get_unsent (self->stream) == 0;
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
    flush (self);
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
  /* A handler that iterates the main context waits perhaps for an answer that comes here. */
  g_source_set_can_recurse (self->source, TRUE);
  self->source_tag = g_source_add_unix_fd (self->source,
                                           _afork_call_stream_get_fd (self->stream),
                                           self->waits_for_room ? G_IO_IN | G_IO_OUT : G_IO_IN);
  self->polls_for_room = self->waits_for_room;
  self->turn_state = (AForkTurnState) { 0 };
  g_source_attach (self->source, main);
}

/* The worker was to be ended, and cannot be killed: nothing more is expected of it. */
static void
unkillable_cb (AForkProcess *process,
               const GError *error,
               gpointer      data)
{
  g_autoptr(AForkWorkerLink) self = _afork_worker_link_ref (data);
  GError *failure;

  if (self->failure == NULL || self->starting)
    return;

  failure = g_error_copy (error);
  g_prefix_error (&failure, "%s. ", self->failure->message);
  g_error_free (self->failure);
  self->failure = failure;
  report_exit (self);
}

/* The end of the process. */

/* The process has ended. What it sent and what it was about to send comes first. But no more than
 * that: children of it may have the socket, and send without end. */
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

  self->process_exited = TRUE;
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
  if (!self->exited)
    lose_process (self);
}

/* The descriptor of CONNECTION, or -1 and an error. */
static int
keep_socket (GSocketConnection  *connection,
             GError            **error)
{
  int fd = fcntl (g_socket_get_fd (g_socket_connection_get_socket (connection)),
                  F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

  if (fd < 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
                 _("The worker's socket could not be kept: %s"), g_strerror (errno));
  return fd;
}

/* Why the worker does not run, ERROR, is reported when the context is iterated. */
static void
fail_to_run (AForkWorkerLink *self,
             const GError    *error)
{
  if (self->failure == NULL)
    self->failure = g_error_copy (error);
  attach_exit_source (self);
}

static void
begin_to_serve (AForkWorkerLink *self,
                int              fd)
{
  g_autoptr(GObject) owner G_GNUC_UNUSED = keep_owner (self);

  self->stream = _afork_call_stream_new (fd);
  _afork_call_stream_limit_fds (self->stream);
  _afork_call_stream_set_wake (self->stream, self->context, NULL, NULL);
  attach (self);
  update_exit_timeout (self);
  if (self->events != NULL)
    self->events->room (self, self->data);
}

/* The reference that the run has. */
static void
ran_cb (AForkProcess      *process,
        GSocketConnection *connection,
        const GError      *error,
        gpointer           data)
{
  g_autoptr(AForkWorkerLink) self = data;
  g_autoptr(GError) failure = NULL;
  int fd = -1;

  self->starting = FALSE;
  if (self->exited || get_main (self) == NULL)
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
  _afork_atfork_add_hook (&self->atfork_hook, run_in_child, self);
  self->events = events;
  self->data = data;
  g_weak_ref_init (&self->owner, data);
  self->home = _afork_context_ref_thread_default ();
  self->context = _afork_context_ref (self->home);
  self->watched = _afork_context_watch (self->home, context_gone_cb, self);
  if (self->watched)
    _afork_worker_link_ref (self);
  self->process = g_object_ref (process);
  _afork_oom_counter_start ();
  if (_afork_process_can_prepare (process))
    self->captured = _afork_stderr_capture_new (process, get_main (self), forward_stderr);
  self->exited_id = g_signal_connect_data (process, "exited", G_CALLBACK (exited_cb),
                                           _afork_worker_link_ref (self), handler_gone_cb, 0);
  _afork_process_watch_unkillable (process, unkillable_cb, self);
  _afork_process_kill_after_context (process, EXIT_TIMEOUT);
  self->starting = TRUE;
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

AForkCallStream *
_afork_worker_link_get_stream (AForkWorkerLink *self)
{
  return self->write_closed || self->closing || self->failure != NULL ? NULL : self->stream;
}

gboolean
_afork_worker_link_has_unread (AForkWorkerLink *self,
                               guint64         *n_arrived)
{
  if (self->source == NULL || !is_receiving (self))
    return FALSE;

  /* The rest is not only in the socket; all calls end with it. */
  *n_arrived = self->process_exited ? G_MAXUINT64 : _afork_call_stream_get_n_arrived (self->stream);
  return *n_arrived > self->n_delivered;
}

void
_afork_worker_link_close (AForkWorkerLink *self,
                          gboolean         has_unanswered,
                          gboolean         wait_for_done)
{
  self->closing = TRUE;
  self->has_unanswered = has_unanswered;
  self->wait_for_done = wait_for_done;
  update_exit_timeout (self);
}

void
_afork_worker_link_all_answered (AForkWorkerLink *self)
{
  self->has_unanswered = FALSE;
  if (self->closing)
    update_exit_timeout (self);
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
  _afork_worker_link_close (self, has_unanswered, FALSE);
}
