/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "fork.h"

#include <unistd.h>

#if defined (__SANITIZE_THREAD__)

/* The thread sanitizer registers handlers before instrumented code may run, and its fork() starts a
 * thread in the child, which then could not be forked. */
pid_t
afork_fork (void)
{
  return _Fork ();
}

#elif defined (__GLIBC__)

#include <dlfcn.h>
#include <stdbool.h>
#include <sys/single_threaded.h>

#include "worker/afork-worker.h"

typedef void (*Handler) (void);

static bool has_handlers;

/* pthread_atfork() calls this, in any library. The dynamic linker finds the program's function
 * before the C library's. It notes that there are handlers, and calls the C library's. */
AFORK_WORKER_EXPORT int __register_atfork (Handler  prepare,
                                           Handler  parent,
                                           Handler  child,
                                           void    *object);

/* Not async-signal-safe. */
int
__register_atfork (Handler  prepare,
                   Handler  parent,
                   Handler  child,
                   void    *object)
{
  int (*next) (Handler, Handler, Handler, void *);

  has_handlers = true;
  next = (int (*) (Handler, Handler, Handler, void *)) dlsym (RTLD_NEXT, "__register_atfork");
  return next (prepare, parent, child, object);
}

pid_t
afork_fork (void)
{
  return has_handlers || !__libc_single_threaded ? fork () : _Fork ();
}

#else

pid_t
afork_fork (void)
{
  return fork ();
}

#endif
