/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Describes its items, one in each line. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

#include "checksum.h"

static void
describe_bytes (FILE            *out,
                const AForkItem *item)
{
  fprintf (out, "bytes %zu %016" PRIx64 "%s%s\n", item->size, checksum (item->data, item->size),
           item->data[item->size] == '\0' ? "" : " without a NUL",
           item->fd == -1 ? "" : " and a descriptor");
}

static void
describe_fd (FILE            *out,
             const AForkItem *item)
{
  struct stat status;

  if (fstat (item->fd, &status) < 0)
    fprintf (out, "fd that is not open\n");
  else
    fprintf (out, "fd %ju %jd%s\n", (uintmax_t) status.st_ino,
             (intmax_t) lseek (item->fd, 0, SEEK_CUR),
             item->data == NULL && item->size == 0 ? "" : " and bytes");
}

AFORK_WORKER_EXPORT void describe (int socket, const AForkItem *items, size_t n_items);

void
describe (int              socket,
          const AForkItem *items,
          size_t           n_items)
{
  FILE *out = fdopen (socket, "w");

  if (out == NULL)
    exit (1);
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_BYTES)
      describe_bytes (out, &items[i]);
    else
      describe_fd (out, &items[i]);
  if (fclose (out) != 0)
    exit (1);
}

/* To be called: keeps the number of its arguments, and their length. */

static int    n_arguments;
static size_t n_bytes;

AFORK_WORKER_EXPORT void remember (int argc, const char * const *argv);

void
remember (int                argc,
          const char * const *argv)
{
  n_arguments = argc;
  n_bytes = 0;
  for (int i = 0; i < argc; i++)
    n_bytes += strlen (argv[i]);
  if (argv[argc] != NULL)
    abort ();
}

AFORK_WORKER_EXPORT void recall (int socket, const AForkItem *items, size_t n_items);

void
recall (int              socket,
        const AForkItem *items,
        size_t           n_items)
{
  dprintf (socket, "%d %zu", n_arguments, n_bytes);
}
