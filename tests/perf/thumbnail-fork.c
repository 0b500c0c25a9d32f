/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* thumbnail-fork PAIRS WORKERS PIXELS
 *
 * Limit: about the least that a fresh process for each picture can cost. This process has loaded
 * the decoders, and forks a child for each picture, which makes the thumbnail and exits. Nothing is
 * confined, connected or answered. A line of the file PAIRS is a picture, a tab, and a thumbnail.
 * WORKERS is how many children there are at a time. */

#include "config.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "thumbnail-work.h"

static void
fork_child (const char *pair,
            int         pixels)
{
  g_auto(GStrv) paths = g_strsplit (pair, "\t", 2);
  g_autoptr(GError) error = NULL;
  const pid_t pid = fork ();

  if (pid < 0)
    case_fail_errno ("fork");
  if (pid > 0)
    return;

  if (!thumbnail_make (paths[0], paths[1], pixels, &error))
    case_fail ("%s", error->message);
  _exit (EXIT_SUCCESS);
}

static void
wait_for_child (void)
{
  int status;

  if (wait (&status) < 0)
    case_fail_errno ("wait");
  if (status != 0)
    case_fail ("A child has wait status %d", status);
}

int
main (int    argc,
      char **argv)
{
  g_autofree char *content = NULL;
  g_auto(GStrv) pairs = NULL;
  g_autoptr(GError) error = NULL;
  int max_children, n_children = 0;

  if (argc != 4)
    case_fail ("usage: thumbnail-fork PAIRS WORKERS PIXELS");
  if (!g_file_get_contents (argv[1], &content, NULL, &error))
    case_fail ("%s", error->message);

  pairs = g_strsplit (g_strchomp (content), "\n", -1);
  max_children = atoi (argv[2]);
  thumbnail_prepare ();

  for (gsize i = 0; pairs[i] != NULL; i++)
    {
      if (n_children == max_children)
        wait_for_child ();
      else
        n_children++;
      fork_child (pairs[i], atoi (argv[3]));
    }

  while (n_children-- > 0)
    wait_for_child ();
  return 0;
}
