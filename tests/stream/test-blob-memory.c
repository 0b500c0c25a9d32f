/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Whether seals can be read is found out as soon as there is a memfd to try it with. */

#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "afork/stream/blob-memory.h"

/* The library calls these in place of the C library's. */

static gboolean has_fds;
static guint n_reads;

int
memfd_create (const char   *name,
              unsigned int  flags)
{
  if (!has_fds)
    {
      errno = EMFILE;
      return -1;
    }

  return (int) syscall (SYS_memfd_create, name, flags);
}

int
fcntl (int fd,
       int command,
       ...)
{
  va_list arguments;
  long argument;

  if (command == F_GET_SEALS)
    {
      n_reads++;
      errno = EPERM;
      return -1;
    }

  va_start (arguments, command);
  argument = va_arg (arguments, long);
  va_end (arguments);
  return (int) syscall (SYS_fcntl, fd, command, argument);
}

static void
test_can_check (void)
{
  g_assert_true (_afork_blob_memory_can_check ());
  g_assert_true (_afork_blob_memory_can_check ());
  g_assert_cmpuint (n_reads, ==, 0);

  has_fds = TRUE;
  g_assert_false (_afork_blob_memory_can_check ());
  g_assert_false (_afork_blob_memory_can_check ());
  g_assert_cmpuint (n_reads, ==, 1);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/blob-memory/can-check", test_can_check);

  return g_test_run ();
}
