/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

#include "picture-error.h"
#include "work-file.h"

/* The thumbnailer's workers serve one function, `work`, with the name of what is to be done and its
 * arguments, `(sv)`. It returns `(ii)`, the width and height of the picture that was handled, if
 * nothing else is said below, and uses no files but those that came with the call. `h` in the
 * arguments is the index of such a file. If another worker has crashed, the function may be called
 * again with the same files.
 *
 * A caller on this host sends the files as descriptors. One on another host sends blobs: the
 * content of each file that is to be read, and nothing for each that is to be written. Then the
 * result has a blob for each file that was written, in order.
 *
 * KEYS stands for `a{ss}`, keywords and texts for the PNG file that is written. */

/* Called in the template: loads what every worker needs, once. If the argument is `quiet`, messages
 * of the decoders are not shown. */
AFORK_WORKER_EXPORT
void      prepare        (int                 argc,
                          const char * const *argv);

AFORK_WORKER_EXPORT
GVariant *work           (AForkCall          *call,
                          GVariant           *args,
                          GError            **error);

/* `thumbnail`: makes thumbnails of one picture. Arguments: the picture `h`, the name of its file
 * `s`, for each thumbnail the output and its longest side in pixels `a(hu)`, KEYS.
 *
 * Fails with PICTURE_ERROR if the picture cannot be decoded, and with an error of another domain if
 * something else is wrong. */
GVariant *thumbnail      (WorkFile           *files,
                          guint               n_files,
                          GVariant           *args,
                          GError            **error);

/* `record-failure`: writes a picture of one pixel, which means that there is no thumbnail.
 * Arguments: the output `h`, KEYS. */
GVariant *record_failure (WorkFile           *files,
                          guint               n_files,
                          GVariant           *args,
                          GError            **error);

/* `contact-sheet`: draws many thumbnails. Arguments: the output `h`, which is the first file, the
 * height of a row in pixels `u`, the names of the pictures `as`, KEYS. All other files are
 * thumbnails, one for each name. */
GVariant *contact_sheet  (WorkFile           *files,
                          guint               n_files,
                          GVariant           *args,
                          GError            **error);

/* `types`: returns the MIME types that can be decoded, `as`. No arguments, `()`. */
GVariant *types          (WorkFile           *files,
                          guint               n_files,
                          GVariant           *args,
                          GError            **error);
