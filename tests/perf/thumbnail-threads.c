/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: thumbnails in threads of one process. */

#include "config.h"

#include <glib.h>
#include <stdlib.h>

#include "pool-work.h"
#include "thread-loop.h"
#include "thumbnail-work.h"

static char *folder;

static void
make_thumbnail (int ticket)
{
  g_autofree char *picture = g_strdup_printf (POOL_PICTURE, folder, ticket);
  g_autofree char *thumbnail = g_strdup_printf (POOL_THUMBNAIL, folder, ticket);
  g_autoptr(GError) error = NULL;

  if (!thumbnail_make (picture, thumbnail, POOL_PIXELS, &error))
    case_fail ("%s", error->message);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  folder = case_sibling ("");
  thumbnail_prepare ();
  thread_loop_run (&options, make_thumbnail);
  free (folder);
  return 0;
}
