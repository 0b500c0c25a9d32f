/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

/*
 * Whether a picture is all there. The loaders of PNG and JPEG fill up what is missing and say
 * nothing of it, so this watches the bytes on their way there for the mark that ends such a file.
 */

typedef struct _PictureEnd PictureEnd;

struct _PictureEnd
{
  /* Takes some of the bytes, at least one, and returns how many; NULL ends the watch. */
  gsize    (* step) (PictureEnd   *self,
                     const guchar *bytes,
                     gsize         size);
  guint64  skip;            /* bytes to pass over before the next step */
  guint64  number;          /* what has been gathered of a word, the first byte highest */
  guint    n_gathered;      /* its bytes */
  gboolean missing;         /* such a file has an end, and it has not come yet */
};

void     picture_end_init       (PictureEnd       *self);
void     picture_end_feed       (PictureEnd       *self,
                                 const guchar     *bytes,
                                 gsize             size);
gboolean picture_end_is_missing (const PictureEnd *self);
