/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call.h"

#include <stdio.h>
#include <unistd.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "call-service-concurrent.h"
#include "call-service-io.h"
#include "call-service-sequential.h"
#include "stand-in.h"
#include "system/size-signal.h"

static AForkCallService *the_service;

static const AForkCallResponder concurrent_responder = {
  .report = _afork_call_service_report,
  .answer = _afork_call_service_answer,
};

static const AForkCallResponder sequential_responder = {
  .report = _afork_call_service_report,
  .answer = _afork_call_service_answer,
  .listen = _afork_call_service_listen,
};

/**
 * afork_worker_emit:
 * @event: the event; a floating value is taken
 *
 * Sends the caller an event that belongs to no call: [signal@AFork.Rpc::event] is emitted there.
 * Only a worker that serves calls may call this, from any thread. An event over 1 GiB is dropped,
 * with a warning. If the caller does not read, this function waits.
 *
 * Since: 0.1
 */
void
afork_worker_emit (GVariant *event)
{
  g_autoptr(GVariant) value = NULL;

  g_return_if_fail (event != NULL);
  value = g_variant_ref_sink (event);
  if (_afork_stand_in_emit (value))
    return;
  g_return_if_fail (the_service != NULL);

  _afork_call_service_send_value (the_service, AFORK_CALL_FRAME_EVENT, 0, value);
}

/**
 * afork_worker_retire:
 *
 * Asks the [class@AFork.Pool] of this worker to replace it, for example because its memory has
 * grown.
 *
 * The worker goes on: it gets calls until another worker has started, and exits when it has
 * answered all. A worker that must not serve any more calls exits instead.
 *
 * Only a worker that serves calls may call this function, from any thread. The function has no
 * effect the second time, before the first call, and in a worker that belongs to no pool.
 *
 * Since: 0.1
 */
void
afork_worker_retire (void)
{
  if (_afork_stand_in_is_set ())
    return;
  g_return_if_fail (the_service != NULL);

  _afork_call_service_retire (the_service);
}

/* An exit handler: if the function calls exit(), sends what is gathered until then. Does nothing in
 * a child that the worker has forked, and does not wait for another thread that is sending. */
static void
exit_cb (void)
{
  AForkCallService *self = the_service;

  if (getpid () != self->pid || !g_mutex_trylock (&self->output_lock))
    return;

  if (!self->write_closed)
    _afork_call_service_flush (self, TRUE);
  g_mutex_unlock (&self->output_lock);
}

/* Reports to the caller that the worker cannot serve calls because of ERROR, and ends the
 * process. */
G_GNUC_NORETURN static void
refuse (AForkCallService *self,
        const GError     *error)
{
  _afork_call_service_gather_error (self, 0, error);
  _afork_call_service_flush (self, TRUE);
  fflush (NULL);
  _exit (EXIT_FAILURE);
}

/* Returns if all calls were served. Otherwise prints the reason to standard error and ends the
 * process: messages may not reach the caller any more, but it quotes standard error. */
static void
report_fault (AForkCallService *self)
{
  AForkSizeSignal held;

  if (self->fault == NULL && self->send_fault == NULL)
    return;

  /* Even if standard error is a file that cannot grow, the process exits, and no signal ends it. */
  afork_size_signal_hold (&held);
  g_printerr ("Calls cannot be served any more: %s\n",
              self->fault != NULL ? self->fault : self->send_fault);
  fflush (NULL);
  afork_size_signal_release (&held);
  _exit (EXIT_FAILURE);
}

/* Returns the function NAME. If there is none, ends the process. */
static gpointer
find_function (AForkCallService *self,
               const char       *name)
{
  char why[4096];
  gpointer function;

  function = afork_worker_find_function (name, why, sizeof why);
  if (function == NULL)
    {
      g_autoptr(GError) error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FUNCTION, why);

      refuse (self, error);
    }

  return function;
}

/* Does the same, but returns NULL for an empty name. */
static gpointer
find_optional_function (AForkCallService *self,
                        const char       *name)
{
  return *name != '\0' ? find_function (self, name) : NULL;
}

/* Waits for the first message, which names the functions. Returns the init-function, or NULL. */
static gpointer
await_setup (AForkCallService *self)
{
  g_autoptr(AForkContext) context = NULL;
  g_auto(AForkCallMessage) message = { 0 };
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status;

  do
    {
      status = _afork_call_stream_next (self->stream, &message, &error);
      if (status == AFORK_CALL_STREAM_WOULD_BLOCK
          && (status = _afork_call_stream_read (self->stream, TRUE, &error))
             == AFORK_CALL_STREAM_OK)
        status = AFORK_CALL_STREAM_BUSY;
    }
  while (status == AFORK_CALL_STREAM_BUSY);

  /* The caller has exited, or has closed the socket without a call. */
  if (status == AFORK_CALL_STREAM_END)
    _exit (EXIT_SUCCESS);
  if (status == AFORK_CALL_STREAM_FAILED)
    refuse (self, error);
  if (message.kind != AFORK_CALL_FRAME_SETUP || message.number != AFORK_CALL_WIRE_VERSION)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                           _("The worker uses another version of the protocol for calls"));
      refuse (self, error);
    }

  self->concurrent = (message.flags & AFORK_CALL_FRAME_CONCURRENT) != 0;
  self->responder = self->concurrent ? &concurrent_responder : &sequential_responder;
  if ((message.flags & AFORK_CALL_FRAME_UNTRUSTED) != 0)
    _afork_call_stream_send_sealed (self->stream);
  if ((message.flags & AFORK_CALL_FRAME_NO_MEMORY) != 0)
    _afork_call_stream_send_inline (self->stream);
  if ((message.flags & AFORK_CALL_FRAME_NO_FDS) != 0)
    _afork_call_stream_send_no_fds (self->stream);
  if (self->concurrent)
    context = _afork_context_ref_thread_default ();
  _afork_call_stream_set_wake (self->stream, context,
                               self->concurrent ? NULL : _afork_call_service_given_up_cb, self);
  self->function = find_function (self, message.string[0]);
  self->done = find_optional_function (self, message.string[2]);
  return find_optional_function (self, message.string[1]);
}

/* Reports to the caller that the worker serves calls now. If a call has come already, and BEGUN
 * will be sent for it, both are sent together. */
static void
notify_started (AForkCallService *self)
{
  const AForkCallFrame frame = { .kind = AFORK_CALL_FRAME_STARTED };

  g_mutex_lock (&self->output_lock);
  _afork_call_stream_send (self->stream, &frame);
  g_mutex_unlock (&self->output_lock);

  _afork_call_service_take_rest (self);
  if (!g_queue_is_empty (&self->waiting) && !_afork_call_stream_has_new_outbox (self->stream))
    return;

  g_mutex_lock (&self->output_lock);
  _afork_call_service_flush (self, TRUE);
  _afork_call_service_unlock_output (self);
}

/**
 * afork_worker_serve_calls: (skip)
 * @socket: the worker's socket
 * @items: (array length=n_items): the items that were queued for the function
 * @n_items: the number of items
 *
 * The function that an [class@AFork.Rpc] runs in its process. It serves calls until no more will
 * come and all are answered. A worker whose modules are not linked with the library loads it for
 * this.
 *
 * Since: 0.1
 */
void
afork_worker_serve_calls (int              socket,
                          const AForkItem *items,
                          size_t           n_items)
{
  AForkCallService *self = g_new0 (AForkCallService, 1);
  g_autoptr(GError) error = NULL;
  gpointer init;

  the_service = self;
  self->thread = g_thread_self ();
  self->pid = getpid ();
  self->functions = _afork_call_functions_get (&self->data);
  self->stream = _afork_call_stream_new (socket);
  atexit (exit_cb);
  _afork_call_stream_accept_outbox (self->stream);
  _afork_call_stream_accept_segments (self->stream);
  g_queue_init (&self->waiting);
  _afork_call_service_init_cpu_time (self);

  init = await_setup (self);
  if (init != NULL && !self->functions->init (self->data, init, items, n_items, &error))
    refuse (self, error);
  notify_started (self);
  if (self->concurrent)
    _afork_call_service_serve_concurrently (self);
  else
    _afork_call_service_serve_sequentially (self);

  g_mutex_lock (&self->output_lock);
  _afork_call_service_flush (self, TRUE);
  _afork_call_service_unlock_output (self);
  if (self->done != NULL)
    self->functions->done (self->data, self->done);
  report_fault (self);
}
