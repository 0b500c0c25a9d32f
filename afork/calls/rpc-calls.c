/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The calls of an RPC object: those that wait, those that the worker has, and what it sends. */

#include "config.h"

#include "afork-rpc-private.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "afork-runtime.h"
#include "base/i18n.h"
#include "base/turn.h"
#include "client/remote-error.h"
#include "stream/blob-memory.h"

enum
{
  /* With more than this gathered for the worker, calls wait as what they are. */
  MAX_UNSENT = 1024 * 1024,
};

/* What is kept of the text that says why a worker does not serve, in bytes. */
enum { MAX_REFUSAL = 4096 };

/* Where to gather what is to be sent, or NULL. */
static AForkCallStream *
get_stream (AForkRpc *self)
{
  return self->link != NULL ? _afork_worker_link_get_stream (self->link) : NULL;
}

/* Sending. */

static gboolean
can_pass_fds (AForkRpc *self)
{
  return afork_runtime_get_can_pass_fds (afork_process_get_runtime (self->process));
}

static void
send_setup (AForkRpc        *self,
            AForkCallStream *stream)
{
  const gboolean can_pass = can_pass_fds (self);
  const gboolean can_check = _afork_blob_memory_can_check ();
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_SETUP,
    .flags = (self->concurrent ? AFORK_CALL_FRAME_CONCURRENT : 0)
      | (self->trusted ? 0 : AFORK_CALL_FRAME_UNTRUSTED)
      | (can_check ? 0 : AFORK_CALL_FRAME_NO_MEMORY)
      | (can_pass ? 0 : AFORK_CALL_FRAME_NO_FDS),
    .number = AFORK_CALL_WIRE_VERSION,
    .string = {
      self->function,
      self->init_function != NULL ? self->init_function : "",
      self->done_function != NULL ? self->done_function : "",
    },
  };

  if (!can_pass)
    _afork_call_stream_send_no_fds (stream);
  if (!can_check || !can_pass)
    _afork_call_stream_refuse_memory (stream);
  else if (self->trusted)
    _afork_call_stream_accept_segments (stream);
  _afork_call_stream_send (stream, &frame);
  self->set_up = TRUE;
}

/* A worker that is given but one call can do without. */
static void
send_outbox (AForkRpc        *self,
             AForkCallStream *stream)
{
  if (self->outbox_sent || (self->waiting.length < 2 && self->in_flight.last_number == 0))
    return;

  self->outbox_sent = TRUE;
  if (can_pass_fds (self))
    _afork_call_stream_send_outbox (stream, self->concurrent ? AFORK_CALL_OUTBOX_CONCURRENT_SIZE
                                                             : AFORK_CALL_OUTBOX_SIZE);
}

/* Time limits. */

/* An init-function takes its time, and that is not the jobs'. */
static gboolean
can_begin (AForkRpc *self)
{
  return self->started || self->init_function == NULL;
}

/* A sequential worker can begin with a call when those before it have been answered; those that
 * were given up do not count, or a worker that never answers one would keep the others for ever.
 * It may take its time for one of them all the same, and says when it begins. */
static void
start_limit (AForkRpc *self)
{
  AForkPendingCall *call;

  if (!self->has_limits || self->concurrent || !can_begin (self))
    return;

  call = _afork_pending_table_peek_oldest (&self->in_flight);
  if (call != NULL && call->written)
    _afork_pending_call_start_limit (call);
}

void
_afork_rpc_note_sent (AForkRpc *self,
                      guint64   n_sent)
{
  AForkPendingCall *call;

  self->n_sent = n_sent;
  while (can_begin (self)
         && (call = g_queue_peek_head (&self->unwritten)) != NULL && call->sent_end <= n_sent)
    {
      _afork_pending_call_leave_unwritten (call);
      call->written = TRUE;
      if (self->concurrent)
        _afork_pending_call_start_limit (call);
    }

  start_limit (self);
}

/* CALL has been gathered. */
static void
expect_limit (AForkRpc         *self,
              AForkCallStream  *stream,
              AForkPendingCall *call)
{
  if (call->job == NULL || afork_job_get_timeout (call->job) == 0)
    return;

  self->has_limits = TRUE;
  call->sent_end = _afork_call_stream_get_n_gathered (stream);
  call->unwritten = &self->unwritten;
  g_queue_push_tail_link (&self->unwritten, &call->unwritten_link);
}

/* Gathers CALL, or ends it because it cannot be sent. */
static void
send_call (AForkRpc         *self,
           AForkCallStream  *stream,
           AForkPendingCall *call)
{
  g_autoptr(GError) error = NULL;
  gboolean sent;

  _afork_pending_table_add (&self->in_flight, call);
  sent = _afork_call_stream_send_value (stream, AFORK_CALL_FRAME_CALL,
                                        call->job != NULL ? AFORK_CALL_FRAME_NOTIFY_BEGIN : 0,
                                        call->number, call->args,
                                        call->job != NULL ? afork_job_get_fds (call->job) : NULL,
                                        call->job != NULL ? _afork_job_get_blobs (call->job) : NULL,
                                        &error);
  if (sent)
    {
      expect_limit (self, stream, call);
      return;
    }

  _afork_pending_table_remove (&self->in_flight, call->number);
  _afork_pending_call_fail (call, g_steal_pointer (&error));
  g_object_unref (call);
}

/* Where to gather the next call that waits, or NULL if it cannot be sent now. */
static AForkCallStream *
find_room (AForkRpc *self)
{
  AForkCallStream *stream = get_stream (self);

  if (stream == NULL || g_queue_is_empty (&self->waiting)
      || self->failure != NULL
      || self->in_flight.n_calls >= self->max_in_flight
      || _afork_call_stream_get_unsent (stream) >= MAX_UNSENT)
    return NULL;

  return stream;
}

void
_afork_rpc_send_waiting (AForkRpc *self)
{
  AForkCallStream *stream = get_stream (self);

  if (stream == NULL)
    return;

  if (!self->set_up)
    send_setup (self, stream);
  /* A call that cannot be sent fails, and a handler of its job may do anything, such as to end the
   * worker: so each call is looked at anew. */
  while ((stream = find_room (self)) != NULL)
    {
      send_outbox (self, stream);
      send_call (self, stream, g_queue_pop_head_link (&self->waiting)->data);
    }

  /* Until then there may be something to be cancelled. */
  if (get_stream (self) != NULL
      && self->closing && g_queue_is_empty (&self->waiting) && self->in_flight.n_calls == 0)
    _afork_worker_link_close (self->link, self->in_flight.n_taken > 0, self->done_function != NULL);
}

/* Ending. */

/* The worker is to stop, or not to begin. It answers all the same. */
static void
send_cancel (AForkRpc         *self,
             AForkPendingCall *call)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_CANCEL, .number = call->number };
  AForkCallStream *stream = get_stream (self);

  if (stream != NULL)
    _afork_call_stream_send (stream, &frame);
}

/* Ends CALL before the worker has answered it, with ERROR, which is taken. */
static void
cancel_call (AForkPendingCall *call,
             GError           *error)
{
  g_autoptr(AForkRpc) self = g_object_ref (AFORK_RPC (call->source));
  g_autoptr(AForkPendingCall) owned = call;
  AForkPendingCall *found;

  if (_afork_pending_table_find (&self->in_flight, call->number, &found) && found == call)
    {
      _afork_pending_table_mark_unwanted (&self->in_flight, call);
      send_cancel (self, call);
      start_limit (self);
    }
  else
    g_queue_unlink (&self->waiting, &call->link);

  _afork_pending_call_end (owned, NULL, error);
  _afork_rpc_send_waiting (self);
}

void
_afork_rpc_add_call (AForkRpc         *self,
                     AForkPendingCall *call)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);

  _afork_pending_call_watch (call, cancel_call);
  g_queue_push_tail_link (&self->waiting, &call->link);
  /* A handler of this may do anything, and have the call end. */
  if (call->job != NULL)
    _afork_job_set_state (call->job, AFORK_JOB_STATE_QUEUED);
  _afork_rpc_send_waiting (self);
}

/* The worker begins with calls in the order of their numbers, which start again from 1 at some
 * time. */
static gboolean
was_begun (const AForkPendingCall *call,
           AForkWorkerBegun        known,
           guint32                 last)
{
  if (call->begun || known == AFORK_WORKER_BEGUN_REPORTED)
    return call->begun;

  return call->number != 0 && last != 0 && (gint32) (call->number - last) <= 0;
}

/* Ends CALL with ERROR, which is taken. */
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

gboolean
_afork_rpc_fail_calls (AForkRpc     *self,
                       const GError *error)
{
  AForkWorkerBegun known = AFORK_WORKER_BEGUN_UNKNOWN;
  guint32 last = 0;
  AForkTurn turn;
  GList *link;

  /* In the order in which they were made. A callback may make more calls, which fail at once, and
   * so are none of these. */
  _afork_pending_table_take_all (&self->in_flight, &self->waiting);
  if (!_afork_turn_begin (&turn, NULL))
    return g_queue_is_empty (&self->waiting);

  if (self->lost && self->link != NULL)
    known = _afork_worker_link_get_begun (self->link, &last);
  while (_afork_turn_goes_on (&turn)
         && (link = g_queue_pop_head_link (&self->waiting)) != NULL)
    {
      g_autoptr(AForkPendingCall) call = link->data;

      if (known == AFORK_WORKER_BEGUN_UNKNOWN)
        _afork_pending_call_end (call, NULL, g_error_copy (error));
      else
        fail_lost_call (call, was_begun (call, known, last), g_error_copy (error));
    }

  _afork_turn_end (&turn, NULL, NULL, FALSE);
  return g_queue_is_empty (&self->waiting);
}

/* What the worker sends. */

static gboolean
set_protocol_error (GError     **error,
                    const char  *what,
                    guint32      number)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The worker does not keep to the protocol: it sent %s for call %u"), what, number);
  return FALSE;
}

/* An error of the worker's, in this program's terms. Its text is not copied: it may be long. */
static GError *
import_error (AForkCallMessage *message)
{
  GQuark domain = g_quark_try_string (message->string[0]);
  GError *error = domain != 0
    ? g_error_new_literal (domain, message->code, "")
    : g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FAILED, "");

  g_free (error->message);
  error->message = g_steal_pointer (&message->string[1]);
  return error;
}

/* The worker cannot serve. It ends by itself. */
static gboolean
receive_refusal (AForkRpc          *self,
                 AForkCallMessage  *message,
                 GError           **error)
{
  g_autoptr(AForkRpc) kept G_GNUC_UNUSED = g_object_ref (self);

  if (self->started || self->failure != NULL)
    return set_protocol_error (error, "a refusal", 0);

  self->failure = import_error (message);
  /* It is copied for each call. */
  _afork_remote_text_cut (self->failure->message, MAX_REFUSAL);
  _afork_worker_link_refused (self->link);
  _afork_rpc_end_pending (self);
  return TRUE;
}

static gboolean
receive_answer (AForkRpc          *self,
                AForkCallMessage  *message,
                GError           **error)
{
  g_autoptr(AForkPendingCall) call = NULL;

  if (!self->started
      || !_afork_pending_table_find (&self->in_flight, message->number, &call))
    return set_protocol_error (error, "an answer", message->number);

  _afork_pending_table_remove (&self->in_flight, message->number);
  start_limit (self);
  if (self->in_flight.n_taken == 0)
    _afork_worker_link_all_answered (self->link);
  /* Whoever has cancelled a call expects that, even if the answer is first to be looked at. */
  if (call != NULL && _afork_pending_call_is_cancelled (call))
    _afork_pending_call_cancel (call);
  else if (call != NULL && message->kind == AFORK_CALL_FRAME_FAILED)
    _afork_pending_call_end (call, NULL, import_error (message));
  else if (call != NULL)
    {
      _afork_pending_call_unwatch (call);
      if (call->job != NULL)
        _afork_job_set_results (call->job, message->fds, message->blobs);
      _afork_pending_call_end (call, g_steal_pointer (&message->value), NULL);
    }

  _afork_rpc_send_waiting (self);
  return TRUE;
}

/* What belongs to a call that goes on. */
static gboolean
receive_call_notice (AForkRpc          *self,
                     AForkCallMessage  *message,
                     GError           **error)
{
  g_autoptr(AForkJob) job = NULL;
  AForkPendingCall *call;

  if (!self->started
      || !_afork_pending_table_find (&self->in_flight, message->number, &call))
    return set_protocol_error (error, afork_call_frame_kind_name (message->kind), message->number);
  if (call == NULL)
    return TRUE;
  call->begun = TRUE;
  if (call->job == NULL)
    return TRUE;

  job = g_object_ref (call->job);
  if (message->kind == AFORK_CALL_FRAME_PROGRESS)
    _afork_job_emit_progress (job, message->value);
  else if (afork_job_get_state (job) == AFORK_JOB_STATE_QUEUED)
    {
      _afork_pending_call_begin (call);
      _afork_job_set_state (job, AFORK_JOB_STATE_RUNNING);
    }
  return TRUE;
}

gboolean
_afork_rpc_receive (AForkRpc          *self,
                    AForkCallMessage  *message,
                    GError           **error)
{
  switch (message->kind)
    {
    case AFORK_CALL_FRAME_STARTED:
      if (self->started)
        return set_protocol_error (error, "STARTED", 0);
      self->started = TRUE;
      _afork_rpc_note_sent (self, self->n_sent);
      return TRUE;
    case AFORK_CALL_FRAME_EVENT:
      _afork_rpc_emit_event (self, message->value);
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
