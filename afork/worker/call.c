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
  ANSWERED_FOR,                 /* by the library, in the function's place */
} Answered;

/**
 * AForkCall:
 *
 * A call, as the worker that serves it sees it.
 *
 * A worker's function gets one with each call that the caller makes through an [class@AFork.Rpc].
 * It tells what came with the arguments, and takes what is to go back: progress at any time, then
 * the answer, which is given once. A second answer is ignored, with a warning.
 *
 * The methods may be called from any thread.
 *
 * Since: 0.1
 */
struct _AForkCall
{
  GObject                   parent_instance;

  const AForkCallResponder *responder;
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

  g_variant_unref (self->args);
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
}

AForkCall *
_afork_call_new (const AForkCallResponder *responder,
                 gpointer                  data,
                 AForkCallMessage         *message)
{
  AForkCall *self = g_object_new (AFORK_TYPE_CALL, NULL);

  self->responder = responder;
  self->data = data;
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

  /* Handlers of it may use the call. */
  if (cancellable != NULL)
    g_cancellable_cancel (cancellable);
}

/* Nobody can listen for the cancellation of the call. So it fails, and its function finds it
 * cancelled. ERROR is why. */
static void
fail_not_listening (AForkCall    *self,
                    const GError *error)
{
  g_autoptr(GError) explained = g_error_copy (error);

  g_prefix_error (&explained, "%s ", _("A call that can be cancelled has to be listened to."));
  if (g_atomic_int_compare_and_exchange (&self->answered, ANSWERED_NOT, ANSWERED_FOR))
    self->responder->answer (self->data, self->number, NULL, NULL, NULL, explained);
  _afork_call_cancel (self);
}

/**
 * afork_call_get_fds:
 * @self: a call
 *
 * Returns the descriptors that came with the call: those of [property@AFork.Job:fds], in the same
 * order. A handle (`h`) in the arguments is an index into them. They are closed with the call.
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
 * @n_blobs: (out): how many there are
 *
 * Returns the blobs that came with the call, those of [method@AFork.Job.add_blob], in the same
 * order. They are valid as long as somebody has a reference to them.
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
 * Returns what is cancelled when the caller does not want the answer any more: it has cancelled the
 * call, or its time is up. The function may look at it from time to time, or give it to what it
 * calls, and then answer soon: whatever it answers is ignored.
 *
 * A worker that serves one call after the other starts a thread when this is called first, for
 * somebody has to listen to the caller meanwhile; the cancellable is then cancelled by that thread.
 * If no thread can be started, the call fails with an error that says so, and the cancellable is
 * cancelled.
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
  else if (is_new && self->responder->listen != NULL
           && !self->responder->listen (self->data, &error))
    fail_not_listening (self, error);
  return self->cancellable;
}

/**
 * afork_call_report:
 * @self: a call
 * @progress: how far it is; a floating value is taken
 *
 * Tells the caller about the progress of the call: [signal@AFork.Job::progress] is emitted there,
 * if the call was made with a job. After the answer, this does nothing. A value over 1 GiB is
 * dropped, with a warning.
 *
 * What a worker reports, emits and answers arrives in the order in which it did. A caller that does
 * not read makes this wait.
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
 * @blob: bytes, which are not to be changed any more
 *
 * Has @blob go to the caller beside the result; see [method@AFork.Job.get_result_blobs]. At most
 * 1024 go with one answer; they are added before the answer is given, and do not go with an error.
 *
 * Returns: its index, from 0
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

/* Whether the answer that is about to be given is the first. */
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
 * @fds: (nullable): descriptors that go with it; a handle (`h`) in @value is an index into them
 *
 * Answers the call. What is too large for a message answers it with `G_IO_ERROR_MESSAGE_TOO_LARGE`.
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
 * Answers the call with an error. The caller gets it with its domain, code and message, if it knows
 * the domain; else as `AFORK_ERROR_FAILED` with the message. Another text stands for one of 5 MiB
 * or more.
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
