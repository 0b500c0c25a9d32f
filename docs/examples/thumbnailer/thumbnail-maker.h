/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "picture.h"
#include "thumbnail-store.h"
#include "worker-template.h"

/* All that is needed to make a thumbnail of a picture. */
typedef struct
{
  ThumbnailStore *store;
  WorkerTemplate *workers;
  guint           pixels;      /* the longest side of a thumbnail */
  guint           timeout;     /* seconds */
  gboolean        retry;       /* pictures that failed before */
} ThumbnailMaker;

/*
 * Makes a thumbnail of @picture, or finds one that still holds, and notes the outcome in @picture.
 * A picture that no thumbnail can be made of is an outcome too: the only error is to be cancelled.
 */
void     thumbnail_maker_make_async  (const ThumbnailMaker  *self,
                                      Picture               *picture,
                                      GCancellable          *cancellable,
                                      GAsyncReadyCallback    callback,
                                      gpointer               user_data);
Picture *thumbnail_maker_make_finish (GAsyncResult          *result,
                                      GError               **error);
