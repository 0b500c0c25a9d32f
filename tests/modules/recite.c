/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Reports everything that it was given, in order. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

/* A number to which a descriptor may have been mapped; what else is reported; and how the worker
 * exits. */
#define MAPPED    900
#define VARIABLE  "AFORK_RECITED"
#define END       "AFORK_RECITED_END"

static char notes[4096];

static void
write_all (int         fd,
           const char *data,
           size_t      size)
{
  while (size > 0)
    {
      ssize_t written = write (fd, data, size);

      if (written <= 0)
        _exit (1);
      data += written;
      size -= (size_t) written;
    }
}

/* The contents of the file, whatever its offset is. */
static void
write_file (int socket,
            int fd)
{
  char buffer[4096];
  off_t offset = 0;
  ssize_t size;

  while ((size = pread (fd, buffer, sizeof buffer, offset)) > 0)
    {
      write_all (socket, buffer, (size_t) size);
      offset += size;
    }
}

AFORK_WORKER_EXPORT void recite_note (int argc, const char * const *argv);

/* To be called: keeps its arguments. */
void
recite_note (int                argc,
             const char * const *argv)
{
  for (int i = 0; i < argc; i++)
    strncat (notes, argv[i], sizeof notes - strlen (notes) - 1);
}

AFORK_WORKER_EXPORT void recite (int socket, const AForkItem *items, size_t n_items);

void
recite (int              socket,
        const AForkItem *items,
        size_t           n_items)
{
  const char *value = getenv (VARIABLE);
  char folder[4096];

  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_BYTES)
      write_all (socket, items[i].data, items[i].size);
    else
      write_file (socket, items[i].fd);

  if (getcwd (folder, sizeof folder) == NULL)
    _exit (1);
  dprintf (socket, "|%s|%s|%s|", notes, value != NULL ? value : "", folder);
  write_file (socket, MAPPED);
}

AFORK_WORKER_EXPORT void recite_end          (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void recite_until_closed (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void recite_nothing      (int socket, const AForkItem *items, size_t n_items);

/* Exits as a variable says: by the signal with that number if it is negative, without a core file,
 * or with this status. */
void
recite_end (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  const char *text = getenv (END);
  int end = text != NULL ? atoi (text) : 0;

  if (end >= 0)
    _exit (end);

  setrlimit (RLIMIT_CORE, &(struct rlimit) { 0, 0 });
  signal (-end, SIG_DFL);
  raise (-end);
}

void
recite_until_closed (int              socket,
                     const AForkItem *items,
                     size_t           n_items)
{
  char byte;

  while (read (socket, &byte, 1) > 0)
    ;
}

/* The same without end. */
void
recite_nothing (int              socket,
                const AForkItem *items,
                size_t           n_items)
{
  for (;;)
    pause ();
}
