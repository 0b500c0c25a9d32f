/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The calls of an RPC object: those that wait, and those that the worker has. */

#include "config.h"

#include "afork-rpc-private.h"

#include "afork-job-private.h"

enum
{
  /* With more than this gathered for the worker, calls wait as what they are. */
  MAX_UNSENT = 1024 * 1024,
};

/* Sending. */

static guint32
new_number (AForkRpc *self)
{
  do
    self->last_number++;
  while (self->last_number == 0
         || g_hash_table_contains (self->in_flight, GUINT_TO_POINTER (self->last_number)));

  return self->last_number;
}

static void
send_setup (AForkRpc        *self,
            AForkCallStream *stream)
{
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_SETUP,
    .flags = (self->concurrent ? AFORK_CALL_FRAME_CONCURRENT : 0)
      | (self->trusted ? 0 : AFORK_CALL_FRAME_UNTRUSTED),
    .number = AFORK_CALL_WIRE_VERSION,
    .string = {
      self->function,
      self->init_function != NULL ? self->init_function : "",
      self->done_function != NULL ? self->done_function : "",
    },
  };

  if (self->trusted)
    _afork_call_stream_accept_segments (stream);
  _afork_call_stream_send (stream, &frame);
  self->set_up = TRUE;
}

/* Gathers CALL, or ends it because it cannot be sent. */
static void
send_call (AForkRpc         *self,
           AForkCallStream  *stream,
           AForkPendingCall *call)
{
  g_autoptr(GError) error = NULL;
  guint32 number = new_number (self);
  gboolean sent;

  sent = _afork_call_stream_send_value (stream, AFORK_CALL_FRAME_CALL,
                                        call->job != NULL ? AFORK_CALL_FRAME_TELL_BEGIN : 0, number,
                                        call->args,
                                        call->job != NULL ? afork_job_get_fds (call->job) : NULL,
                                        call->job != NULL ? _afork_job_get_blobs (call->job) : NULL,
                                        &error);
  if (!sent)
    {
      _afork_pending_call_end (call, NULL, g_steal_pointer (&error));
      _afork_pending_call_free (call);
      return;
    }

  call->number = number;
  self->n_in_flight++;
  g_hash_table_insert (self->in_flight, GUINT_TO_POINTER (number), call);
}

void
_afork_rpc_send_waiting (AForkRpc *self)
{
  AForkCallStream *stream = _afork_rpc_link_get_stream (self->link);

  if (stream == NULL)
    return;

  if (!self->set_up)
    send_setup (self, stream);
  while (!g_queue_is_empty (&self->waiting)
         && self->n_in_flight < self->max_in_flight
         && _afork_call_stream_get_unsent (stream) < MAX_UNSENT)
    send_call (self, stream, g_queue_pop_head (&self->waiting));

  /* Until then there may be something to be cancelled. */
  if (self->closing && g_queue_is_empty (&self->waiting) && self->n_in_flight == 0)
    _afork_rpc_link_close (self->link, g_hash_table_size (self->in_flight) > 0);
}

/* Ending. */

AForkPendingCall *
_afork_rpc_find_call (AForkRpc *self,
                      guint32   number)
{
  return g_hash_table_lookup (self->in_flight, GUINT_TO_POINTER (number));
}

void
_afork_rpc_remove_call (AForkRpc         *self,
                        AForkPendingCall *call)
{
  g_hash_table_steal (self->in_flight, GUINT_TO_POINTER (call->number));
  if (call->task != NULL)
    self->n_in_flight--;
  if (g_hash_table_size (self->in_flight) == 0)
    _afork_rpc_link_owes_nothing (self->link);
}

/* The worker is to stop, or not to begin. It answers all the same. */
static void
send_cancel (AForkRpc         *self,
             AForkPendingCall *call)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_CANCEL, .number = call->number };
  AForkCallStream *stream = _afork_rpc_link_get_stream (self->link);

  if (stream != NULL)
    _afork_call_stream_send (stream, &frame);
}

/* Ends CALL before the worker has answered it, with ERROR, which is taken. */
static void
abandon (AForkPendingCall *call,
         GError           *error)
{
  g_autoptr(AForkRpc) self = g_object_ref (g_task_get_source_object (call->task));

  if (call->number != 0)
    {
      if (g_hash_table_contains (self->in_flight, GUINT_TO_POINTER (call->number)))
        self->n_in_flight--;
      send_cancel (self, call);
      _afork_pending_call_end (call, NULL, error);
      _afork_rpc_send_waiting (self);
      return;
    }

  g_queue_remove (&self->waiting, call);
  _afork_pending_call_end (call, NULL, error);
  _afork_pending_call_free (call);
  _afork_rpc_send_waiting (self);
}

void
_afork_rpc_add_call (AForkRpc         *self,
                     AForkPendingCall *call)
{
  _afork_pending_call_watch (call, abandon);
  g_queue_push_tail (&self->waiting, call);
  /* A handler of this may do anything, and have the call end. */
  if (call->job != NULL)
    _afork_job_set_state (call->job, AFORK_JOB_STATE_QUEUED);
  _afork_rpc_send_waiting (self);
}

/* In the order in which they were made; those that were not sent are last, and stay as they are. */
static int
compare_calls (gconstpointer a,
               gconstpointer b,
               gpointer      data)
{
  guint32 first = ((const AForkPendingCall *) a)->number - 1;
  guint32 second = ((const AForkPendingCall *) b)->number - 1;

  return first < second ? -1 : first > second;
}

void
_afork_rpc_fail_calls (AForkRpc     *self,
                       const GError *error)
{
  AForkPendingCall *call;
  GHashTableIter iter;
  gpointer value;

  /* A callback may make more calls, which fail at once, and so are none of these. */
  g_hash_table_iter_init (&iter, self->in_flight);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      g_hash_table_iter_steal (&iter);
      self->n_in_flight = 0;
      g_queue_push_head (&self->waiting, value);
    }
  g_queue_sort (&self->waiting, compare_calls, NULL);

  while ((call = g_queue_pop_head (&self->waiting)) != NULL)
    {
      if (call->task != NULL)
        _afork_pending_call_end (call, NULL, g_error_copy (error));
      _afork_pending_call_free (call);
    }
}
