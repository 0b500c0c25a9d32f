/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "thumbnail-maker.h"

typedef void (* ThumbnailQueueFunc) (const Picture *picture,
                                     gpointer       user_data);

/* Makes thumbnails of all @pictures, @n_jobs at a time, and calls @each after each one. When it is
 * cancelled, it starts no more, and ends when the last worker has exited. */
void     thumbnail_queue_run_async  (const ThumbnailMaker  *maker,
                                     GPtrArray             *pictures,
                                     guint                  n_jobs,
                                     ThumbnailQueueFunc     each,
                                     gpointer               each_data,
                                     GCancellable          *cancellable,
                                     GAsyncReadyCallback    callback,
                                     gpointer               user_data);
gboolean thumbnail_queue_run_finish (GAsyncResult          *result,
                                     GError               **error);
