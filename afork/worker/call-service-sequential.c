/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Serving one call after the other. */

#include "config.h"

#include "call-service-sequential.h"

enum
{
  /* While more calls than this wait, the listener receives no more. */
  MAX_AHEAD = 1024,
  /* The answer to a call that takes less than this, in microseconds, is gathered if more calls
   * wait. */
  QUICK = 100,
};

/* Receiving while a call is served. */

static gpointer
listen_thread (gpointer data)
{
  AForkCallService *self = data;

  g_mutex_lock (&self->input_lock);
  for (;;)
    {
      g_autoptr(GPtrArray) cancelled = NULL;
      GPollFD entry = { .fd = _afork_call_stream_get_fd (self->stream), .events = G_IO_IN };

      while (!self->listening || self->ended || self->waiting.length >= MAX_AHEAD)
        {
          self->listening = FALSE;
          g_cond_wait (&self->listen, &self->input_lock);
        }

      g_mutex_unlock (&self->input_lock);
      g_poll (&entry, 1, -1);
      g_mutex_lock (&self->input_lock);
      if (!self->listening)
        continue;

      cancelled = g_ptr_array_new_with_free_func (g_object_unref);
      _afork_call_service_read (self, FALSE, cancelled);
      /* The caller has closed the socket, and does not want the answer. */
      if (self->ended && (entry.revents & G_IO_HUP) != 0 && self->current != NULL)
        g_ptr_array_add (cancelled, g_object_ref (self->current));
      g_mutex_unlock (&self->input_lock);
      _afork_call_service_cancel (self, cancelled);
      g_mutex_lock (&self->input_lock);
    }

  return NULL;
}

gboolean
_afork_call_service_listen (gpointer   data,
                            GError   **error)
{
  AForkCallService *self = data;
  gboolean success = TRUE;

  g_mutex_lock (&self->input_lock);
  if (self->current != NULL && !self->has_listener)
    success = self->has_listener = _afork_call_service_start_thread (self, "afork-listener",
                                                                     listen_thread, error);
  if (self->current != NULL && success)
    {
      self->listening = TRUE;
      g_cond_signal (&self->listen);
    }
  g_mutex_unlock (&self->input_lock);
  return success;
}

/* Serving. */

/* Sends notices about segments before waiting for a call. They usually go with an answer. */
static void
send_segment_notices (AForkCallService *self)
{
  if (!_afork_call_stream_has_segment_notices (self->stream))
    return;

  g_mutex_lock (&self->output_lock);
  if (!self->write_closed)
    _afork_call_service_flush (self, TRUE);
  _afork_call_service_unlock_output (self);
}

/* Waits for the next call and makes it `current`. Returns NULL if there will be none. */
static AForkCall *
next_call (AForkCallService *self)
{
  _afork_call_service_refresh (self);
  while (self->waiting.length == 0 && !self->ended)
    {
      send_segment_notices (self);
      _afork_call_service_receive (self, TRUE);
      self->now = self->read_time;
    }

  g_mutex_lock (&self->input_lock);
  self->current = _afork_call_service_take_waiting (self);
  if (self->current != NULL)
    _afork_call_begin (self->current);
  g_mutex_unlock (&self->input_lock);
  return self->current;
}

/* Decides whether the answer to the call that is served now may wait for the answer to the next. */
static void
measure (AForkCallService *self)
{
  self->quick = self->waiting.length > 0 && self->now - self->begun_at < QUICK;
  self->begun_at = self->now;
}

static void
serve_call (AForkCallService *self,
            AForkCall        *call)
{
  g_autoptr(GError) error = NULL;
  GVariant *value;

  measure (self);
  _afork_call_service_notify_begin (self, call);
  value = self->functions->call (self->data, self->function, call, _afork_call_get_args (call),
                                  &error);
  if (value != NULL)
    g_variant_take_ref (value);

  if (error != NULL)
    afork_call_return_error (call, error);
  else if (value != NULL || !_afork_call_is_answered (call))
    afork_call_return_value (call, value, NULL);
  g_clear_pointer (&value, g_variant_unref);
}

void
_afork_call_service_serve_sequentially (AForkCallService *self)
{
  AForkCall *call;

  while (!g_atomic_int_get (&self->write_closed) && (call = next_call (self)) != NULL)
    {
      serve_call (self, call);

      g_mutex_lock (&self->input_lock);
      self->current = NULL;
      self->listening = FALSE;
      g_mutex_unlock (&self->input_lock);
      g_object_unref (call);
    }
}
