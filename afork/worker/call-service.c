/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-service-private.h"

#include <glib-unix.h>
#include <stdio.h>
#include <unistd.h>

#include "afork-call-private.h"
#include "afork/afork-error.h"
#include "afork/afork-i18n-private.h"
#include "afork/afork-wakeup-private.h"

enum
{
  /* With more than this left to be sent, who sends waits, and no new call is begun. */
  MAX_UNSENT = 1024 * 1024,
  /* With more calls than this received and not begun, no more are received ahead. */
  MAX_AHEAD = 1024,
  /* A call that has waited this long, in microseconds, may have been cancelled meanwhile. */
  STALE_AFTER = 1000,
  /* Answers of calls that take less than this, in microseconds, are gathered while more calls
   * wait … */
  QUICK = 100,
  /* … until there is this much, in bytes, or this much time has passed, in microseconds. */
  MAX_GATHERED = 32 * 1024,
  GATHER_TIME = 1000,
  /* After so many such times without anything gathered, nobody looks any more. */
  MAX_IDLE_TURNS = 20,
};

struct _AForkCallService
{
  AForkCallStream   *stream;
  gboolean           concurrent;
  gpointer           function;      /* AForkCallFunc or AForkConcurrentCallFunc */
  AForkCallDoneFunc  done;          /* or NULL */

  GMutex             output_lock;   /* for the stream's sending, and: */
  gboolean           deaf;          /* the caller takes no more */
  gint               given_up;      /* atomic: a blob was, by another thread than that below */
  GThread           *thread;        /* that serves */
  GThread           *flusher;       /* NULL until it is needed */
  GCond              flush_later;   /* `gathering` has become true */
  gboolean           gathering;     /* the flusher looks after what is gathered */

  GMutex             input_lock;    /* for the stream's receiving, and what follows */
  gboolean           ended;         /* the caller sends no more */
  char              *fault;         /* in what it has sent, or NULL */
  gint64             looked;        /* when the input was last read, in microseconds */
  GQueue             waiting;       /* of AForkCall: received, not begun */

  /* One call at a time. */
  AForkCall         *current;       /* or NULL */
  gboolean           quick;         /* the last one was, and more wait */
  gint64             now;           /* when the next call was looked for, in microseconds */
  gint64             begun_at;      /* in microseconds */
  GThread           *listener;      /* NULL until it is needed */
  GCond              listen;        /* `listening` has become true */
  gboolean           listening;

  /* Many calls at a time. */
  GHashTable        *begun;         /* of number to GWeakRef */
  GMainLoop         *loop;
  GSource           *source;
  gpointer           source_tag;
  gboolean           waits_for_room;  /* what was gathered; the source looks for room */
};

typedef struct
{
  GSource           parent;
  AForkCallService *service;
} ServiceSource;

static AForkCallService *the_service;

/* Sending. */

static void
flush (AForkCallService *self,
       gboolean          wait)
{
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = _afork_call_stream_flush (self->stream, wait, &error);

  if (status == AFORK_CALL_STREAM_FAILED)
    g_debug ("%s", error->message);
  if (status == AFORK_CALL_STREAM_END || status == AFORK_CALL_STREAM_FAILED)
    {
      self->deaf = TRUE;
      _afork_call_stream_drop_unsent (self->stream);
    }
}

/* The caller learns that blobs of it are not needed any more with the next thing that it is sent,
 * unless another thread than the one that serves has given them up: nobody knows when that sends.
 * As a blob may be given up with the lock held, who cannot have the lock leaves it to who has it.
 * If that one overlooks it, it is told with the next thing. */
static void
tell_given_up (AForkCallService *self)
{
  while (g_atomic_int_get (&self->given_up) && g_mutex_trylock (&self->output_lock))
    {
      g_atomic_int_set (&self->given_up, FALSE);
      if (!self->deaf)
        flush (self, FALSE);
      g_mutex_unlock (&self->output_lock);
    }
}

static void
given_up_cb (gpointer data)
{
  AForkCallService *self = data;

  if (g_thread_self () == self->thread)
    return;

  g_atomic_int_set (&self->given_up, TRUE);
  tell_given_up (self);
}

static void
unlock_output (AForkCallService *self)
{
  g_mutex_unlock (&self->output_lock);
  tell_given_up (self);
}

/* Many quick calls are answered together. As nobody knows whether the next one will be quick, this
 * thread sees to it that no answer waits for long. */
static gpointer
flush_thread (gpointer data)
{
  AForkCallService *self = data;
  guint n_idle = 0;

  g_mutex_lock (&self->output_lock);
  for (;;)
    {
      gint64 end = g_get_monotonic_time () + GATHER_TIME;

      while (!self->gathering)
        {
          n_idle = 0;
          g_cond_wait (&self->flush_later, &self->output_lock);
          end = g_get_monotonic_time () + GATHER_TIME;
        }

      while (g_cond_wait_until (&self->flush_later, &self->output_lock, end))
        ;
      n_idle = _afork_call_stream_get_unsent (self->stream) > 0 ? 0 : n_idle + 1;
      flush (self, TRUE);
      if (n_idle > MAX_IDLE_TURNS)
        self->gathering = FALSE;
    }

  return NULL;
}

static void
flush_later (AForkCallService *self)
{
  if (self->gathering)
    return;

  if (self->flusher == NULL)
    self->flusher = g_thread_new ("afork-flusher", flush_thread, self);
  self->gathering = TRUE;
  g_cond_signal (&self->flush_later);
}

/* What was gathered leaves at once, or, where the main context turns, when it does so next. */
static void
send_gathered (AForkCallService *self)
{
  gsize n_unsent = _afork_call_stream_get_unsent (self->stream);

  if (self->concurrent && n_unsent <= MAX_UNSENT)
    {
      if (!g_main_context_is_owner (NULL))
        g_main_context_wakeup (NULL);
    }
  else if (!self->concurrent && self->quick && n_unsent < MAX_GATHERED)
    flush_later (self);
  else
    flush (self, TRUE);
}

static void
send_plain (AForkCallService   *self,
            AForkCallFrameKind  kind,
            guint32             number)
{
  const AForkCallFrame frame = { .kind = kind, .number = number };

  g_mutex_lock (&self->output_lock);
  if (!self->deaf)
    {
      _afork_call_stream_send (self->stream, &frame);
      send_gathered (self);
    }
  unlock_output (self);
}

static void
gather_error (AForkCallService *self,
              guint32           number,
              const GError     *error)
{
  const AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_FAILED,
    .number = number,
    .code = error->code,
    .string = { g_quark_to_string (error->domain), error->message },
  };

  _afork_call_stream_send (self->stream, &frame);
}

static void
send_value (AForkCallService   *self,
            AForkCallFrameKind  kind,
            guint32             number,
            GVariant           *value)
{
  g_autoptr(GError) error = NULL;

  g_mutex_lock (&self->output_lock);
  if (!self->deaf
      && _afork_call_stream_send_value (self->stream, kind, 0, number, value, NULL, NULL, &error))
    send_gathered (self);
  unlock_output (self);

  if (error != NULL)
    g_warning ("%s", error->message);
}

void
_afork_call_service_report (AForkCallService *self,
                            guint32           number,
                            GVariant         *progress)
{
  send_value (self, AFORK_CALL_FRAME_PROGRESS, number, progress);
}

/**
 * afork_worker_emit:
 * @event: what to tell; a floating value is taken
 *
 * Tells the caller about something that belongs to no call: [signal@AFork.Rpc::event] is emitted
 * there. Only in a worker that serves calls; from any thread.
 *
 * Since: 0.1
 */
void
afork_worker_emit (GVariant *event)
{
  g_autoptr(GVariant) value = NULL;

  g_return_if_fail (event != NULL);
  value = g_variant_ref_sink (event);
  g_return_if_fail (the_service != NULL);

  send_value (the_service, AFORK_CALL_FRAME_EVENT, 0, value);
}

static void
forget_begun (AForkCallService *self,
              guint32           number)
{
  g_mutex_lock (&self->input_lock);
  g_hash_table_remove (self->begun, GUINT_TO_POINTER (number));
  g_mutex_unlock (&self->input_lock);
}

void
_afork_call_service_answer (AForkCallService *self,
                            guint32           number,
                            GVariant         *value,
                            GUnixFDList      *fds,
                            GPtrArray        *blobs,
                            const GError     *error)
{
  g_autoptr(GError) too_large = NULL;

  if (self->concurrent)
    forget_begun (self, number);

  g_mutex_lock (&self->output_lock);
  if (!self->deaf)
    {
      if (error == NULL)
        _afork_call_stream_send_value (self->stream, AFORK_CALL_FRAME_RESULT, 0, number, value, fds,
                                       blobs, &too_large);
      if (error != NULL || too_large != NULL)
        gather_error (self, number, error != NULL ? error : too_large);
      send_gathered (self);
    }
  unlock_output (self);
}

/* Receiving. The input lock is held. */

static void
answer_cancelled (AForkCallService *self,
                  AForkCall        *call)
{
  g_autoptr(GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                         _("Operation was cancelled"));

  afork_call_return_error (call, error);
}

/* The call of that number, if it has not been begun. */
static AForkCall *
take_waiting (AForkCallService *self,
              guint32           number)
{
  for (GList *link = self->waiting.head; link != NULL; link = link->next)
    if (_afork_call_get_number (link->data) == number)
      {
        AForkCall *call = link->data;

        g_queue_delete_link (&self->waiting, link);
        return call;
      }

  return NULL;
}

/* Returns a call of that number that has been begun, or NULL. */
static AForkCall *
find_begun (AForkCallService *self,
            guint32           number)
{
  GWeakRef *weak;

  if (self->current != NULL && _afork_call_get_number (self->current) == number)
    return g_object_ref (self->current);

  weak = self->concurrent
    ? g_hash_table_lookup (self->begun, GUINT_TO_POINTER (number)) : NULL;
  return weak != NULL ? g_weak_ref_get (weak) : NULL;
}

/* Receives a message. Calls that it cancels are added to CANCELLED: their handlers, and what their
 * end leads to, must find the service unlocked. */
static void
take_message (AForkCallService *self,
              AForkCallMessage *message,
              GPtrArray        *cancelled)
{
  AForkCall *call = NULL;

  if (message->kind == AFORK_CALL_FRAME_CALL)
    g_queue_push_tail (&self->waiting, _afork_call_new (self, message));
  else if (message->kind == AFORK_CALL_FRAME_CANCEL)
    {
      call = take_waiting (self, message->number);
      if (call == NULL)
        call = find_begun (self, message->number);
      if (call != NULL)
        g_ptr_array_add (cancelled, call);
    }
  else
    {
      self->fault = g_strdup_printf ("a caller sends no %s",
                                     afork_call_frame_kind_name (message->kind));
      self->ended = TRUE;
    }
}

/* Takes what has been read with STATUS. */
static void
take_messages (AForkCallService      *self,
               AForkCallStreamStatus  status,
               GPtrArray             *cancelled)
{
  g_autoptr(GError) error = NULL;

  while (status == AFORK_CALL_STREAM_OK && !self->ended)
    {
      g_auto(AForkCallMessage) message;

      status = _afork_call_stream_next (self->stream, &message, &error);
      if (status == AFORK_CALL_STREAM_OK)
        take_message (self, &message, cancelled);
    }

  if (status == AFORK_CALL_STREAM_FAILED)
    self->fault = g_strdup (error->message);
  if (status == AFORK_CALL_STREAM_FAILED || status == AFORK_CALL_STREAM_END)
    self->ended = TRUE;
}

static void
read_messages (AForkCallService *self,
               gboolean          wait,
               GPtrArray        *cancelled)
{
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status;

  status = _afork_call_stream_read (self->stream, wait, &error);
  self->looked = g_get_monotonic_time ();
  if (status == AFORK_CALL_STREAM_FAILED)
    {
      self->fault = g_strdup (error->message);
      self->ended = TRUE;
    }
  else
    take_messages (self, status, cancelled);
}

static GPtrArray *
new_call_array (void)
{
  return g_ptr_array_new_with_free_func (g_object_unref);
}

/* Ends the calls that were cancelled, with the lock not held: those that have been begun are told,
 * the others answered. */
static void
cancel_calls (AForkCallService *self,
              GPtrArray        *cancelled)
{
  for (guint i = 0; i < cancelled->len; i++)
    {
      AForkCall *call = g_ptr_array_index (cancelled, i);

      if (_afork_call_is_begun (call))
        {
          _afork_call_cancel (call);
          /* Nobody waits for it any more, nor does the end. */
          forget_begun (self, _afork_call_get_number (call));
        }
      else
        answer_cancelled (self, call);
    }
}

/* Takes what came together with the first message. */
static void
take_rest (AForkCallService *self)
{
  g_autoptr(GPtrArray) cancelled = new_call_array ();

  take_messages (self, AFORK_CALL_STREAM_OK, cancelled);
  cancel_calls (self, cancelled);
}

/* Reads what has come, or waits for it. */
static void
receive (AForkCallService *self,
         gboolean          wait)
{
  g_autoptr(GPtrArray) cancelled = new_call_array ();

  g_mutex_lock (&self->input_lock);
  self->listening = FALSE;
  read_messages (self, wait, cancelled);
  g_mutex_unlock (&self->input_lock);
  cancel_calls (self, cancelled);
}

/* The function is about to be entered. */
static void
tell_begin (AForkCallService *self,
            AForkCall        *call)
{
  if (_afork_call_wants_begin_told (call))
    send_plain (self, AFORK_CALL_FRAME_BEGUN, _afork_call_get_number (call));
}

/* One call at a time. */

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

      cancelled = new_call_array ();
      read_messages (self, FALSE, cancelled);
      /* The caller has gone, or at least does not care. */
      if (self->ended && (entry.revents & G_IO_HUP) != 0 && self->current != NULL)
        g_ptr_array_add (cancelled, g_object_ref (self->current));
      g_mutex_unlock (&self->input_lock);
      cancel_calls (self, cancelled);
      g_mutex_lock (&self->input_lock);
    }

  return NULL;
}

void
_afork_call_service_listen (AForkCallService *self)
{
  if (self->concurrent)
    return;

  g_mutex_lock (&self->input_lock);
  if (self->current != NULL)
    {
      if (self->listener == NULL)
        self->listener = g_thread_new ("afork-listener", listen_thread, self);
      self->listening = TRUE;
      g_cond_signal (&self->listen);
    }
  g_mutex_unlock (&self->input_lock);
}

/* What would otherwise go with an answer. */
static void
tell_news (AForkCallService *self)
{
  if (!_afork_call_stream_has_news (self->stream))
    return;

  g_mutex_lock (&self->output_lock);
  if (!self->deaf)
    flush (self, TRUE);
  unlock_output (self);
}

/* The next call to be served, as `current`, or NULL if there will be none. */
static AForkCall *
next_call (AForkCallService *self)
{
  if (self->waiting.length > 0)
    self->now = g_get_monotonic_time ();
  /* What was read long ago may have been cancelled since. */
  if (self->waiting.length > 0 && !self->ended && self->now - self->looked > STALE_AFTER)
    receive (self, FALSE);
  while (self->waiting.length == 0 && !self->ended)
    {
      tell_news (self);
      receive (self, TRUE);
      self->now = self->looked;
    }

  g_mutex_lock (&self->input_lock);
  self->current = g_queue_pop_head (&self->waiting);
  if (self->current != NULL)
    _afork_call_begin (self->current);
  g_mutex_unlock (&self->input_lock);
  return self->current;
}

/* Decides whether the answer to the call that is served now may wait for the next one's. */
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
  tell_begin (self, call);
  value = ((AForkCallFunc) self->function) (call, _afork_call_get_args (call), &error);
  if (value != NULL)
    g_variant_take_ref (value);

  if (error != NULL)
    afork_call_return_error (call, error);
  else if (value != NULL || !_afork_call_is_answered (call))
    afork_call_return_value (call, value, NULL);
  g_clear_pointer (&value, g_variant_unref);
}

static void
serve_sequentially (AForkCallService *self)
{
  AForkCall *call;

  while (!self->deaf && (call = next_call (self)) != NULL)
    {
      serve_call (self, call);

      g_mutex_lock (&self->input_lock);
      self->current = NULL;
      self->listening = FALSE;
      g_mutex_unlock (&self->input_lock);
      g_object_unref (call);
    }
}

/* Many calls at a time. */

static void
weak_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

static void
begin_waiting (AForkCallService *self)
{
  AForkCall *call;

  while ((call = g_queue_pop_head (&self->waiting)) != NULL)
    {
      GWeakRef *weak = g_new (GWeakRef, 1);

      g_weak_ref_init (weak, call);
      g_mutex_lock (&self->input_lock);
      g_hash_table_replace (self->begun, GUINT_TO_POINTER (_afork_call_get_number (call)), weak);
      _afork_call_begin (call);
      g_mutex_unlock (&self->input_lock);

      tell_begin (self, call);
      ((AForkConcurrentCallFunc) self->function) (call, _afork_call_get_args (call));
      g_object_unref (call);
    }
}

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  AForkCallService *self = ((ServiceSource *) source)->service;
  gboolean all_answered;

  *timeout = -1;
  g_mutex_lock (&self->input_lock);
  all_answered = self->ended && g_hash_table_size (self->begun) == 0;
  g_mutex_unlock (&self->input_lock);

  return !self->waits_for_room
    && (all_answered || _afork_call_stream_get_unsent (self->stream) > 0);
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  AForkCallService *self = ((ServiceSource *) source)->service;
  GIOCondition condition = g_source_query_unix_fd (source, self->source_tag);
  gboolean idle;

  if ((condition & G_IO_IN) != 0)
    receive (self, FALSE);
  begin_waiting (self);

  g_mutex_lock (&self->output_lock);
  flush (self, FALSE);
  self->waits_for_room = _afork_call_stream_get_unsent (self->stream) > 0;
  unlock_output (self);
  g_source_modify_unix_fd (source, self->source_tag,
                           (self->waits_for_room ? G_IO_OUT : 0)
                           | (self->waits_for_room || self->ended ? 0 : G_IO_IN));

  g_mutex_lock (&self->input_lock);
  idle = g_hash_table_size (self->begun) == 0;
  g_mutex_unlock (&self->input_lock);
  if (self->deaf || (condition & (G_IO_HUP | G_IO_ERR)) != 0
      || (self->ended && idle && !self->waits_for_room))
    g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .prepare = source_prepare, .dispatch = source_dispatch };

static void
serve_concurrently (AForkCallService *self)
{
  AForkWakeups wakeups;

  /* If a template has made the context already, it shares the wake-ups of all its forks. */
  _afork_wakeups_find (&wakeups);
  _afork_wakeups_renew (&wakeups);
  self->loop = g_main_loop_new (NULL, FALSE);
  self->source = g_source_new (&source_funcs, sizeof (ServiceSource));
  ((ServiceSource *) self->source)->service = self;
  g_source_set_static_name (self->source, "[afork] calls");
  self->source_tag = g_source_add_unix_fd (self->source,
                                           _afork_call_stream_get_fd (self->stream), G_IO_IN);
  g_source_attach (self->source, NULL);

  begin_waiting (self);
  g_main_loop_run (self->loop);
}

/* Beginning and end. */

/* Has the caller told why there will be no calls, and ends the process. */
G_GNUC_NORETURN static void
refuse (AForkCallService *self,
        const GError     *error)
{
  gather_error (self, 0, error);
  flush (self, TRUE);
  fflush (NULL);
  _exit (EXIT_FAILURE);
}

static gpointer
find_function (AForkCallService *self,
               const char       *name)
{
  char why[1024];
  gpointer function;

  if (*name == '\0')
    return NULL;

  function = afork_worker_find_function (name, why, sizeof why);
  if (function == NULL)
    {
      g_autoptr(GError) error = g_error_new_literal (AFORK_ERROR, AFORK_ERROR_FUNCTION, why);

      refuse (self, error);
    }

  return function;
}

/* The first message says what is served. Returns the init-function, if there is one. */
static AForkCallInitFunc
await_setup (AForkCallService *self)
{
  g_auto(AForkCallMessage) message = { 0 };
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = AFORK_CALL_STREAM_OK;

  while (status == AFORK_CALL_STREAM_OK
         && (status = _afork_call_stream_next (self->stream, &message, &error))
            == AFORK_CALL_STREAM_WOULD_BLOCK)
    status = _afork_call_stream_read (self->stream, TRUE, &error);

  /* The caller has gone, or never wanted anything. */
  if (status == AFORK_CALL_STREAM_END)
    _exit (EXIT_SUCCESS);
  if (status == AFORK_CALL_STREAM_FAILED)
    refuse (self, error);
  if (message.kind != AFORK_CALL_FRAME_SETUP || message.number != AFORK_CALL_WIRE_VERSION)
    {
      error = g_error_new (AFORK_ERROR, AFORK_ERROR_PROTOCOL,
                           _("The worker serves calls by another version of the protocol"));
      refuse (self, error);
    }

  self->concurrent = (message.flags & AFORK_CALL_FRAME_CONCURRENT) != 0;
  if ((message.flags & AFORK_CALL_FRAME_UNTRUSTED) != 0)
    _afork_call_stream_send_sealed (self->stream);
  _afork_call_stream_set_wake (self->stream, self->concurrent ? g_main_context_default () : NULL,
                               self->concurrent ? NULL : given_up_cb, self);
  self->function = find_function (self, message.string[0]);
  self->done = (AForkCallDoneFunc) find_function (self, message.string[2]);
  return (AForkCallInitFunc) find_function (self, message.string[1]);
}

/**
 * afork_worker_serve_calls: (skip)
 * @socket: the worker's socket
 * @items: (array length=n_items): what was queued for the function
 * @n_items: how many
 *
 * The function that an [class@AFork.Rpc] runs in its process: serves calls until no more will come
 * and all are answered. It is found there because the worker module is linked with the library.
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
  AForkCallInitFunc init;

  the_service = self;
  self->thread = g_thread_self ();
  self->stream = _afork_call_stream_new (socket);
  _afork_call_stream_accept_segments (self->stream);
  self->begun = g_hash_table_new_full (NULL, NULL, NULL, weak_free);
  g_queue_init (&self->waiting);

  init = await_setup (self);
  if (init != NULL && !init (items, n_items, &error))
    refuse (self, error);
  send_plain (self, AFORK_CALL_FRAME_STARTED, 0);

  take_rest (self);
  if (self->concurrent)
    serve_concurrently (self);
  else
    serve_sequentially (self);

  g_mutex_lock (&self->output_lock);
  flush (self, TRUE);
  unlock_output (self);
  if (self->fault != NULL)
    g_printerr ("The caller does not keep to the protocol of calls: %s\n", self->fault);
  if (self->done != NULL)
    self->done ();
}
