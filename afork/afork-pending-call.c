/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-pending-call-private.h"

#include "afork-context-private.h"
#include "afork-error.h"
#include "afork-i18n-private.h"
#include "afork-job-private.h"

static void
clear_sources (AForkPendingCall *call)
{
  g_clear_pointer (&call->cancelled, _afork_cancel_watch_end);
  g_clear_pointer (&call->job_cancelled, _afork_cancel_watch_end);
  _afork_source_clear (&call->timeout);
}

AForkPendingCall *
_afork_pending_call_new (GTask    *task,
                         GVariant *args,
                         AForkJob *job)
{
  AForkPendingCall *call = g_new0 (AForkPendingCall, 1);

  /* Whether it was cancelled in time is known here. */
  g_task_set_check_cancellable (task, FALSE);
  call->link.data = call;
  call->task = task;
  call->args = g_variant_ref_sink (args != NULL ? args : g_variant_new_tuple (NULL, 0));
  g_set_object (&call->job, job);
  return call;
}

void
_afork_pending_call_free (AForkPendingCall *call)
{
  g_assert (call->task == NULL);
  clear_sources (call);
  g_variant_unref (call->args);
  g_clear_object (&call->job);
  g_free (call);
}

gboolean
_afork_pending_call_is_cancelled (AForkPendingCall *call)
{
  GCancellable *cancellable = g_task_get_cancellable (call->task);

  return g_cancellable_is_cancelled (cancellable)
    || (call->job != NULL && g_cancellable_is_cancelled (_afork_job_get_cancellable (call->job)));
}

static void
cancelled_cb (gpointer data)
{
  AForkPendingCall *call = data;

  call->abandon (call, g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                    _("Operation was cancelled")));
}

static AForkCancelWatch *
watch_cancellable (AForkPendingCall *call,
                   GCancellable     *cancellable)
{
  if (cancellable == NULL)
    return NULL;

  return _afork_cancel_watch_new (cancellable, g_task_get_context (call->task), cancelled_cb, call,
                                  NULL);
}

void
_afork_pending_call_watch (AForkPendingCall            *call,
                           AForkPendingCallAbandonFunc  abandon)
{
  call->abandon = abandon;
  call->cancelled = watch_cancellable (call, g_task_get_cancellable (call->task));
  if (call->job != NULL)
    call->job_cancelled = watch_cancellable (call, _afork_job_get_cancellable (call->job));
}

static gboolean
timed_out_cb (gpointer data)
{
  AForkPendingCall *call = data;

  call->abandon (call, g_error_new (AFORK_ERROR, AFORK_ERROR_TIMED_OUT,
                                    _("The job took longer than %u ms"),
                                    afork_job_get_timeout (call->job)));
  return G_SOURCE_REMOVE;
}

void
_afork_pending_call_begin (AForkPendingCall *call)
{
  guint timeout = afork_job_get_timeout (call->job);

  if (timeout == 0 || call->timeout != NULL)
    return;

  call->timeout = g_timeout_source_new (timeout);
  g_source_set_static_name (call->timeout, "[afork] job's time limit");
  g_source_set_callback (call->timeout, timed_out_cb, call, NULL);
  g_source_attach (call->timeout, g_task_get_context (call->task));
}

void
_afork_pending_call_end (AForkPendingCall *call,
                         GVariant         *value,
                         GError           *error)
{
  g_autoptr(GTask) task = g_steal_pointer (&call->task);
  g_autoptr(AForkJob) job = g_steal_pointer (&call->job);

  clear_sources (call);
  if (job != NULL)
    _afork_job_set_state (job, error == NULL ? AFORK_JOB_STATE_SUCCEEDED : AFORK_JOB_STATE_FAILED);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, value, (GDestroyNotify) g_variant_unref);
}
