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

#define CONTACT_SHEET_MAX_PICTURES 400      /* on one sheet */

/* Returns how many sheets N_THUMBNAILS need, with up to N_SHOWN on each. */
guint       contact_sheet_count       (guint        n_thumbnails,
                                       guint        n_shown);

/* Whether there is no file at PATH, or only a sheet that this program has drawn: other files are
 * neither replaced nor removed. If PATH is a symbolic link, this is about the file that it leads
 * to. */
gboolean    contact_sheet_may_replace (const char  *path,
                                       GError     **error);

/* Returns a file for a sheet that replaces the one at PATH. */
OutputFile *contact_sheet_open        (const char  *path,
                                       GError     **error);

/* Removes a sheet of an earlier run. Returns whether there was one. */
gboolean    contact_sheet_remove      (const char  *path);

/* Has a worker draw the thumbnails of sheet NUMBER, from 0 on, into the PNG file OUTPUT. There are
 * up to N_SHOWN on a sheet. PIXELS is the longest side of a thumbnail. */
void     contact_sheet_make_async  (WorkerPool           *workers,
                                    GPtrArray            *pictures,
                                    guint                 n_shown,
                                    guint                 number,
                                    guint                 pixels,
                                    OutputFile           *output,
                                    GCancellable         *cancellable,
                                    GAsyncReadyCallback   callback,
                                    gpointer              user_data);
gboolean contact_sheet_make_finish (GAsyncResult         *result,
                                    ContactSheet         *sheet,
                                    GError              **error);
