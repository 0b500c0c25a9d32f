/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Preloaded into a server, replaces syscall() of the C library, and refuses pidfds when it is told
 * to. It is also loaded as a module, to be told so. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

static int refused_self;        /* errno, or 0 */
static int refused_children;

AFORK_WORKER_EXPORT void refuse_all      (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void refuse_children (int argc, const char * const *argv);

AFORK_WORKER_EXPORT long
syscall (long number,
         ...)
{
  const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
  long (*next) (long number, ...);
  long arguments[5];
  va_list list;

  va_start (list, number);
  for (int i = 0; i < 5; i++)
    arguments[i] = va_arg (list, long);
  va_end (list);

  if (number == SYS_pidfd_open && (pid_t) arguments[0] == getpid () && refused_self != 0)
    {
      errno = refused_self;
      return -1;
    }
  if (number == SYS_pidfd_open && (pid_t) arguments[0] != getpid () && refused_children != 0)
    {
      /* The child is stopped before it can do more. */
      nanosleep (&pause, NULL);
      errno = refused_children;
      return -1;
    }

  next = (long (*) (long, ...)) dlsym (RTLD_NEXT, "syscall");
  return next (number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]);
}

/* As if there were no such call. */
void
refuse_all (int                argc,
            const char * const *argv)
{
  refused_self = refused_children = ENOSYS;
}

/* As if the system had no more descriptors. */
void
refuse_children (int                argc,
                 const char * const *argv)
{
  refused_children = ENFILE;
}
