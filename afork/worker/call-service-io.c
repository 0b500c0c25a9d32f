/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Sending and receiving in a worker that serves calls. */

#include "config.h"

#include "call-service-io.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "stream/protocol-error.h"

enum
{
  /* If the input was last read so long ago, in microseconds, it is read again before the next call
   * is begun: the caller may have cancelled that. */
  STALE_AFTER = 1000,
  /* If more calls wait, they get an index. */
  MAX_SEARCHED = 64,
};

enum
{
  /* With more than this left to send, in bytes, a thread that sends waits. */
  MAX_UNSENT = 1024 * 1024,
  /* Answers of quick calls are gathered until there is this much, in bytes, or this much time has
   * passed, in microseconds. */
  MAX_GATHERED = 32 * 1024,
  GATHER_TIME = 1000,
  /* After so many such times without an answer, the flusher sleeps. */
  MAX_IDLE_TURNS = 20,
};

/* The stream whose outbox the worker uses: a worker has one, and a fork of it must not use that. */
static AForkCallStream *outbox_stream;

/* Without g_thread_try_new(), which ends the process if a sandbox refuses to start a thread. */
gboolean
_afork_call_service_start_thread (AForkCallService  *self,
                                  const char        *name,
                                  GThreadFunc        func,
                                  GError           **error)
{
  pthread_t thread;
  int result = pthread_create (&thread, NULL, func, self);

  if (result != 0)
    {
      g_set_error (error, AFORK_ERROR, AFORK_ERROR_FAILED,
                   _("The worker could not start a thread: %s"), g_strerror (result));
      return FALSE;
    }

  pthread_setname_np (thread, name);
  pthread_detach (thread);
  return TRUE;
}

/* Calls that have been begun. */

static void
weak_free (gpointer data)
{
  g_weak_ref_clear (data);
  g_free (data);
}

void
_afork_call_service_remember (AForkCallService *self,
                              AForkCall        *call)
{
  GWeakRef *weak = g_new (GWeakRef, 1);

  g_weak_ref_init (weak, call);
  g_mutex_lock (&self->input_lock);
  if (self->begun == NULL)
    self->begun = g_hash_table_new_full (NULL, NULL, NULL, weak_free);
  g_hash_table_replace (self->begun, GUINT_TO_POINTER (_afork_call_get_number (call)), weak);
  _afork_call_begin (call);
  g_mutex_unlock (&self->input_lock);
}

/* Removes a call that was begun. */
static void
forget_call (AForkCallService *self,
             guint32           number)
{
  g_mutex_lock (&self->input_lock);
  if (self->begun != NULL)
    g_hash_table_remove (self->begun, GUINT_TO_POINTER (number));
  g_mutex_unlock (&self->input_lock);
}

gboolean
_afork_call_service_has_begun (AForkCallService *self)
{
  gboolean has_begun;

  g_mutex_lock (&self->input_lock);
  has_begun = self->begun != NULL && g_hash_table_size (self->begun) > 0;
  g_mutex_unlock (&self->input_lock);

  return has_begun;
}

/* Returns a call of that number that has been begun, or NULL. */
static AForkCall *
find_begun (AForkCallService *self,
            guint32           number)
{
  GWeakRef *weak;

  if (self->current != NULL && _afork_call_get_number (self->current) == number)
    return g_object_ref (self->current);

  weak = self->begun != NULL
    ? g_hash_table_lookup (self->begun, GUINT_TO_POINTER (number)) : NULL;
  return weak != NULL ? g_weak_ref_get (weak) : NULL;
}

/* Sending. */

AForkCallStreamStatus
_afork_call_service_flush (AForkCallService *self,
                           gboolean          wait)
{
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status = _afork_call_stream_flush (self->stream, wait, &error);

  if (status == AFORK_CALL_STREAM_FAILED && self->send_fault == NULL)
    self->send_fault = g_strdup (error->message);
  if (status == AFORK_CALL_STREAM_END || status == AFORK_CALL_STREAM_FAILED)
    {
      g_atomic_int_set (&self->write_closed, TRUE);
      _afork_call_stream_drop_unsent (self->stream);
    }
  return status;
}

/* Notices about blobs that the worker does not need any more are sent with the next message. If
 * another thread than the one that serves has given up a blob, the next message may be far off, and
 * this sends the notices. A thread may give up a blob while it has the lock, so this leaves them to
 * the thread that has it. If that thread misses them, they go with the next message. */
static void
notify_given_up (AForkCallService *self)
{
  while (g_atomic_int_get (&self->given_up) && g_mutex_trylock (&self->output_lock))
    {
      g_atomic_int_set (&self->given_up, FALSE);
      if (!self->write_closed)
        _afork_call_service_flush (self, FALSE);
      g_mutex_unlock (&self->output_lock);
    }
}

void
_afork_call_service_given_up_cb (gpointer data)
{
  AForkCallService *self = data;

  if (g_thread_self () == self->thread)
    return;

  g_atomic_int_set (&self->given_up, TRUE);
  notify_given_up (self);
}

void
_afork_call_service_unlock_output (AForkCallService *self)
{
  g_mutex_unlock (&self->output_lock);
  notify_given_up (self);
}

/* The flusher. Answers to quick calls are sent together, but the next call may not be quick: this
 * thread sends what has waited for GATHER_TIME. */
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
      _afork_call_service_flush (self, TRUE);
      if (n_idle > MAX_IDLE_TURNS)
        self->gathering = FALSE;
    }

  return NULL;
}

/* Has the flusher send what is gathered. Returns FALSE if its thread cannot be started. The output
 * is locked. */
static gboolean
flush_later (AForkCallService *self)
{
  if (self->gathering)
    return TRUE;

  if (!self->has_flusher)
    self->has_flusher = _afork_call_service_start_thread (self, "afork-flusher", flush_thread,
                                                          NULL);
  self->gathering = self->has_flusher;
  if (self->gathering)
    g_cond_signal (&self->flush_later);
  return self->gathering;
}

/* Keeps what is gathered from being lost if the process crashes: puts it into the outbox, or sends
 * it at once. A worker that serves many calls does not wait while the kernel takes no more
 * descriptors. */
static void
keep_gathered (AForkCallService *self)
{
  AForkCallStreamStatus status;

  if (_afork_call_stream_keep (self->stream))
    return;

  status = _afork_call_service_flush (self, FALSE);
  if (!_afork_call_stream_keep (self->stream)
      && !(status == AFORK_CALL_STREAM_LATER && self->loop != NULL))
    _afork_call_service_flush (self, TRUE);
}

/* Sends what is gathered: at once, or in a moment if more quick calls wait. A worker that serves
 * many calls sends it when it iterates its main context next. */
static void
send_gathered (AForkCallService *self)
{
  gsize n_unsent;

  keep_gathered (self);
  n_unsent = _afork_call_stream_get_unsent (self->stream);
  if (self->loop != NULL && n_unsent <= MAX_UNSENT)
    {
      if (!g_main_context_is_owner (NULL))
        g_main_context_wakeup (NULL);
    }
  else if (self->concurrent || !self->quick || n_unsent >= MAX_GATHERED || !flush_later (self))
    _afork_call_service_flush (self, TRUE);
}

/* Sends a frame without a value. */
static void
send_frame (AForkCallService   *self,
            AForkCallFrameKind  kind,
            guint32             number)
{
  const AForkCallFrame frame = { .kind = kind, .number = number };

  g_mutex_lock (&self->output_lock);
  if (!self->write_closed)
    {
      _afork_call_stream_send (self->stream, &frame);
      send_gathered (self);
    }
  _afork_call_service_unlock_output (self);
}

void
_afork_call_service_gather_error (AForkCallService *self,
                                  guint32           number,
                                  const GError     *error)
{
  AForkCallFrame frame = {
    .kind = AFORK_CALL_FRAME_FAILED,
    .number = number,
    .code = error->code,
    .string = { g_quark_to_string (error->domain), error->message },
  };

  if (afork_call_frame_head_size (&frame) == 0)
    frame.string[1] = _("The text of the error is too large for a message");
  _afork_call_stream_send (self->stream, &frame);
}

void
_afork_call_service_send_value (AForkCallService   *self,
                                AForkCallFrameKind  kind,
                                guint32             number,
                                GVariant           *value)
{
  g_autoptr(GError) error = NULL;

  g_mutex_lock (&self->output_lock);
  if (!self->write_closed
      && _afork_call_stream_send_value (self->stream, kind, 0, number, value, NULL, NULL, &error))
    send_gathered (self);
  _afork_call_service_unlock_output (self);

  if (error != NULL)
    g_warning ("%s", error->message);
}

void
_afork_call_service_retire (AForkCallService *self)
{
  gboolean is_first;

  g_mutex_lock (&self->output_lock);
  is_first = !self->retired;
  self->retired = TRUE;
  g_mutex_unlock (&self->output_lock);

  if (is_first)
    send_frame (self, AFORK_CALL_FRAME_RETIRE, 0);
}

void
_afork_call_service_report (gpointer  data,
                            guint32   number,
                            GVariant *progress)
{
  _afork_call_service_send_value (data, AFORK_CALL_FRAME_PROGRESS, number, progress);
}

void
_afork_call_service_answer (gpointer      data,
                            guint32       number,
                            GVariant     *value,
                            GUnixFDList  *fds,
                            GPtrArray    *blobs,
                            const GError *error)
{
  AForkCallService *self = data;
  g_autoptr(GError) too_large = NULL;

  if (self->concurrent)
    forget_call (self, number);

  g_mutex_lock (&self->output_lock);
  if (!self->write_closed)
    {
      if (error == NULL)
        _afork_call_stream_send_value (self->stream, AFORK_CALL_FRAME_RESULT, 0, number, value, fds,
                                       blobs, &too_large);
      if (error != NULL || too_large != NULL)
        _afork_call_service_gather_error (self, number, error != NULL ? error : too_large);
      send_gathered (self);
    }
  _afork_call_service_unlock_output (self);
}

/* An atfork handler: a child that the worker forks must not send what the worker has gathered.
 * Async-signal-safe. */
static void
forked_cb (void)
{
  _afork_call_stream_forget_outbox (outbox_stream);
}

/* Uses the outbox that the caller has sent. */
static void
use_outbox (AForkCallService *self)
{
  g_mutex_lock (&self->output_lock);
  _afork_call_stream_use_outbox (self->stream);
  _afork_call_service_unlock_output (self);
  outbox_stream = self->stream;
  pthread_atfork (NULL, NULL, forked_cb);
}

void
_afork_call_service_init_cpu_time (AForkCallService *self)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    self->cpu_time = self->cpu_limit = limit.rlim_cur;
}

/* Moves the limit at which the kernel ends the process, but not to the hard limit, at which nothing
 * says why. A pool replaces the worker before that. */
static void
renew_cpu_time (AForkCallService *self)
{
  struct timespec used;
  struct rlimit limit;
  guint64 wanted;

  if (clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used) < 0)
    return;

  wanted = (guint64) used.tv_sec + (used.tv_nsec > 0 ? 1 : 0) + self->cpu_time;
  if (wanted <= self->cpu_limit || getrlimit (RLIMIT_CPU, &limit) < 0)
    return;

  limit.rlim_cur = MIN ((rlim_t) wanted, limit.rlim_max - 1);
  setrlimit (RLIMIT_CPU, &limit);
  self->cpu_limit = wanted;
}

void
_afork_call_service_notify_begin (AForkCallService *self,
                                  AForkCall        *call)
{
  const guint32 number = _afork_call_get_number (call);

  if (self->cpu_time > 0)
    renew_cpu_time (self);
  if (_afork_call_stream_has_new_outbox (self->stream))
    use_outbox (self);
  if (!_afork_call_stream_note_begun (self->stream, number)
      || _afork_call_wants_begin_notified (call))
    send_frame (self, AFORK_CALL_FRAME_BEGUN, number);
}

/* Messages, with the input locked. */

static void
answer_cancelled (AForkCallService *self,
                  AForkCall        *call)
{
  g_autoptr(GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                         _("Operation was cancelled"));

  afork_call_return_error (call, error);
}

/* Makes the index, which most workers never need. */
static void
index_waiting (AForkCallService *self)
{
  self->waiting_index = g_hash_table_new (NULL, NULL);
  for (GList *link = self->waiting.head; link != NULL; link = link->next)
    g_hash_table_insert (self->waiting_index,
                         GUINT_TO_POINTER (_afork_call_get_number (link->data)), link->data);
}

static AForkCall *
find_waiting (AForkCallService *self,
              guint32           number)
{
  if (self->waiting_index == NULL && self->waiting.length > MAX_SEARCHED)
    index_waiting (self);
  if (self->waiting_index != NULL)
    return g_hash_table_lookup (self->waiting_index, GUINT_TO_POINTER (number));

  for (GList *link = self->waiting.head; link != NULL; link = link->next)
    if (_afork_call_get_number (link->data) == number)
      return link->data;

  return NULL;
}

static void
push_waiting (AForkCallService *self,
              AForkCall        *call)
{
  g_queue_push_tail_link (&self->waiting, _afork_call_get_link (call));
  if (self->waiting_index != NULL)
    g_hash_table_insert (self->waiting_index, GUINT_TO_POINTER (_afork_call_get_number (call)),
                         call);
}

static void
unlink_waiting (AForkCallService *self,
                AForkCall        *call)
{
  g_queue_unlink (&self->waiting, _afork_call_get_link (call));
  if (self->waiting_index != NULL)
    g_hash_table_remove (self->waiting_index, GUINT_TO_POINTER (_afork_call_get_number (call)));
  if (self->waiting.length == 0)
    g_clear_pointer (&self->waiting_index, g_hash_table_unref);
}

AForkCall *
_afork_call_service_take_waiting (AForkCallService *self)
{
  AForkCall *call = g_queue_peek_head (&self->waiting);

  if (call != NULL)
    unlink_waiting (self, call);
  return call;
}

/* Takes MESSAGE. Adds calls that it cancels to CANCELLED. */
static void
take_message (AForkCallService *self,
              AForkCallMessage *message,
              GPtrArray        *cancelled)
{
  AForkCall *call = NULL;

  if (message->kind == AFORK_CALL_FRAME_CALL)
    push_waiting (self, _afork_call_new (self->responder, self, message));
  else if (message->kind == AFORK_CALL_FRAME_CANCEL)
    {
      call = find_waiting (self, message->number);
      if (call != NULL)
        unlink_waiting (self, call);
      else
        call = find_begun (self, message->number);
      if (call != NULL)
        g_ptr_array_add (cancelled, call);
    }
  else
    {
      g_autoptr(GError) error = NULL;

      _afork_protocol_error_set (&error, "a caller sends no %s",
                                 afork_call_frame_kind_name (message->kind));
      self->fault = g_strdup (error->message);
      self->ended = TRUE;
    }
}

/* Takes all messages that have been read. STATUS is that of the read. */
static void
take_messages (AForkCallService      *self,
               AForkCallStreamStatus  status,
               GPtrArray             *cancelled)
{
  g_autoptr(GError) error = NULL;

  while ((status == AFORK_CALL_STREAM_OK || status == AFORK_CALL_STREAM_BUSY) && !self->ended)
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
read_once (AForkCallService *self,
           gboolean          wait,
           GPtrArray        *cancelled)
{
  g_autoptr(GError) error = NULL;
  AForkCallStreamStatus status;

  status = _afork_call_stream_read (self->stream, wait, &error);
  self->read_time = g_get_monotonic_time ();
  if (status == AFORK_CALL_STREAM_FAILED)
    {
      self->fault = g_strdup (error->message);
      self->ended = TRUE;
    }
  else
    take_messages (self, status, cancelled);
}

void
_afork_call_service_read (AForkCallService *self,
                          gboolean          wait,
                          GPtrArray        *cancelled)
{
  read_once (self, wait, cancelled);
  /* Reading stops after a descriptor. The outbox is one, so this reads what follows it. */
  if (!self->ended && _afork_call_stream_has_new_outbox (self->stream))
    read_once (self, FALSE, cancelled);
}

/* Receiving. */

void
_afork_call_service_cancel (AForkCallService *self,
                            GPtrArray        *cancelled)
{
  for (guint i = 0; i < cancelled->len; i++)
    {
      AForkCall *call = g_ptr_array_index (cancelled, i);

      if (_afork_call_is_begun (call))
        {
          _afork_call_cancel (call);
          /* The service does not wait for its answer when it ends. */
          forget_call (self, _afork_call_get_number (call));
        }
      else
        answer_cancelled (self, call);
    }
}

void
_afork_call_service_take_rest (AForkCallService *self)
{
  g_autoptr(GPtrArray) cancelled = g_ptr_array_new_with_free_func (g_object_unref);

  take_messages (self, AFORK_CALL_STREAM_OK, cancelled);
  _afork_call_service_cancel (self, cancelled);
}

void
_afork_call_service_receive (AForkCallService *self,
                             gboolean          wait)
{
  g_autoptr(GPtrArray) cancelled = g_ptr_array_new_with_free_func (g_object_unref);

  g_mutex_lock (&self->input_lock);
  self->listening = FALSE;
  _afork_call_service_read (self, wait, cancelled);
  g_mutex_unlock (&self->input_lock);
  _afork_call_service_cancel (self, cancelled);
}

void
_afork_call_service_refresh (AForkCallService *self)
{
  if (self->waiting.length == 0)
    return;

  self->now = g_get_monotonic_time ();
  if (!self->ended && self->now - self->read_time > STALE_AFTER)
    _afork_call_service_receive (self, FALSE);
}
