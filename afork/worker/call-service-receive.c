/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker that serves calls receives. */

#include "config.h"

#include "call-service.h"
#include "call-service-parts.h"

#include "base/i18n.h"
#include "call.h"
#include "stream/protocol-error.h"

enum
{
  /* A call that has waited this long, in microseconds, may have been cancelled meanwhile. */
  STALE_AFTER = 1000,
  /* With more calls waiting, an index of them is made. */
  MAX_SEARCHED = 64,
};

/* Calls that have been begun. Those that have been answered belong to whoever has them. */

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

void
_afork_call_service_forget (AForkCallService *self,
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

/* Messages, with the input locked. */

static void
answer_cancelled (AForkCallService *self,
                  AForkCall        *call)
{
  g_autoptr(GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                         _("Operation was cancelled"));

  afork_call_return_error (call, error);
}

/* Most calls are never searched for, so that costs them nothing. */
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

/* The next call, or NULL. */
AForkCall *
_afork_call_service_take_waiting (AForkCallService *self)
{
  AForkCall *call = g_queue_peek_head (&self->waiting);

  if (call != NULL)
    unlink_waiting (self, call);
  return call;
}

/* Calls that are cancelled are added to CANCELLED. */
static void
take_message (AForkCallService *self,
              AForkCallMessage *message,
              GPtrArray        *cancelled)
{
  AForkCall *call = NULL;

  if (message->kind == AFORK_CALL_FRAME_CALL)
    push_waiting (self, _afork_call_new (self, message));
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
      g_autofree char *why = g_strdup_printf ("a caller sends no %s",
                                              afork_call_frame_kind_name (message->kind));

      _afork_call_breach (&error, why);
      self->fault = g_strdup (error->message);
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
  self->looked = g_get_monotonic_time ();
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
  /* Reading stops at a descriptor. What came behind the outbox is to be known as well. */
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
          /* Nobody waits for it any more, nor does the end. */
          _afork_call_service_forget (self, _afork_call_get_number (call));
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
  if (!self->ended && self->now - self->looked > STALE_AFTER)
    _afork_call_service_receive (self, FALSE);
}
