/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define _GNU_SOURCE
#include "fork.h"

#include <unistd.h>

#if defined (__SANITIZE_THREAD__)

/* The sanitizer registers handlers before instrumented code may run, and its own fork() starts a
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

/* What pthread_atfork() of every library comes down to. This one, being the program's, is found
 * before the C library's own, takes notice, and hands on. */
AFORK_WORKER_EXPORT int __register_atfork (Handler  prepare,
                                           Handler  parent,
                                           Handler  child,
                                           void    *object);

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
