/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the worker of an RPC object sends. */

#include "config.h"

#include "afork-rpc-private.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "base/i18n.h"
#include "client/remote-error.h"

/* What is kept of the text that says why a worker does not serve, in bytes. */
enum { MAX_REFUSAL = 4096 };

static gboolean
breach (GError     **error,
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
    return breach (error, "a refusal", 0);

  self->failure = import_error (message);
  /* It is copied for each call. */
  _afork_remote_text_cut (self->failure->message, MAX_REFUSAL);
  _afork_rpc_link_refused (self->link);
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
    return breach (error, "an answer", message->number);

  _afork_pending_table_remove (&self->in_flight, message->number);
  _afork_rpc_start_limit (self);
  if (self->in_flight.n_taken == 0)
    _afork_rpc_link_owes_nothing (self->link);
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
receive_news (AForkRpc          *self,
              AForkCallMessage  *message,
              GError           **error)
{
  g_autoptr(AForkJob) job = NULL;
  AForkPendingCall *call;

  if (!self->started
      || !_afork_pending_table_find (&self->in_flight, message->number, &call))
    return breach (error, afork_call_frame_kind_name (message->kind), message->number);
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
        return breach (error, "STARTED", 0);
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
      return receive_news (self, message, error);
    default:
      return breach (error, afork_call_frame_kind_name (message->kind), message->number);
    }
}
