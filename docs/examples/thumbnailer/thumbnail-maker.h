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
  guint           timeout;     /* of processor time, in seconds */
  gboolean        retry;       /* pictures that failed before */
} ThumbnailMaker;

/* Makes the thumbnails of PICTURE that are not there yet, and stores the result in PICTURE. If
 * none can be made of the picture, this is a result, too. Fails only if it is cancelled, if no
 * thumbnails can be stored at all, or with G_IO_ERROR_TOO_MANY_OPEN_FILES if it has to be tried
 * again when other pictures are done. Then the picture has no result. */
void     thumbnail_maker_make_async  (const ThumbnailMaker  *self,
                                      Picture               *picture,
                                      GCancellable          *cancellable,
                                      GAsyncReadyCallback    callback,
                                      gpointer               user_data);
Picture *thumbnail_maker_make_finish (GAsyncResult          *result,
                                      GError               **error);
