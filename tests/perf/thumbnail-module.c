/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Makes thumbnails in AFork's own workers. */

#include <afork/afork.h>

#include "pool-work.h"
#include "thumbnail-work.h"

AFORK_WORKER_EXPORT void      prepare   (int                 argc,
                                         const char * const *argv);
AFORK_WORKER_EXPORT GVariant *thumbnail (AForkCall          *call,
                                         GVariant           *args,
                                         GError            **error);

void
prepare (int                 argc,
         const char * const *argv)
{
  thumbnail_prepare ();
}

GVariant *
thumbnail (AForkCall  *call,
           GVariant   *args,
           GError    **error)
{
  const char *from, *to;

  g_variant_get (args, "(^&ay^&ay)", &from, &to);
  thumbnail_make (from, to, POOL_PIXELS, error);
  return NULL;
}
