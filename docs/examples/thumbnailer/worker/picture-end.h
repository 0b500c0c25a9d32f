/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/* Whether a picture is complete. The loaders of PNG and JPEG fill in what is missing without an
 * error, so this searches the bytes on their way to the loader for the end mark of such a file. */

typedef struct _PictureEnd PictureEnd;

struct _PictureEnd
{
  /* Takes some of the bytes, at least one, and returns how many. NULL ends the search. */
  gsize    (* step) (PictureEnd   *self,
                     const guchar *bytes,
                     gsize         size);
  guint64  skip;            /* bytes to skip before the next step */
  guint64  number;          /* a word as far as it was read, the first byte highest */
  guint    n_gathered;      /* how many bytes it has */
  gboolean is_jpeg;         /* or PNG, if it has an end mark */
  gboolean missing;         /* such a file has an end mark, and it has not come yet */
};

void     picture_end_init       (PictureEnd       *self);
void     picture_end_feed       (PictureEnd       *self,
                                 const guchar     *bytes,
                                 gsize             size);
gboolean picture_end_is_missing (const PictureEnd *self);

/* The mark that such a file has at its end. It must be missing. */
const guchar *picture_end_get_mark (const PictureEnd *self,
                                    gsize            *size);
