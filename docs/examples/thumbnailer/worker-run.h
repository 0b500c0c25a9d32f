/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "worker-template.h"

/*
 * What went wrong in a worker while it worked, so that its work may be to blame. All other errors
 * say that there was no worker, or that the user has had enough.
 */
#define WORKER_ERROR (worker_error_quark ())

typedef enum
{
  WORKER_ERROR_REFUSED,      /* it said no, and why */
  WORKER_ERROR_DIED,
  WORKER_ERROR_TIMED_OUT,
  WORKER_ERROR_PROTOCOL      /* it said nothing, or nonsense */
} WorkerError;

GQuark   worker_error_quark (void);

/*
 * Has @function of a fresh worker do @job, for at most @timeout seconds, and waits until the worker
 * has said what came of it and is gone. Cancelling kills the worker. A template that does not get
 * it going or does not tell of its end is replaced.
 */
void     worker_run_async   (WorkerTemplate       *workers,
                             const char           *function,
                             AForkJob             *job,
                             guint                 timeout,
                             GCancellable         *cancellable,
                             GAsyncReadyCallback   callback,
                             gpointer              user_data);
gboolean worker_run_finish  (GAsyncResult         *result,
                             int                  *width,
                             int                  *height,
                             GError              **error);
