/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Registers atfork handlers, as some libraries do, and counts their calls. */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

static int n_prepared;
static int n_forked;
static int n_fatal;             /* which fork is killed, counted with those that only were prepared;
                                 * 0 for none */

static void
prepare (void)
{
  n_prepared++;
}

static void
forked (void)
{
  n_forked++;
  if (n_prepared == n_fatal)
    kill (getpid (), SIGKILL);
}

__attribute__ ((constructor)) static void
register_atfork (void)
{
  pthread_atfork (prepare, NULL, forked);
}

AFORK_WORKER_EXPORT void kill_fork   (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void write_forks (int socket, const AForkItem *items, size_t n_items);

/* N: the Nth fork is killed before it does anything, whether this process or one of its forks makes
 * it. */
void
kill_fork (int                argc,
           const char * const *argv)
{
  (void) argc;
  n_fatal = atoi (argv[0]);
}

void
write_forks (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  (void) items, (void) n_items;
  dprintf (socket, "%d %d", n_prepared, n_forked);
}
