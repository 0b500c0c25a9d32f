/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Serving many calls at a time, in the default main context. */

#include "config.h"

#include "call-service-concurrent.h"

#include "base/context-wakeup.h"

typedef struct
{
  GSource           parent;
  AForkCallService *service;
} ServiceSource;

static AForkCall *
take_next (AForkCallService *self)
{
  _afork_call_service_refresh (self);
  return _afork_call_service_take_waiting (self);
}

static void
begin_waiting (AForkCallService *self)
{
  AForkCall *call;

  while ((call = take_next (self)) != NULL)
    {
      _afork_call_service_remember (self, call);
      _afork_call_service_notify_begin (self, call);
      self->functions->call_concurrently (self->data, self->function, call,
                                          _afork_call_get_args (call));
      g_object_unref (call);
    }
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  AForkCallService *self = ((ServiceSource *) source)->service;
  gboolean all_answered = self->ended && !_afork_call_service_has_begun (self);
  gboolean has_unsent;

  /* Other threads may be sending. */
  g_mutex_lock (&self->output_lock);
  has_unsent = _afork_call_stream_get_unsent (self->stream) > 0;
  g_mutex_unlock (&self->output_lock);

  *timeout = -1;
  return !self->waits_for_room && (all_answered || has_unsent);
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkCallService *self = ((ServiceSource *) source)->service;
  GIOCondition condition = g_source_query_unix_fd (source, self->source_tag);
  gboolean retries;

  if ((condition & G_IO_IN) != 0)
    _afork_call_service_receive (self, FALSE);
  begin_waiting (self);

  g_mutex_lock (&self->output_lock);
  retries = _afork_call_service_flush (self, FALSE) == AFORK_CALL_STREAM_LATER;
  self->waits_for_room = _afork_call_stream_get_unsent (self->stream) > 0;
  _afork_call_service_unlock_output (self);
  g_source_modify_unix_fd (source, self->source_tag,
                           (self->waits_for_room && !retries ? G_IO_OUT : 0)
                           | (self->waits_for_room || self->ended ? 0 : G_IO_IN));
  g_source_set_ready_time (source,
                           retries ? g_get_monotonic_time () + AFORK_CALL_STREAM_RETRY_TIME : -1);

  if (g_atomic_int_get (&self->write_closed) || (condition & (G_IO_HUP | G_IO_ERR)) != 0
      || (self->ended && !_afork_call_service_has_begun (self) && !self->waits_for_room))
    g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare, .dispatch = source_dispatch };

void
_afork_call_service_serve_concurrently (AForkCallService *self)
{
  GMainLoop *loop = g_main_loop_new (NULL, FALSE);
  AForkContextWakeups wakeups;

  /* If a template has made the context, all its forks share the descriptors that wake it up. */
  _afork_context_wakeups_find (&wakeups);
  _afork_context_wakeups_renew (&wakeups);
  g_mutex_lock (&self->output_lock);
  self->loop = loop;
  g_mutex_unlock (&self->output_lock);
  self->source = g_source_new (&source_funcs, sizeof (ServiceSource));
  ((ServiceSource *) self->source)->service = self;
  g_source_set_static_name (self->source, "[afork] calls");
  self->source_tag = g_source_add_unix_fd (self->source,
                                           _afork_call_stream_get_fd (self->stream), G_IO_IN);
  g_source_attach (self->source, NULL);

  begin_waiting (self);
  self->functions->run_loop (self->data, loop);
  g_mutex_lock (&self->output_lock);
  self->loop = NULL;
  g_mutex_unlock (&self->output_lock);
  g_main_loop_unref (loop);
}
