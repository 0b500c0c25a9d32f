/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "worker-template.h"

/* Errors of a worker that its work may have caused. All other errors mean that there was no worker,
 * or that the user has cancelled. */
#define WORKER_ERROR (worker_error_quark ())

typedef enum
{
  WORKER_ERROR_REFUSED,      /* it has returned an error */
  WORKER_ERROR_DIED,
  WORKER_ERROR_TIMED_OUT,
  WORKER_ERROR_PROTOCOL      /* it has returned nothing, or an invalid result */
} WorkerError;

GQuark   worker_error_quark (void);

/* Runs @function of a fresh worker with @job, for at most @timeout seconds, and waits until the
 * worker has returned its result and exited. Cancelling kills the worker. A template that does not
 * start it, or does not report its exit, is replaced. */
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
