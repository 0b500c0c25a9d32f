/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>

/* To decode a picture: its descriptor, the name of its file, and how many pixels the longest side
 * may have. */
#define DECODE_ARGS    "(hsi)"

/* Width and height of the pixels, bytes from one row to the next; width and height of the picture
 * itself. The pixels are the first blob: red, green, blue and alpha in the order of a GdkTexture,
 * so the program only shows them. While it decodes, the worker reports the part of the file that is
 * done, as a double. */
#define DECODE_RESULT  "(iitii)"

/* With a number of milliseconds as its arguments, `x`, the function keeps the worker busy for this
 * time. If the number is negative, the function never returns. */

AFORK_WORKER_EXPORT
GVariant *work (AForkCall  *call,
                GVariant   *args,
                GError    **error);
