/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Replaces libFuzzer: calls its target once for each file in each directory on the command line. */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
try_file (const char *path)
{
  uint8_t buffer[64 * 1024];
  uint8_t *bytes;
  size_t n_bytes;
  FILE *file = fopen (path, "rb");

  if (file == NULL)
    {
      fprintf (stderr, "%s: %s\n", path, strerror (errno));
      exit (1);
    }
  n_bytes = fread (buffer, 1, sizeof buffer, file);
  fclose (file);

  /* Memory of exactly the size of the input, so that a tool sees reads beyond it. */
  bytes = malloc (n_bytes > 0 ? n_bytes : 1);
  if (bytes == NULL)
    abort ();
  memcpy (bytes, buffer, n_bytes);
  printf ("%s\n", path);
  fflush (stdout);
  LLVMFuzzerTestOneInput (bytes, n_bytes);
  free (bytes);
}

static int
try_folder (const char *folder)
{
  struct dirent *entry;
  int n_files = 0;
  DIR *dir = opendir (folder);

  if (dir == NULL)
    {
      fprintf (stderr, "%s: %s\n", folder, strerror (errno));
      exit (1);
    }

  while ((entry = readdir (dir)) != NULL)
    {
      char path[4096];

      if (entry->d_name[0] == '.')
        continue;
      snprintf (path, sizeof path, "%s/%s", folder, entry->d_name);
      try_file (path);
      n_files++;
    }

  closedir (dir);
  return n_files;
}

int
main (int    argc,
      char **argv)
{
  int n_files = 0;

  for (int i = 1; i < argc; i++)
    n_files += try_folder (argv[i]);

  printf ("%d files\n", n_files);
  return n_files > 0 ? 0 : 1;
}
