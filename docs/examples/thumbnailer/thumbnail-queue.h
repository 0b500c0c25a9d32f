/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "thumbnail-maker.h"

typedef void (* ThumbnailQueueFunc) (const Picture *picture,
                                     gpointer       user_data);

/* Makes thumbnails of all @pictures, and calls @each after each one. At most @n_at_once are open at
 * a time, some of which wait in the pool of workers. When it is cancelled, it opens no more, and
 * ends when the last one has ended. */
void     thumbnail_queue_run_async  (const ThumbnailMaker  *maker,
                                     GPtrArray             *pictures,
                                     guint                  n_at_once,
                                     ThumbnailQueueFunc     each,
                                     gpointer               each_data,
                                     GCancellable          *cancellable,
                                     GAsyncReadyCallback    callback,
                                     gpointer               user_data);
gboolean thumbnail_queue_run_finish (GAsyncResult          *result,
                                     GError               **error);
