/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "options.h"

#include <afork/afork.h>

/* The workers that decode pictures, and the template that they are forked from. The template has
 * loaded the worker module and everything that the module needs, so a worker starts quickly. */
typedef struct _WorkerPool WorkerPool;

WorkerPool *worker_pool_new          (const Options        *options);
/* Ends all workers, and waits until they have exited. Jobs must have ended. */
void        worker_pool_free         (WorkerPool           *self);

/* Has a worker call the function @what of the module with @args and @files, for at most @timeout
 * seconds of processor time, and ten times as long in all. Of the jobs that wait, those of a higher
 * @priority come first. If a worker crashes, the job is run once more, by another worker. */
void        worker_pool_run_async    (WorkerPool           *self,
                                      const char           *what,
                                      GVariant             *args,
                                      GUnixFDList          *files,
                                      int                   priority,
                                      guint                 timeout,
                                      GCancellable         *cancellable,
                                      GAsyncReadyCallback   callback,
                                      gpointer              user_data);
/* Returns the size of the picture that the worker has handled. */
gboolean    worker_pool_run_finish   (GAsyncResult         *result,
                                      int                  *width,
                                      int                  *height,
                                      GError              **error);

/* Asks a worker which MIME types it can decode. Returns them, to be freed by g_strfreev(). */
void        worker_pool_list_types_async  (WorkerPool           *self,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
char      **worker_pool_list_types_finish (GAsyncResult         *result,
                                           GError              **error);

/* Returns two lines on what the workers have done so far. */
char       *worker_pool_describe     (WorkerPool           *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (WorkerPool, worker_pool_free)
