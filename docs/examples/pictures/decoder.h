/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>
#include <gdk/gdk.h>

/* The pool whose workers decode, and its jobs. */

/* MODULE is the worker module: its name, or its path. */
AForkPool  *decoder_new_pool    (const char           *module);

/* Makes a job that decodes FILE for at most SIZE pixels a side. */
AForkJob   *decoder_new_job     (GFile                *file,
                                 int                   size,
                                 GError              **error);
/* Runs JOB. Returns the texture. Its pixels are the memory in which they came from the worker. */
void        decoder_run_async   (AForkPool            *pool,
                                 AForkJob             *job,
                                 GAsyncReadyCallback   callback,
                                 gpointer              user_data);
GdkTexture *decoder_run_finish  (AForkJob             *job,
                                 GAsyncResult         *result,
                                 GError              **error);
