/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-call.h"
#include "call.h"

#include "afork-error.h"
#include "base/i18n.h"

typedef enum
{
  ANSWERED_NOT,
  ANSWERED,
  ANSWERED_FOR,                 /* by the library, instead of the function */
} Answered;

/**
 * AForkCall:
 *
 * A call in the worker that serves it.
 *
 * A worker's function gets one for each call that the caller makes through an [class@AFork.Rpc]. It
 * has the descriptors and blobs that came with the arguments. The function reports progress with it
 * at any time, and then answers it once. A second answer is ignored, with a warning.
 *
 * The methods may be called from any thread.
 *
 * Since: 0.1
 */
struct _AForkCall
{
  GObject                   parent_instance;

  const AForkCallResponder *responder;     /* NULL if this was not made by _afork_call_new() */
  gpointer                  data;          /* of the responder */
  GList                     link;          /* in a queue, until the call is begun */
  guint32                   number;
  gboolean                  notify_begin;  /* the caller wants to know when it is begun */
  gboolean                  begun;
  GVariant                 *args;
  GUnixFDList              *fds;           /* or NULL */
  GPtrArray                *blobs;         /* of GBytes, or NULL */
  GPtrArray                *result_blobs;  /* of GBytes, or NULL */
  gint                      answered;      /* atomic; an Answered */
  GMutex                    lock;          /* protects the cancellable and `cancelled` */
  GCancellable             *cancellable;   /* NULL until the function asks for it */
  gboolean                  cancelled;
};

G_DEFINE_FINAL_TYPE (AForkCall, afork_call, G_TYPE_OBJECT)

static void
afork_call_finalize (GObject *object)
{
  AForkCall *self = AFORK_CALL (object);

  if (!g_atomic_int_get (&self->answered))
    {
      g_autoptr(GError) error = g_error_new (AFORK_ERROR, AFORK_ERROR_FAILED,
                                             _("The worker dropped the call without an answer"));

      self->responder->answer (self->data, self->number, NULL, NULL, NULL, error);
    }

  g_clear_pointer (&self->args, g_variant_unref);
  g_clear_object (&self->fds);
  g_clear_pointer (&self->blobs, g_ptr_array_unref);
  g_clear_pointer (&self->result_blobs, g_ptr_array_unref);
  g_clear_object (&self->cancellable);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (afork_call_parent_class)->finalize (object);
}

static void
afork_call_class_init (AForkCallClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afork_call_finalize;
}

static void
afork_call_init (AForkCall *self)
{
  self->link.data = self;
  g_mutex_init (&self->lock);
  /* A call that bindings make by g_object_new() has no caller who waits for an answer. */
  self->answered = ANSWERED;
}

AForkCall *
_afork_call_new (const AForkCallResponder *responder,
                 gpointer                  data,
                 AForkCallMessage         *message)
{
  AForkCall *self = g_object_new (AFORK_TYPE_CALL, NULL);

  self->responder = responder;
  self->data = data;
  self->answered = ANSWERED_NOT;
  self->number = message->number;
  self->notify_begin = (message->flags & AFORK_CALL_FRAME_NOTIFY_BEGIN) != 0;
  self->args = g_steal_pointer (&message->value);
  self->fds = g_steal_pointer (&message->fds);
  self->blobs = g_steal_pointer (&message->blobs);
  return self;
}

guint32
_afork_call_get_number (AForkCall *self)
{
  return self->number;
}

GList *
_afork_call_get_link (AForkCall *self)
{
  return &self->link;
}

GVariant *
_afork_call_get_args (AForkCall *self)
{
  return self->args;
}

gboolean
_afork_call_is_answered (AForkCall *self)
{
  return g_atomic_int_get (&self->answered) != 0;
}

gboolean
_afork_call_wants_begin_notified (AForkCall *self)
{
  return self->notify_begin;
}

void
_afork_call_begin (AForkCall *self)
{
  self->begun = TRUE;
}

gboolean
_afork_call_is_begun (AForkCall *self)
{
  return self->begun;
}

void
_afork_call_cancel (AForkCall *self)
{
  g_autoptr(GCancellable) cancellable = NULL;

  g_mutex_lock (&self->lock);
  self->cancelled = TRUE;
  g_set_object (&cancellable, self->cancellable);
  g_mutex_unlock (&self->lock);

  /* Without the lock: handlers of the cancellable may use the call. */
  if (cancellable != NULL)
    g_cancellable_cancel (cancellable);
}

/* The service cannot receive while the call is served, because of ERROR. Fails the call with it,
 * and cancels the call for the function. */
static void
fail_not_listening (AForkCall    *self,
                    const GError *error)
{
  g_autoptr(GError) explained = g_error_copy (error);

  g_prefix_error (&explained, "%s ", _("The worker cannot receive the cancellation of a call."));
  if (g_atomic_int_compare_and_exchange (&self->answered, ANSWERED_NOT, ANSWERED_FOR))
    self->responder->answer (self->data, self->number, NULL, NULL, NULL, explained);
  _afork_call_cancel (self);
}

/**
 * afork_call_get_fds:
 * @self: a call
 *
 * Returns the descriptors that came with the call, those of [property@AFork.Job:fds], in the same
 * order. A handle (`h`) in the arguments is an index into them. They are closed when the call is
 * finalized.
 *
 * Returns: (transfer none) (nullable): the descriptors, or `NULL` if none came
 *
 * Since: 0.1
 */
GUnixFDList *
afork_call_get_fds (AForkCall *self)
{
  g_return_val_if_fail (AFORK_IS_CALL (self), NULL);

  return self->fds;
}

/**
 * afork_call_get_blobs:
 * @self: a call
 * @n_blobs: (out): the number of blobs
 *
 * Returns the blobs that came with the call, those of [method@AFork.Job.add_blob], in the same
 * order. They are valid as long as there is a reference to them.
 *
 * Returns: (transfer none) (array length=n_blobs) (nullable): the blobs, or `NULL` if none came
 *
 * Since: 0.1
 */
GBytes **
afork_call_get_blobs (AForkCall *self,
                      gsize     *n_blobs)
{
  g_return_val_if_fail (AFORK_IS_CALL (self), NULL);
  g_return_val_if_fail (n_blobs != NULL, NULL);

  *n_blobs = self->blobs != NULL ? self->blobs->len : 0;
  return self->blobs != NULL ? (GBytes **) self->blobs->pdata : NULL;
}

/**
 * afork_call_get_cancellable:
 * @self: a call
 *
 * Returns a cancellable that is cancelled when the caller does not want the answer any more: it has
 * cancelled the call, or the time limit of the call has passed. The function may check it from time
 * to time, or pass it on to functions that it calls, and should then answer soon. Any answer is
 * ignored then.
 *
 * In a worker that serves one call after the other, the first call of this starts a thread, which
 * receives messages of the caller meanwhile, and cancels the cancellable. If the thread cannot be
 * started, the call fails with an error that says so, and the cancellable is cancelled.
 *
 * Returns: (transfer none): a cancellable
 *
 * Since: 0.1
 */
GCancellable *
afork_call_get_cancellable (AForkCall *self)
{
  g_autoptr(GError) error = NULL;
  gboolean is_new, cancelled;

  g_return_val_if_fail (AFORK_IS_CALL (self), NULL);

  g_mutex_lock (&self->lock);
  is_new = self->cancellable == NULL;
  if (is_new)
    self->cancellable = g_cancellable_new ();
  cancelled = self->cancelled;
  g_mutex_unlock (&self->lock);

  if (cancelled)
    g_cancellable_cancel (self->cancellable);
  else if (is_new && self->responder != NULL && self->responder->listen != NULL
           && !self->responder->listen (self->data, &error))
    fail_not_listening (self, error);
  return self->cancellable;
}

/**
 * afork_call_report:
 * @self: a call
 * @progress: the progress to report; a floating value is taken
 *
 * Reports progress of the call to the caller, where [signal@AFork.Job::progress] is emitted if the
 * call was made with a job. After the answer, this does nothing. A value over 1 GiB is dropped,
 * with a warning.
 *
 * Progress, events and answers arrive in the order in which the worker sends them. If the caller
 * does not read, this function waits.
 *
 * Since: 0.1
 */
void
afork_call_report (AForkCall *self,
                   GVariant  *progress)
{
  g_autoptr(GVariant) value = NULL;

  g_return_if_fail (AFORK_IS_CALL (self));
  g_return_if_fail (progress != NULL);

  value = g_variant_ref_sink (progress);
  if (!g_atomic_int_get (&self->answered))
    self->responder->report (self->data, self->number, value);
}

/**
 * afork_call_add_result_blob:
 * @self: a call
 * @blob: bytes, which must not change any more
 *
 * Adds @blob to the result: see [method@AFork.Job.get_result_blobs]. A result may have 1024 blobs.
 * They must be added before the answer, and are not sent with an error.
 *
 * Returns: the index of the blob, from 0
 *
 * Since: 0.1
 */
guint
afork_call_add_result_blob (AForkCall *self,
                            GBytes    *blob)
{
  guint index;

  g_return_val_if_fail (AFORK_IS_CALL (self), 0);
  g_return_val_if_fail (blob != NULL, 0);

  g_mutex_lock (&self->lock);
  if (self->result_blobs == NULL)
    self->result_blobs = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  index = self->result_blobs->len;
  g_ptr_array_add (self->result_blobs, g_bytes_ref (blob));
  g_mutex_unlock (&self->lock);

  return index;
}

/* Returns whether this is the first answer, which is then sent. Warns about a second. */
static gboolean
begin_answer (AForkCall *self)
{
  if (g_atomic_int_compare_and_exchange (&self->answered, ANSWERED_NOT, ANSWERED))
    return TRUE;
  if (g_atomic_int_compare_and_exchange (&self->answered, ANSWERED_FOR, ANSWERED))
    return FALSE;

  g_warning ("Call %u was answered more than once; only the first answer counts", self->number);
  return FALSE;
}

/**
 * afork_call_return_value:
 * @self: a call
 * @value: (nullable): the result; a floating value is taken, and `NULL` is `()`
 * @fds: (nullable): descriptors to send with @value; a handle (`h`) in it is an index into them
 *
 * Answers the call with a result. If the result is too large for a message, the answer is
 * `G_IO_ERROR_MESSAGE_TOO_LARGE`.
 *
 * Since: 0.1
 */
void
afork_call_return_value (AForkCall   *self,
                         GVariant    *value,
                         GUnixFDList *fds)
{
  g_autoptr(GVariant) owned = NULL;

  g_return_if_fail (AFORK_IS_CALL (self));
  g_return_if_fail (fds == NULL || G_IS_UNIX_FD_LIST (fds));

  owned = g_variant_ref_sink (value != NULL ? value : g_variant_new_tuple (NULL, 0));
  if (begin_answer (self))
    self->responder->answer (self->data, self->number, owned, fds, self->result_blobs, NULL);
}

/**
 * afork_call_return_error:
 * @self: a call
 * @error: why there is no result
 *
 * Answers the call with an error. The caller gets its domain, code and message if it knows the
 * domain, else `AFORK_ERROR_FAILED` with the message. A message of 5 MiB or more is replaced by
 * another.
 *
 * Since: 0.1
 */
void
afork_call_return_error (AForkCall    *self,
                         const GError *error)
{
  g_return_if_fail (AFORK_IS_CALL (self));
  g_return_if_fail (error != NULL);

  if (begin_answer (self))
    self->responder->answer (self->data, self->number, NULL, NULL, NULL, error);
}
