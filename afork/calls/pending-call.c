/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "pending-call.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "base/context.h"
#include "base/i18n.h"

static void async_result_init (GAsyncResultIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (AForkPendingCall, _afork_pending_call, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_ASYNC_RESULT, async_result_init))

static gpointer
get_user_data (GAsyncResult *result)
{
  return AFORK_PENDING_CALL (result)->user_data;
}

static GObject *
get_source_object (GAsyncResult *result)
{
  return g_object_ref (AFORK_PENDING_CALL (result)->source);
}

static gboolean
is_tagged (GAsyncResult *result,
           gpointer      tag)
{
  return AFORK_PENDING_CALL (result)->tag == tag;
}

static void
async_result_init (GAsyncResultIface *iface)
{
  iface->get_user_data = get_user_data;
  iface->get_source_object = get_source_object;
  iface->is_tagged = is_tagged;
}

static void
_afork_pending_call_finalize (GObject *object)
{
  AForkPendingCall *call = AFORK_PENDING_CALL (object);

  _afork_pending_call_unwatch (call);
  g_clear_pointer (&call->later, _afork_waiter_end);
  g_object_unref (call->source);
  g_main_context_unref (call->context);
  g_main_context_unref (call->served_in);
  g_clear_pointer (&call->value, g_variant_unref);
  g_clear_error (&call->error);
  g_variant_unref (call->args);
  g_clear_object (&call->job);
  g_clear_object (&call->cancellable);
  G_OBJECT_CLASS (_afork_pending_call_parent_class)->finalize (object);
}

static void
_afork_pending_call_class_init (AForkPendingCallClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = _afork_pending_call_finalize;
}

static void
_afork_pending_call_init (AForkPendingCall *call)
{
  call->link.data = call;
  call->limit_link.data = call;
  call->context = g_main_context_ref_thread_default ();
  call->served_in = g_main_context_ref (call->context);
}

AForkPendingCall *
_afork_pending_call_new (GObject             *source,
                         gpointer             tag,
                         GVariant            *args,
                         AForkJob            *job,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  AForkPendingCall *call = g_object_new (AFORK_TYPE_PENDING_CALL, NULL);

  call->source = g_object_ref (source);
  call->tag = tag;
  call->args = g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  g_set_object (&call->job, job);
  call->limit = job != NULL ? afork_job_get_timeout (job) : 0;
  g_set_object (&call->cancellable, cancellable);
  call->callback = callback;
  call->user_data = user_data;
  return call;
}

void
_afork_pending_call_set_owner (AForkPendingCall                 *call,
                               const AForkPendingCallOwnerFuncs *funcs,
                               gpointer                          data)
{
  call->owner_funcs = funcs;
  call->owner_data = data;
}

void
_afork_pending_call_reset (AForkPendingCall *call)
{
  _afork_pending_call_unwatch (call);
  call->number = 0;
  call->begun = FALSE;
  call->written = FALSE;
  call->limit_moved = FALSE;
  call->limit_over = FALSE;
}

/* Ending early. */

gboolean
_afork_pending_call_is_cancelled (AForkPendingCall *call)
{
  return g_cancellable_is_cancelled (call->cancellable)
    || (call->job != NULL && _afork_job_is_cancelled (call->job));
}

GError *
_afork_pending_call_new_cancelled_error (void)
{
  return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Operation was cancelled"));
}

static void
cancelled_cb (gpointer data)
{
  AForkPendingCall *call = data;

  call->funcs->cancel (call, _afork_pending_call_new_cancelled_error (), call->funcs_data);
}

/* Called in the thread that cancels the job, with the job's lock held. */
static void
job_cancelled_cb (gpointer data)
{
  AForkPendingCall *call = data;

  call->job_cancelled =
    _afork_waiter_new_for_iteration (call->served_in, cancelled_cb, call, NULL);
}

static void
watch_cancellation (AForkPendingCall *call)
{
  if (call->cancellable != NULL)
    call->cancelled = _afork_waiter_new_for_cancellable (call->served_in, call->cancellable,
                                                         cancelled_cb, call, NULL);
  call->watches_job = call->job != NULL;
  if (call->watches_job)
    _afork_job_watch_cancel (call->job, job_cancelled_cb, call);
}

static void
unwatch_cancellation (AForkPendingCall *call)
{
  g_clear_pointer (&call->cancelled, _afork_waiter_end);
  if (call->watches_job)
    _afork_job_watch_cancel (call->job, NULL, NULL);
  call->watches_job = FALSE;
  g_clear_pointer (&call->job_cancelled, _afork_waiter_end);
}

void
_afork_pending_call_watch (AForkPendingCall            *call,
                           const AForkPendingCallFuncs *funcs,
                           gpointer                     data)
{
  call->funcs = funcs;
  call->funcs_data = data;
  watch_cancellation (call);
}

static void
timed_out_cb (gpointer data)
{
  AForkPendingCall *call = data;

  g_clear_pointer (&call->timeout, _afork_waiter_end);
  /* The program may not have iterated the context for some time, or may be busy with messages that
   * came before the answer. */
  if (!call->limit_over)
    {
      call->limit_over = TRUE;
      if (call->funcs->defer_limit (call, call->funcs_data))
        return;
    }

  call->funcs->cancel (call, g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                                          _("The job took longer than %u ms"), call->limit),
                       call->funcs_data);
}

/* Calls timed_out_cb() at TIME, or in the next iteration if it is 0. */
static void
set_timeout (AForkPendingCall *call,
             gint64            time)
{
  g_clear_pointer (&call->timeout, _afork_waiter_end);
  call->limit_time = time;
  call->timeout = time > 0
    ? _afork_waiter_new_for_time (call->served_in, time, timed_out_cb, call, NULL)
    : _afork_waiter_new_for_iteration (call->served_in, timed_out_cb, call, NULL);
}

void
_afork_pending_call_serve_in (AForkPendingCall *call,
                              GMainContext     *context)
{
  const gboolean is_watched = call->cancelled != NULL || call->watches_job;

  if (call->served_in == context)
    return;

  unwatch_cancellation (call);
  g_main_context_unref (call->served_in);
  call->served_in = g_main_context_ref (context);
  if (is_watched)
    watch_cancellation (call);
  if (call->timeout != NULL)
    set_timeout (call, call->limit_time);
}

void
_afork_pending_call_end_limit (AForkPendingCall *call)
{
  _afork_pending_call_leave_queue (call);
  set_timeout (call, 0);
}

static void
count_limit (AForkPendingCall *call)
{
  _afork_pending_call_leave_queue (call);
  call->limit_over = FALSE;
  set_timeout (call, g_get_monotonic_time () + call->limit * G_GINT64_CONSTANT (1000));
}

static gboolean
is_shared (AForkPendingCall *call)
{
  return call->owner_funcs != NULL && call->owner_funcs->limits_start != NULL;
}

void
_afork_pending_call_start_limit (AForkPendingCall *call)
{
  if (is_shared (call))
    {
      call->owner_funcs->limits_start (call, FALSE, call->owner_data);
      return;
    }
  if (call->timeout != NULL || call->limit_over || call->limit == 0)
    return;

  count_limit (call);
}

void
_afork_pending_call_begin (AForkPendingCall *call)
{
  if (is_shared (call))
    {
      call->owner_funcs->limits_start (call, TRUE, call->owner_data);
      return;
    }
  if ((call->timeout == NULL && !call->limit_over) || call->limit_moved)
    return;

  call->limit_moved = TRUE;
  count_limit (call);
}

void
_afork_pending_call_enter_queue (AForkPendingCall *call,
                                 GQueue           *queue,
                                 guint64           n_bytes)
{
  g_assert (call->limit_queue == NULL);

  call->limit_queue = queue;
  call->limit_bytes = n_bytes;
  g_queue_push_tail_link (queue, &call->limit_link);
}

void
_afork_pending_call_leave_queue (AForkPendingCall *call)
{
  if (call->limit_queue == NULL)
    return;

  g_queue_unlink (call->limit_queue, &call->limit_link);
  call->limit_queue = NULL;
}

void
_afork_pending_call_unwatch (AForkPendingCall *call)
{
  _afork_pending_call_leave_queue (call);
  unwatch_cancellation (call);
  g_clear_pointer (&call->timeout, _afork_waiter_end);
}

/* Ending. */

static void
call_back (AForkPendingCall *call)
{
  GAsyncReadyCallback callback = g_steal_pointer (&call->callback);
  gboolean is_default = _afork_get_thread_context () == call->context;

  if (callback == NULL)
    return;

  if (!is_default)
    g_main_context_push_thread_default (call->context);
  callback (call->source, G_ASYNC_RESULT (call), call->user_data);
  if (!is_default)
    g_main_context_pop_thread_default (call->context);
}

static void
call_back_cb (gpointer data)
{
  AForkPendingCall *call = data;

  g_clear_pointer (&call->later, _afork_waiter_end);
  call_back (call);
}

static void
call_back_later (AForkPendingCall *call)
{
  call->later = _afork_waiter_new_for_iteration (call->context, call_back_cb, g_object_ref (call),
                                                 g_object_unref);
}

static void
set_end (AForkPendingCall *call,
         GVariant         *value,
         GError           *error)
{
  _afork_pending_call_unwatch (call);
  call->value = value;
  call->error = error;
}

/* The job's state changes before the call calls back. A handler of the change may iterate the
 * context to wait for the callback, so the callback is scheduled before. */
static void
set_job_state (AForkPendingCall *call)
{
  g_autoptr(AForkJob) job = g_steal_pointer (&call->job);

  if (job != NULL)
    _afork_job_set_end (job, call->value, call->error);
}

static gboolean
is_in_context (AForkPendingCall *call)
{
  GSource *source = g_main_current_source ();

  return source != NULL && g_source_get_context (source) == call->context;
}

void
_afork_pending_call_end (AForkPendingCall *call,
                         GVariant         *value,
                         GError           *error)
{
  g_autoptr(AForkPendingCall) kept G_GNUC_UNUSED = g_object_ref (call);
  gboolean now = is_in_context (call);

  set_end (call, value, error);
  if (call->callback != NULL
      && (!now || (call->job != NULL && _afork_job_is_observed (call->job))))
    call_back_later (call);
  set_job_state (call);
  if (now)
    {
      g_clear_pointer (&call->later, _afork_waiter_end);
      call_back (call);
    }
}

void
_afork_pending_call_fail (AForkPendingCall *call,
                          GError           *error)
{
  g_autoptr(AForkPendingCall) kept G_GNUC_UNUSED = g_object_ref (call);

  set_end (call, NULL, error);
  call_back_later (call);
  set_job_state (call);
}

gboolean
_afork_pending_call_is_result (GAsyncResult *result,
                               gpointer      source,
                               gpointer      tag)
{
  return AFORK_IS_PENDING_CALL (result)
    && AFORK_PENDING_CALL (result)->source == source
    && AFORK_PENDING_CALL (result)->tag == tag;
}

gboolean
_afork_pending_call_has_end (GAsyncResult *result)
{
  AForkPendingCall *call = AFORK_PENDING_CALL (result);

  return call->value != NULL || call->error != NULL;
}

GVariant *
_afork_pending_call_propagate (GAsyncResult  *result,
                               GError       **error)
{
  AForkPendingCall *call = AFORK_PENDING_CALL (result);

  if (call->error != NULL)
    g_propagate_error (error, g_steal_pointer (&call->error));
  return g_steal_pointer (&call->value);
}
