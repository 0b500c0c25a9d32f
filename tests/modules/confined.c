/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Serves calls, and goes to the limits of its sandbox as the argument says. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <gio/gunixfdlist.h>

#include <afork/afork.h>

AFORK_WORKER_EXPORT GVariant *confined_do (AForkCall *call, GVariant *args, GError **error);

/* Uses processor time, in milliseconds. */
static void
burn (guint64 ms)
{
  struct timespec start, now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &start);
  do
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  while ((guint64) ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000)
         < ms);
}

static void
set_error_from_errno (GError **error)
{
  int saved_errno = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved_errno), "It cannot be done: %s",
               g_strerror (saved_errno));
}

/* Uses all descriptors, and gives them back. */
static gboolean
use_descriptors (GError **error)
{
  int fds[1024], n_fds = 0;

  while (n_fds < 1024 && (fds[n_fds] = dup (STDERR_FILENO)) >= 0)
    n_fds++;
  if (n_fds < 1024)
    set_error_from_errno (error);

  for (int i = 0; i < n_fds; i++)
    close (fds[i]);
  return n_fds == 1024;
}

/* Writes behind SIZE bytes of the descriptor that came with the call. */
static gboolean
grow (AForkCall  *call,
      guint64     size,
      GError    **error)
{
  GUnixFDList *list = afork_call_get_fds (call);

  if (pwrite (g_unix_fd_list_peek_fds (list, NULL)[0], "x", 1, (off_t) size) == 1)
    return TRUE;

  set_error_from_errno (error);
  return FALSE;
}

/* The argument is (st): what, and how much. Returns the processor time of the process, in
 * milliseconds. */
AFORK_WORKER_EXPORT GVariant *
confined_do (AForkCall  *call,
             GVariant   *args,
             GError    **error)
{
  struct timespec used;
  const char *what;
  guint64 number;

  g_variant_get (args, "(&st)", &what, &number);
  if (strcmp (what, "burn") == 0)
    burn (number);
  else if (strcmp (what, "allocate") == 0)
    memset (g_malloc (number), 1, number);
  else if (strcmp (what, "trace") == 0)
    ptrace (PTRACE_TRACEME, 0, NULL, NULL);
  else if (strcmp (what, "descriptors") == 0 && !use_descriptors (error))
    return NULL;
  else if (strcmp (what, "grow") == 0 && !grow (call, number, error))
    return NULL;
  else if (strcmp (what, "blob") == 0)
    {
      g_autoptr(GBytes) bytes = g_bytes_new_take (g_malloc0 (number), number);

      afork_call_add_result_blob (call, bytes);
    }

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
  return g_variant_new_uint64 ((guint64) used.tv_sec * 1000 + (guint64) used.tv_nsec / 1000000);
}
