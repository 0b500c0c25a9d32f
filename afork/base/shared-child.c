/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "shared-child.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STACK_SIZE = 256 * 1024 };

/* Returns NULL if there is no memory. The lowest page is a guard page. */
static char *
stack_new (void)
{
  char *stack = mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stack == MAP_FAILED)
    return NULL;

  mprotect (stack, (gsize) sysconf (_SC_PAGESIZE), PROT_NONE);
  return stack;
}

/* Like vfork(): this thread waits for the child. Signals are blocked meanwhile, because handlers
 * would run in the shared memory. */
int
_afork_shared_child_run (int      (*func) (void *data),
                         gpointer   data,
                         int        exit_signal,
                         GPid      *pid)
{
  sigset_t all, before;
  int cancel_state, result;
  char *stack = stack_new ();

  if (stack == NULL)
    return ENOMEM;

  sigfillset (&all);
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel_state);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  *pid = clone (func, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | exit_signal, data);
  result = *pid < 0 ? errno : 0;
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  pthread_setcancelstate (cancel_state, NULL);
  munmap (stack, STACK_SIZE);
  return result;
}
