/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* What the bytes of a picture cause, each time that it is tried. Errors of any other domain may
 * pass: they are about the system, or about its load. Used by the program and by its workers. */
#define PICTURE_ERROR (g_quark_from_static_string ("afork-thumbnailer-picture-error"))

typedef enum
{
  PICTURE_ERROR_FAILED,
  PICTURE_ERROR_TIMED_OUT       /* more processor time might do */
} PictureError;
