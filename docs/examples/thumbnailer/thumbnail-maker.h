/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"
#include "thumbnail-store.h"
#include "worker-pool.h"

/* Everything that is needed to make a thumbnail of a picture. */
typedef struct
{
  ThumbnailStore *store;
  WorkerPool     *workers;
  guint           pixels;      /* the longest side of a thumbnail */
  guint           timeout;     /* seconds */
  gboolean        retry;       /* pictures that failed before */
} ThumbnailMaker;

/* Makes a thumbnail of @picture, or finds one that is still valid, and stores the result in
 * @picture. If no thumbnail can be made of the picture, this is a result, too: the only error is
 * cancellation. */
void     thumbnail_maker_make_async  (const ThumbnailMaker  *self,
                                      Picture               *picture,
                                      GCancellable          *cancellable,
                                      GAsyncReadyCallback    callback,
                                      gpointer               user_data);
Picture *thumbnail_maker_make_finish (GAsyncResult          *result,
                                      GError               **error);
