/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/worker/afork-worker.h>

/*
 * The functions that the thumbnailer runs in its workers. Each answers on its socket with one line,
 * `ok WIDTH HEIGHT` or `error REASON`, and touches no file but those whose descriptors it was sent.
 *
 * KEYS stands for strings in pairs, a keyword and its text, that go into the PNG file written.
 */

/* Called in the template: loads what every worker needs, once. */
AFORK_WORKER_EXPORT
void prepare        (int                 argc,
                     const char * const *argv);

/* Items: the picture, the output, the longest side in pixels, KEYS. Makes one thumbnail. */
AFORK_WORKER_EXPORT
void thumbnail      (int                 socket,
                     const AForkItem    *items,
                     size_t              n_items);

/* Items: the output, KEYS. Writes a picture of one pixel, which says that there is no thumbnail. */
AFORK_WORKER_EXPORT
void record_failure (int                 socket,
                     const AForkItem    *items,
                     size_t              n_items);

/* Items: the output, the height of a row in pixels, then thumbnails, any number. */
AFORK_WORKER_EXPORT
void contact_sheet  (int                 socket,
                     const AForkItem    *items,
                     size_t              n_items);
