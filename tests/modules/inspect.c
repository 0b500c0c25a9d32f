/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Reports what it finds in its process as a key file. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

/* Each descriptor, with the number of its file, and whether it is close-on-exec. */
static void
report_descriptors (FILE *out)
{
  DIR *folder = opendir ("/proc/self/fd");
  struct dirent *entry;

  if (folder == NULL)
    exit (1);

  fprintf (out, "[descriptors]\n");
  while ((entry = readdir (folder)) != NULL)
    {
      int fd = atoi (entry->d_name);
      struct stat status;

      if (entry->d_name[0] == '.' || fd == dirfd (folder) || fstat (fd, &status) < 0)
        continue;
      fprintf (out, "%d=%ju;%d;\n", fd, (uintmax_t) status.st_ino,
               fcntl (fd, F_GETFD) & FD_CLOEXEC);
    }

  closedir (folder);
}

/* The lines of a file of /proc/self, each of them `KEY: VALUE`. */
static void
report_status (FILE *out)
{
  FILE *file = fopen ("/proc/self/status", "re");
  char line[4096];

  if (file == NULL)
    exit (1);

  fprintf (out, "[status]\n");
  while (fgets (line, sizeof line, file) != NULL)
    {
      char *colon = strchr (line, ':');

      if (colon == NULL)
        continue;
      *colon = '\0';
      fprintf (out, "%s=%s", line, colon + 1 + strspn (colon + 1, " \t"));
    }

  fclose (file);
}

static void
report_items (FILE            *out,
              const AForkItem *items,
              size_t           n_items)
{
  fprintf (out, "[items]\n");
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_FD)
      fprintf (out, "%zu=%d\n", i, items[i].fd);

  /* A string names a variable. */
  fprintf (out, "[environment]\n");
  for (size_t i = 0; i < n_items; i++)
    if (items[i].kind == AFORK_ITEM_BYTES && getenv (items[i].data) != NULL)
      fprintf (out, "%s=%s\n", items[i].data, getenv (items[i].data));
}

AFORK_WORKER_EXPORT void inspect (int socket, const AForkItem *items, size_t n_items);

void
inspect (int              socket,
         const AForkItem *items,
         size_t           n_items)
{
  FILE *out = fdopen (socket, "w");
  char folder[4096];
  char byte;

  if (out == NULL || getcwd (folder, sizeof folder) == NULL)
    exit (1);

  report_descriptors (out);
  report_status (out);
  report_items (out, items, n_items);
  fprintf (out, "[process]\npid=%d\nparent=%d\nfolder=%s\nsocket=%d\nnonblocking=%d\n",
           getpid (), getppid (), folder, socket, (fcntl (socket, F_GETFL) & O_NONBLOCK) != 0);
  if (fflush (out) != 0)
    exit (1);

  /* The report ends here, and the process exits when the caller closes the socket. */
  shutdown (socket, SHUT_WR);
  while (read (socket, &byte, 1) > 0)
    ;
}

/* Executes the program that the items name. */

AFORK_WORKER_EXPORT void execute (int socket, const AForkItem *items, size_t n_items);

void
execute (int              socket,
         const AForkItem *items,
         size_t           n_items)
{
  char *arguments[16];
  size_t n_arguments = 0;

  for (size_t i = 0; i < n_items && n_arguments < 15; i++)
    if (items[i].kind == AFORK_ITEM_BYTES)
      arguments[n_arguments++] = (char *) items[i].data;
  arguments[n_arguments] = NULL;

  execvp (arguments[0], arguments);
  exit (127);
}

/* To be called: prints its arguments, which stay in the buffer. */

AFORK_WORKER_EXPORT void print (int argc, const char * const *argv);

void
print (int                argc,
       const char * const *argv)
{
  static char buffer[65536];

  setvbuf (stdout, buffer, _IOFBF, sizeof buffer);
  for (int i = 0; i < argc; i++)
    fputs (argv[i], stdout);
}

AFORK_WORKER_EXPORT void print_items (int socket, const AForkItem *items, size_t n_items);

void
print_items (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  for (size_t i = 0; i < n_items; i++)
    fwrite (items[i].data, items[i].size, 1, stdout);
}
