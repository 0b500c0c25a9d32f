/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Workers that do not exit by themselves. Their first item is a descriptor to which each process
 * writes its pid in a line, and which it then closes. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

static void
notify (const AForkItem *items)
{
  dprintf (items[0].fd, "%d\n", getpid ());
  close (items[0].fd);
}

static void
block_signals (void)
{
  sigset_t all;

  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, NULL);
}

AFORK_WORKER_EXPORT void linger_busy     (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_idle     (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_children (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_echo     (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_behind   (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_unwatch  (int socket, const AForkItem *items, size_t n_items);
AFORK_WORKER_EXPORT void linger_as_user  (int argc, const char * const *argv);

/* Never makes a system call again. */
void
linger_busy (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  volatile unsigned n_turns = 0;

  block_signals ();
  notify (items);
  for (;;)
    n_turns++;
}

void
linger_idle (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  block_signals ();
  notify (items);
  for (;;)
    pause ();
}

/* Makes a child that is like itself, and one that is another program. */
void
linger_children (int              socket,
                 const AForkItem *items,
                 size_t           n_items)
{
  if (fork () == 0)
    linger_idle (socket, items, n_items);
  if (fork () == 0)
    {
      notify (items);
      execlp ("sleep", "sleep", "1000", NULL);
      _exit (1);
    }

  linger_idle (socket, items, n_items);
}

/* Sends back what comes, and lives on at the end of the input. */
void
linger_echo (int              socket,
             const AForkItem *items,
             size_t           n_items)
{
  char byte;

  notify (items);
  while (read (socket, &byte, 1) == 1)
    if (write (socket, &byte, 1) != 1)
      _exit (1);
  for (;;)
    pause ();
}

/* Exits, and leaves a child. */
void
linger_behind (int              socket,
               const AForkItem *items,
               size_t           n_items)
{
  if (fork () == 0)
    linger_idle (socket, items, n_items);
}

/* Disables all signals that it gets by descriptors, and exits with its socket. */
void
linger_unwatch (int              socket,
                const AForkItem *items,
                size_t           n_items)
{
  char byte;

  for (int fd = STDERR_FILENO + 1; fd < 256; fd++)
    {
      fcntl (fd, F_SETOWN, 0);
      fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) & ~O_ASYNC);
    }
  notify (items);
  while (read (socket, &byte, 1) > 0)
    ;
}

/* Becomes another user, as a process with this capability can that is not root. */
void
linger_as_user (int                 argc,
                const char * const *argv)
{
  const uid_t user = (uid_t) atoi (argv[0]);

  if (setresuid (user, user, user) < 0)
    abort ();
}
