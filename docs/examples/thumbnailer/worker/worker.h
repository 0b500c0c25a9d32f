/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

/* The functions that the thumbnailer calls in its workers. Each returns `(ii)`, the width and
 * height of the picture that it has handled, and uses no files but those whose descriptors came
 * with the call.
 *
 * KEYS stands for `a{ss}`, keywords and texts for the PNG file that is written. */

/* Called in the template: loads what every worker needs, once. */
AFORK_WORKER_EXPORT
void      prepare        (int                 argc,
                          const char * const *argv);

/* Arguments: the picture `h`, the output `h`, the longest side in pixels `u`, KEYS. Makes one
 * thumbnail. */
AFORK_WORKER_EXPORT
GVariant *thumbnail      (AForkCall          *call,
                          GVariant           *args,
                          GError            **error);

/* Arguments: the output `h`, KEYS. Writes a picture of one pixel, which means that there is no
 * thumbnail. */
AFORK_WORKER_EXPORT
GVariant *record_failure (AForkCall          *call,
                          GVariant           *args,
                          GError            **error);

/* Arguments: the output `h`, which is the first descriptor, and the height of a row in pixels `u`.
 * All other descriptors are thumbnails. */
AFORK_WORKER_EXPORT
GVariant *contact_sheet  (AForkCall          *call,
                          GVariant           *args,
                          GError            **error);
