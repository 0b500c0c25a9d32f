/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "in-process-jobs.h"

#include "afork-error.h"
#include "afork-job-private.h"
#include "afork-process-private.h"
#include "afork-runtime.h"
#include "afork-runtime-private.h"

static AForkInProcess *
load_modules (AForkProcess          *process,
              const AForkSlotSetup  *setup,
              GError               **error)
{
  AForkRuntime *runtime = afork_process_get_runtime (process);
  g_auto(GStrv) modules = _afork_process_dup_modules (process);
  g_auto(GStrv) module_path = NULL;

  if (runtime->info->kind != AFORK_RUNTIME_KIND_NATIVE || modules == NULL || setup->concurrent)
    {
      g_set_error_literal (error, AFORK_ERROR, AFORK_ERROR_NOT_SUPPORTED,
                           "the template must be of the native runtime and only load modules, and "
                           "the pool must not be concurrent");
      return NULL;
    }

  module_path = afork_runtime_dup_module_path (runtime);
  return _afork_in_process_new ((const char * const *) modules,
                                (const char * const *) module_path, setup->function,
                                setup->init_function, error);
}

AForkInProcess *
_afork_in_process_jobs_new (AForkProcess         *process,
                            const AForkSlotSetup *setup)
{
  g_autoptr(GError) error = NULL;
  AForkInProcess *self;

  if (!_afork_in_process_is_wanted ())
    return NULL;

  self = load_modules (process, setup, &error);
  if (self == NULL)
    g_warning ("AFORK_INPROCESS has no effect on the pool of “%s”: %s", setup->function,
               error->message);
  return self;
}

gboolean
_afork_in_process_jobs_is_cancelled (AForkPoolJob *job)
{
  return job->shared != NULL ? _afork_shared_job_is_cancelled (job->shared)
                             : _afork_pending_call_is_cancelled (job->call);
}

GVariant *
_afork_in_process_jobs_run (AForkInProcess           *self,
                            AForkPoolJob             *job,
                            AForkInProcessEventFunc   event_func,
                            gpointer                  data,
                            GError                  **error)
{
  AForkPendingCall *call = job->call;
  g_autoptr(GVariant) value = NULL;

  if (job->shared != NULL)
    _afork_shared_job_set_running (job->shared);
  if (call->job != NULL)
    {
      _afork_job_set_begun (call->job);
      _afork_job_set_state (call->job, AFORK_JOB_STATE_RUNNING);
    }
  value = _afork_in_process_call (self, call->args, call->job, call->cancellable, event_func, data,
                                  error);
  if (!_afork_pending_call_is_cancelled (call))
    return g_steal_pointer (&value);

  g_clear_error (error);
  g_propagate_error (error, _afork_pending_call_new_cancelled_error ());
  return NULL;
}
