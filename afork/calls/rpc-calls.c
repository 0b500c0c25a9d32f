/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "rpc-calls.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "base/debug.h"
#include "base/i18n.h"
#include "base/turn.h"
#include "client/remote-error.h"
#include "stream/blob-memory.h"
#include "stream/protocol-error.h"

enum
{
  /* No call is added to a write buffer that has more bytes than this. */
  MAX_UNSENT = 1024 * 1024,
  /* Nor is one if more bytes of blobs than this were copied to shared memory since the last flush:
   * not many blobs are copied in one iteration of the main context. A large blob is copied in
   * several. */
  MAX_COPIED = 256 * 1024,
  /* The part of a refusal's text that is kept, in bytes. */
  MAX_REFUSAL = 4096,
};

static const char *
get_state_name (AForkRpcCallsState state)
{
  static const char *const names[] = {
    [AFORK_RPC_CALLS_STATE_NEW] = "new",
    [AFORK_RPC_CALLS_STATE_SET_UP] = "set up",
    [AFORK_RPC_CALLS_STATE_STARTED] = "started",
    [AFORK_RPC_CALLS_STATE_REFUSED] = "refused",
    [AFORK_RPC_CALLS_STATE_ENDED] = "ended",
    [AFORK_RPC_CALLS_STATE_NOT_RUN] = "not run",
  };

  return names[state];
}

static gboolean
is_step (AForkRpcCallsState from,
         AForkRpcCallsState to)
{
  switch (to)
    {
    case AFORK_RPC_CALLS_STATE_SET_UP:
    case AFORK_RPC_CALLS_STATE_NOT_RUN:
      return from == AFORK_RPC_CALLS_STATE_NEW;
    case AFORK_RPC_CALLS_STATE_STARTED:
    case AFORK_RPC_CALLS_STATE_REFUSED:
      return from == AFORK_RPC_CALLS_STATE_SET_UP;
    case AFORK_RPC_CALLS_STATE_ENDED:
      return from >= AFORK_RPC_CALLS_STATE_SET_UP && from <= AFORK_RPC_CALLS_STATE_REFUSED;
    case AFORK_RPC_CALLS_STATE_NEW:
    default:
      return FALSE;
    }
}

static void
set_state (AForkRpcCalls      *self,
           AForkRpcCallsState  state)
{
  g_assert (is_step (self->state, state));

  if (_afork_debug_is_enabled ())
    g_debug ("Calls of “%s”: the worker was %s, and is %s", self->setup.function,
             get_state_name (self->state), get_state_name (state));
  self->state = state;
}

/* Returns the stream to the worker, or NULL if nothing can be sent. */
static AForkCallStream *
get_stream (AForkRpcCalls *self)
{
  return self->link != NULL ? _afork_worker_link_get_stream (self->link) : NULL;
}

static int
get_pid (AForkRpcCalls *self)
{
  return self->link != NULL ? _afork_worker_link_get_pid (self->link) : 0;
}

/* Writes what happens to a call. ERROR may be NULL. */
static void
debug_call (AForkRpcCalls *self,
            guint32        number,
            const char    *what,
            const GError  *error)
{
  const int pid = get_pid (self);

  if (error != NULL)
    _afork_debug_write (AFORK_DEBUG_CALLS, pid, "Call %u of “%s” to worker %d %s: %s", number,
                        self->setup.function, pid, what, error->message);
  else
    _afork_debug_write (AFORK_DEBUG_CALLS, pid, "Call %u of “%s” to worker %d %s", number,
                        self->setup.function, pid, what);
}

/* Sending. */

static void
send_setup (AForkRpcCalls   *self,
            AForkCallStream *stream)
{
  const AForkRpcCallsSetup *setup = &self->setup;
  const gboolean can_pass = setup->can_pass_fds;
  const gboolean can_check = _afork_blob_memory_can_check ();
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_SETUP,
    .flags = (setup->concurrent ? AFORK_CALL_FRAME_CONCURRENT : 0)
      | (setup->trusted ? 0 : AFORK_CALL_FRAME_UNTRUSTED)
      | (can_check ? 0 : AFORK_CALL_FRAME_NO_MEMORY)
      | (can_pass ? 0 : AFORK_CALL_FRAME_NO_FDS),
    .number = AFORK_CALL_WIRE_VERSION,
    .string = {
      setup->function,
      setup->init_function != NULL ? setup->init_function : "",
      setup->done_function != NULL ? setup->done_function : "",
    },
  };

  if (!can_pass)
    _afork_call_stream_send_no_fds (stream);
  if (!can_check || !can_pass)
    _afork_call_stream_refuse_memory (stream);
  else if (setup->trusted)
    _afork_call_stream_accept_segments (stream);
  _afork_call_stream_send (stream, &frame);
  set_state (self, AFORK_RPC_CALLS_STATE_SET_UP);
}

/* Offers the worker an outbox before its second call. A single call is faster without one. The call
 * that is sent next does not wait any more. */
static void
send_outbox (AForkRpcCalls   *self,
             AForkCallStream *stream)
{
  if (self->outbox_sent || (g_queue_is_empty (&self->waiting) && self->in_flight.last_number == 0))
    return;

  self->outbox_sent = TRUE;
  if (self->setup.can_pass_fds)
    _afork_call_stream_send_outbox (stream,
                                    self->setup.concurrent ? AFORK_CALL_OUTBOX_CONCURRENT_SIZE
                                                           : AFORK_CALL_OUTBOX_SIZE);
}

/* Time limits. */

/* Whether the worker could begin with a call that it has. The time that an init-function takes is
 * not part of the time of any call. */
static gboolean
can_begin (AForkRpcCalls *self)
{
  return self->state == AFORK_RPC_CALLS_STATE_STARTED || self->setup.init_function == NULL;
}

/* Starts the time limit of the call that a sequential worker could begin with: the oldest one that
 * has not ended here. Older calls that have ended here do not count, because a worker that never
 * answers one of them would keep all other calls without a limit. If the worker is still at one of
 * them, it reports later when it begins with this call, and the limit is started again. */
static void
start_limit (AForkRpcCalls *self)
{
  AForkPendingCall *call;

  if (!self->has_limits || self->setup.concurrent || !can_begin (self))
    return;

  call = _afork_pending_table_peek_oldest (&self->in_flight);
  if (call != NULL && call->written)
    _afork_pending_call_start_limit (call);
}

void
_afork_rpc_calls_note_sent (AForkRpcCalls *self,
                            guint64        n_sent)
{
  AForkPendingCall *call;

  self->n_sent = n_sent;
  while (can_begin (self)
         && (call = g_queue_peek_head (&self->unwritten)) != NULL && call->limit_bytes <= n_sent)
    {
      _afork_pending_call_leave_queue (call);
      call->written = TRUE;
      if (self->setup.concurrent)
        _afork_pending_call_start_limit (call);
    }

  start_limit (self);
}

/* Makes the time limit of CALL, which is in the write buffer, start when the call was sent. */
static void
start_limit_when_sent (AForkRpcCalls    *self,
                       AForkCallStream  *stream,
                       AForkPendingCall *call)
{
  if (call->limit == 0)
    return;

  self->has_limits = TRUE;
  _afork_pending_call_enter_queue (call, &self->unwritten,
                                   _afork_call_stream_get_n_gathered (stream));
}

/* Whether the worker has to report that it begins with CALL. */
static gboolean
wants_begin_notified (AForkPendingCall *call)
{
  return call->job != NULL || call->limit > 0
    || (call->owner_funcs != NULL && call->cancellable != NULL);
}

/* Ends CALL, which cannot be sent because of ERROR. Takes ERROR. */
static void
fail_unsent (AForkPendingCall *call,
             GError           *error)
{
  if (call->owner_funcs == NULL)
    {
      _afork_pending_call_fail (call, error);
      return;
    }

  _afork_pending_call_unwatch (call);
  call->owner_funcs->unsent (call, error, call->owner_data);
}

static GPtrArray *
get_blobs (AForkPendingCall *call)
{
  return call->job != NULL ? _afork_job_get_blobs (call->job) : NULL;
}

/* Puts CALL into the write buffer, or ends it if it cannot be sent. */
static void
send_call (AForkRpcCalls    *self,
           AForkCallStream  *stream,
           AForkPendingCall *call)
{
  g_autoptr(GError) error = NULL;
  gboolean sent;

  _afork_pending_table_add (&self->in_flight, call);
  sent = _afork_call_stream_send_value (stream, AFORK_CALL_FRAME_CALL,
                                        wants_begin_notified (call)
                                          ? AFORK_CALL_FRAME_NOTIFY_BEGIN : 0,
                                        call->number, call->args,
                                        call->job != NULL ? afork_job_get_fds (call->job) : NULL,
                                        get_blobs (call),
                                        &error);
  if (_afork_debug_wants (AFORK_DEBUG_CALLS))
    debug_call (self, call->number, sent ? "is sent" : "cannot be sent", error);
  if (sent)
    {
      start_limit_when_sent (self, stream, call);
      return;
    }

  _afork_pending_table_remove (&self->in_flight, call->number);
  fail_unsent (call, g_steal_pointer (&error));
  g_object_unref (call);
}

/* Returns the stream if the next call that waits can be sent now, or NULL. */
static AForkCallStream *
find_room (AForkRpcCalls *self)
{
  AForkCallStream *stream;

  if (g_queue_is_empty (&self->waiting)
      || self->state > AFORK_RPC_CALLS_STATE_STARTED
      || self->in_flight.n_calls >= self->max_in_flight)
    return NULL;

  stream = get_stream (self);
  if (stream == NULL
      || _afork_call_stream_get_unsent (stream) >= MAX_UNSENT
      || _afork_call_stream_get_n_copied (stream) >= MAX_COPIED)
    return NULL;

  return stream;
}

/* Returns the next call that waits, or NULL if none can be sent now. */
static AForkPendingCall *
take_waiting (AForkRpcCalls   *self,
              AForkCallStream *stream)
{
  AForkPendingCall *call = g_queue_peek_head (&self->waiting);

  if (!_afork_call_stream_prepare_blobs (stream, get_blobs (call)))
    return NULL;

  g_queue_pop_head_link (&self->waiting);
  return call;
}

/* Whether no call will be sent any more. */
static gboolean
has_sent_all (AForkRpcCalls *self)
{
  return self->closing && g_queue_is_empty (&self->waiting) && self->in_flight.n_calls == 0;
}

void
_afork_rpc_calls_send_waiting (AForkRpcCalls *self)
{
  AForkPendingCall *call;
  AForkCallStream *stream;

  /* Each answer comes here, and mostly no call waits for room. */
  if (g_queue_is_empty (&self->waiting) && !self->closing
      && self->state != AFORK_RPC_CALLS_STATE_NEW)
    return;

  stream = get_stream (self);
  if (stream == NULL)
    {
      /* A done-function may take long, and so may what comes before it. */
      if (has_sent_all (self) && self->link != NULL && self->setup.done_function == NULL)
        _afork_worker_link_set_unneeded (self->link);
      return;
    }

  if (self->state == AFORK_RPC_CALLS_STATE_NEW)
    send_setup (self, stream);
  /* A call that cannot be sent fails, and a handler of its job may do anything, such as killing the
   * worker: so this asks for the stream before each call. */
  while ((stream = find_room (self)) != NULL && (call = take_waiting (self, stream)) != NULL)
    {
      send_outbox (self, stream);
      send_call (self, stream, call);
    }

  /* The link sends nothing once it is closed. Until all calls have ended, a CANCEL may have to be
   * sent. */
  if (has_sent_all (self) && get_stream (self) != NULL)
    _afork_worker_link_close (self->link, self->in_flight.n_taken > 0,
                              self->setup.done_function != NULL);
}

/* Ending. */

/* Asks the worker to stop working on CALL, or not to begin. The worker still answers it. */
static void
send_cancel (AForkRpcCalls    *self,
             AForkPendingCall *call)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_CANCEL, .number = call->number };
  AForkCallStream *stream = get_stream (self);

  if (stream != NULL)
    _afork_call_stream_send (stream, &frame);
}

/* CALL is not sent after all. */
static void
drop_blobs (AForkRpcCalls    *self,
            AForkPendingCall *call)
{
  AForkCallStream *stream = get_stream (self);

  if (stream != NULL)
    _afork_call_stream_drop_blobs (stream, get_blobs (call));
}

/* Ends CALL before the worker has answered it. Takes ERROR. */
static void
cancel_call_cb (AForkPendingCall *call,
                GError           *error,
                gpointer          data)
{
  AForkRpcCalls *self = data;
  g_autoptr(GObject) kept G_GNUC_UNUSED = g_object_ref (self->owner);
  g_autoptr(AForkPendingCall) owned = call;
  AForkPendingCall *found;
  const gboolean was_sent = _afork_pending_table_find (&self->in_flight, call->number, &found)
    && found == call;

  if (_afork_debug_wants (AFORK_DEBUG_CALLS))
    debug_call (self, call->number, was_sent ? "is ended here" : "is ended before it was sent",
                error);
  if (was_sent)
    {
      _afork_pending_table_mark_unwanted (&self->in_flight, call);
      send_cancel (self, call);
      start_limit (self);
    }
  else
    {
      g_queue_unlink (&self->waiting, &call->link);
      drop_blobs (self, call);
    }

  if (owned->owner_funcs != NULL)
    {
      _afork_pending_call_unwatch (owned);
      owned->owner_funcs->cancelled (owned, error, was_sent, owned->owner_data);
    }
  else
    {
      _afork_pending_call_end (owned, NULL, error);
    }
  _afork_rpc_calls_send_waiting (self);
}

static gboolean
defer_limit_cb (AForkPendingCall *call,
                gpointer          data)
{
  AForkRpcCalls *self = data;
  guint64 n_arrived;

  if (self->link == NULL || !_afork_worker_link_has_unread (self->link, &n_arrived))
    return FALSE;

  _afork_pending_call_enter_queue (call, &self->overdue, n_arrived);
  return TRUE;
}

static const AForkPendingCallFuncs call_funcs = {
  .cancel = cancel_call_cb,
  .defer_limit = defer_limit_cb,
};

void
_afork_rpc_calls_note_received (AForkRpcCalls *self,
                                guint64        n_received)
{
  AForkPendingCall *call;

  while ((call = g_queue_peek_head (&self->overdue)) != NULL && call->limit_bytes <= n_received)
    _afork_pending_call_end_limit (call);
}

void
_afork_rpc_calls_add (AForkRpcCalls    *self,
                      AForkPendingCall *call)
{
  g_autoptr(GObject) kept G_GNUC_UNUSED = g_object_ref (self->owner);

  _afork_pending_call_watch (call, &call_funcs, self);
  g_queue_push_tail_link (&self->waiting, &call->link);
  /* A handler of the job may do anything, such as cancelling the call. */
  if (call->job != NULL && call->owner_funcs == NULL)
    _afork_job_set_state (call->job, AFORK_JOB_STATE_QUEUED);
  _afork_rpc_calls_send_waiting (self);
}

/* Whether the worker had begun with CALL, if it reported each call that it began, or LAST as the
 * last one. It begins with calls in the order of their numbers, which wrap around. */
static gboolean
was_begun (const AForkPendingCall *call,
           AForkWorkerBegun        known,
           guint32                 last)
{
  if (call->begun || known == AFORK_WORKER_BEGUN_REPORTED)
    return call->begun;

  return call->number != 0 && last != 0 && (gint32) (call->number - last) <= 0;
}

/* Ends CALL. Takes ERROR. */
static void
fail_lost_call (AForkPendingCall *call,
                gboolean          begun,
                GError           *error)
{
  _afork_pending_call_unwatch (call);
  if (begun && call->job != NULL)
    _afork_job_set_begun (call->job);
  g_prefix_error (&error, "%s ",
                  begun ? _("This call had begun.") : _("This call had not begun."));
  _afork_pending_call_end (call, NULL, error);
}

/* Ends CALL with ERROR. KNOWN and LAST are as for was_begun(). */
static void
fail_call (AForkRpcCalls    *self,
           AForkPendingCall *call,
           AForkWorkerBegun  known,
           guint32           last,
           const GError     *error)
{
  AForkCallBegun begun = AFORK_CALL_BEGUN_UNKNOWN;

  if (_afork_debug_wants (AFORK_DEBUG_CALLS))
    debug_call (self, call->number, "is lost", error);
  if (call->owner_funcs == NULL)
    {
      if (known == AFORK_WORKER_BEGUN_UNKNOWN)
        _afork_pending_call_end (call, NULL, g_error_copy (error));
      else
        fail_lost_call (call, was_begun (call, known, last), g_error_copy (error));
      return;
    }

  if (call->begun || (known != AFORK_WORKER_BEGUN_UNKNOWN && was_begun (call, known, last)))
    begun = AFORK_CALL_BEGUN_YES;
  else if (known != AFORK_WORKER_BEGUN_UNKNOWN || call->number == 0
           || self->state == AFORK_RPC_CALLS_STATE_REFUSED)
    begun = AFORK_CALL_BEGUN_NO;
  _afork_pending_call_unwatch (call);
  call->owner_funcs->lost (call, begun, error, call->owner_data);
}

gboolean
_afork_rpc_calls_fail (AForkRpcCalls *self,
                       const GError  *error)
{
  AForkWorkerBegun known = AFORK_WORKER_BEGUN_UNKNOWN;
  guint32 last = 0;
  AForkTurn turn;
  GList *link;

  /* Calls end in the order in which they were made. Calls that a callback makes fail at once, and
   * are not added to this queue. */
  _afork_pending_table_take_all (&self->in_flight, &self->waiting);
  if (!_afork_turn_begin (&turn, NULL))
    return g_queue_is_empty (&self->waiting);

  if (self->state == AFORK_RPC_CALLS_STATE_ENDED && self->link != NULL)
    known = _afork_worker_link_get_begun (self->link, &last);
  while (_afork_turn_goes_on (&turn)
         && (link = g_queue_pop_head_link (&self->waiting)) != NULL)
    {
      g_autoptr(AForkPendingCall) call = link->data;

      fail_call (self, call, known, last, error);
    }

  _afork_turn_end (&turn, NULL, NULL, FALSE);
  return g_queue_is_empty (&self->waiting);
}

/* Messages of the worker. */

/* The worker has sent WHAT when it must not. NUMBER is that of the call, or 0. */
static gboolean
set_protocol_error (GError     **error,
                    const char  *what,
                    guint32      number)
{
  if (number == 0)
    return _afork_protocol_error_set (error, "it sent %s", what);

  return _afork_protocol_error_set (error, "it sent %s for call %u", what, number);
}

/* Returns the error that the worker has sent as a GError of this program. Takes the text, which may
 * be long, from MESSAGE. */
static GError *
import_error (AForkRpcCalls    *self,
              AForkCallMessage *message)
{
  GQuark domain = g_quark_try_string (message->string[0]);
  GError *error = domain != 0
    ? g_error_new_literal (domain, message->code, "")
    : g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FAILED, "");

  g_free (error->message);
  error->message = g_steal_pointer (&message->string[1]);
  _afork_limits_name (_afork_worker_link_get_limits (self->link), &error);
  return error;
}

/* The worker cannot serve. It exits by itself. */
static gboolean
receive_refusal (AForkRpcCalls     *self,
                 AForkCallMessage  *message,
                 GError           **error)
{
  GError *reason;

  if (self->state != AFORK_RPC_CALLS_STATE_SET_UP)
    return set_protocol_error (error, "a refusal", 0);

  set_state (self, AFORK_RPC_CALLS_STATE_REFUSED);
  reason = import_error (self, message);
  /* The text is copied for each call. */
  _afork_remote_text_cut (reason->message, MAX_REFUSAL);
  _afork_worker_link_refused (self->link);
  self->funcs->refused (self->owner, reason);
  return TRUE;
}

/* Ends CALL. Takes VALUE or ERROR. */
static void
end_answered (AForkPendingCall *call,
              GVariant         *value,
              GError           *error)
{
  if (call->owner_funcs == NULL)
    {
      _afork_pending_call_end (call, value, error);
      return;
    }

  _afork_pending_call_unwatch (call);
  call->owner_funcs->answered (call, value, error, call->owner_data);
}

static gboolean
receive_answer (AForkRpcCalls     *self,
                AForkCallMessage  *message,
                GError           **error)
{
  g_autoptr(AForkPendingCall) call = NULL;

  if (self->state != AFORK_RPC_CALLS_STATE_STARTED
      || !_afork_pending_table_find (&self->in_flight, message->number, &call))
    return set_protocol_error (error, "an answer", message->number);

  if (_afork_debug_wants (AFORK_DEBUG_CALLS))
    debug_call (self, message->number,
                message->kind == AFORK_CALL_FRAME_FAILED ? "has failed" : "is answered", NULL);
  _afork_pending_table_remove (&self->in_flight, message->number);
  _afork_worker_link_note_answer (self->link);
  start_limit (self);
  if (self->in_flight.n_taken == 0)
    _afork_worker_link_all_answered (self->link);
  /* A caller that has cancelled a call expects this error, also if the answer is handled before the
   * cancellation. */
  if (call == NULL)
    self->funcs->answered_unwanted (self->owner, message->number);
  else if (_afork_pending_call_is_cancelled (call))
    end_answered (call, NULL, _afork_pending_call_new_cancelled_error ());
  else if (message->kind == AFORK_CALL_FRAME_FAILED)
    end_answered (call, NULL, import_error (self, message));
  else
    {
      _afork_pending_call_unwatch (call);
      if (call->job != NULL)
        _afork_job_set_results (call->job, message->fds, message->blobs);
      end_answered (call, g_steal_pointer (&message->value), NULL);
    }

  _afork_rpc_calls_send_waiting (self);
  return TRUE;
}

/* A message about a call that the worker goes on with. */
static gboolean
receive_call_notice (AForkRpcCalls     *self,
                     AForkCallMessage  *message,
                     GError           **error)
{
  g_autoptr(AForkPendingCall) owned = NULL;
  g_autoptr(AForkJob) job = NULL;
  AForkPendingCall *call;

  if (self->state != AFORK_RPC_CALLS_STATE_STARTED
      || !_afork_pending_table_find (&self->in_flight, message->number, &call))
    return set_protocol_error (error, afork_call_frame_kind_name (message->kind), message->number);
  if (call == NULL)
    return TRUE;
  owned = g_object_ref (call);
  call->begun = TRUE;
  if (message->kind == AFORK_CALL_FRAME_BEGUN)
    {
      if (_afork_debug_wants (AFORK_DEBUG_CALLS))
        debug_call (self, call->number, "has begun", NULL);
      _afork_pending_call_begin (call);
    }
  if (call->job == NULL)
    return TRUE;

  job = g_object_ref (call->job);
  if (message->kind == AFORK_CALL_FRAME_PROGRESS)
    _afork_job_emit_progress (job, message->value);
  else if (afork_job_get_state (job) == AFORK_JOB_STATE_QUEUED)
    _afork_job_set_state (job, AFORK_JOB_STATE_RUNNING);
  return TRUE;
}

gboolean
_afork_rpc_calls_receive (AForkRpcCalls     *self,
                          AForkCallMessage  *message,
                          GError           **error)
{
  switch (message->kind)
    {
    case AFORK_CALL_FRAME_STARTED:
      if (self->state != AFORK_RPC_CALLS_STATE_SET_UP)
        return set_protocol_error (error, "STARTED", 0);
      set_state (self, AFORK_RPC_CALLS_STATE_STARTED);
      _afork_rpc_calls_note_sent (self, self->n_sent);
      self->funcs->started (self->owner);
      return TRUE;
    case AFORK_CALL_FRAME_RETIRE:
      self->funcs->retires (self->owner);
      return TRUE;
    case AFORK_CALL_FRAME_EVENT:
      self->funcs->event (self->owner, message->value);
      return TRUE;
    case AFORK_CALL_FRAME_FAILED:
      return message->number == 0 ? receive_refusal (self, message, error)
                                  : receive_answer (self, message, error);
    case AFORK_CALL_FRAME_RESULT:
      return receive_answer (self, message, error);
    case AFORK_CALL_FRAME_BEGUN:
    case AFORK_CALL_FRAME_PROGRESS:
      return receive_call_notice (self, message, error);
    default:
      return set_protocol_error (error, afork_call_frame_kind_name (message->kind),
                                 message->number);
    }
}

/* Functions for the owner. */

void
_afork_rpc_calls_init (AForkRpcCalls            *self,
                       GObject                  *owner,
                       const AForkRpcCallsFuncs *funcs)
{
  self->owner = owner;
  self->funcs = funcs;
  g_queue_init (&self->waiting);
  g_queue_init (&self->unwritten);
  g_queue_init (&self->overdue);
  _afork_pending_table_init (&self->in_flight);
}

void
_afork_rpc_calls_clear (AForkRpcCalls *self)
{
  g_assert (g_queue_is_empty (&self->waiting));
  g_assert (g_queue_is_empty (&self->unwritten));
  g_assert (g_queue_is_empty (&self->overdue));
  _afork_pending_table_clear (&self->in_flight);
}

void
_afork_rpc_calls_set_link (AForkRpcCalls            *self,
                           AForkWorkerLink          *link,
                           const AForkRpcCallsSetup *setup)
{
  self->link = link;
  self->setup = *setup;
}

void
_afork_rpc_calls_set_functions (AForkRpcCalls *self,
                                const char    *function,
                                const char    *init_function,
                                const char    *done_function)
{
  self->setup.function = function;
  self->setup.init_function = init_function;
  self->setup.done_function = done_function;
}

void
_afork_rpc_calls_unset_link (AForkRpcCalls *self)
{
  self->link = NULL;
}

void
_afork_rpc_calls_close (AForkRpcCalls *self)
{
  self->closing = TRUE;
  _afork_rpc_calls_send_waiting (self);
}

void
_afork_rpc_calls_end (AForkRpcCalls *self)
{
  set_state (self, self->state == AFORK_RPC_CALLS_STATE_NEW ? AFORK_RPC_CALLS_STATE_NOT_RUN
                                                            : AFORK_RPC_CALLS_STATE_ENDED);
}

gboolean
_afork_rpc_calls_has_any (AForkRpcCalls *self)
{
  return self->waiting.length > 0 || self->in_flight.n_taken > 0;
}

gboolean
_afork_rpc_calls_has_unanswered (AForkRpcCalls *self)
{
  return self->in_flight.n_taken > 0;
}

GMainContext *
_afork_rpc_calls_peek_context (AForkRpcCalls *self)
{
  AForkPendingCall *call = _afork_pending_table_peek_oldest (&self->in_flight);

  if (call == NULL)
    call = g_queue_peek_head (&self->waiting);
  return call != NULL ? call->context : NULL;
}
