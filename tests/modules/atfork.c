/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Wants to be told of forks, as some libraries do, and tells how often it was. */

#include <pthread.h>
#include <stdio.h>

#include <afork/worker/afork-worker.h>

static int n_prepared;
static int n_forked;

static void
prepare (void)
{
  n_prepared++;
}

static void
forked (void)
{
  n_forked++;
}

__attribute__ ((constructor)) static void
ask_to_be_told (void)
{
  pthread_atfork (prepare, NULL, forked);
}

AFORK_WORKER_EXPORT void tell_forks (int socket, const AForkItem *items, size_t n_items);

void
tell_forks (int              socket,
            const AForkItem *items,
            size_t           n_items)
{
  (void) items, (void) n_items;
  dprintf (socket, "%d %d", n_prepared, n_forked);
}
