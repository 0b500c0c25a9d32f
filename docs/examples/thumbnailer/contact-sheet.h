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

/* Returns how many sheets are needed for the thumbnails of PICTURES. */
guint    contact_sheet_count       (GPtrArray            *pictures);

/* Has a worker draw the thumbnails of sheet NUMBER, from 0 on, into the PNG file OUTPUT. PIXELS
 * is the longest side of a thumbnail. */
void     contact_sheet_make_async  (WorkerPool           *workers,
                                    GPtrArray            *pictures,
                                    guint                 number,
                                    guint                 pixels,
                                    OutputFile           *output,
                                    GCancellable         *cancellable,
                                    GAsyncReadyCallback   callback,
                                    gpointer              user_data);
gboolean contact_sheet_make_finish (GAsyncResult         *result,
                                    ContactSheet         *sheet,
                                    GError              **error);
