/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "output-file.h"
#include "worker-pool.h"

/* The result of a contact sheet. */
typedef struct
{
  guint n_pictures;
  int   width;
  int   height;
} ContactSheet;

/* Has a worker draw the thumbnails of all @pictures that have one on one sheet, into a PNG file,
 * which is @output. @pixels is the longest side of a thumbnail. If there are too many, some are
 * left out, evenly. */
void     contact_sheet_make_async  (WorkerPool           *workers,
                                    GPtrArray            *pictures,
                                    guint                 pixels,
                                    OutputFile           *output,
                                    GCancellable         *cancellable,
                                    GAsyncReadyCallback   callback,
                                    gpointer              user_data);
gboolean contact_sheet_make_finish (GAsyncResult         *result,
                                    ContactSheet         *sheet,
                                    GError              **error);
