/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A worker that traces another process, as a debugger does, and so is the first to see its exit. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <afork/worker/afork-worker.h>

AFORK_WORKER_EXPORT void allow_trace (int argc, const char * const *argv);
AFORK_WORKER_EXPORT void trace       (int socket, const AForkItem *items, size_t n_items);

/* Some systems let only its ancestors trace a process, unless it allows more. */
void
allow_trace (int                argc,
             const char * const *argv)
{
  prctl (PR_SET_PTRACER, PR_SET_PTRACER_ANY);
}

/* Traces the process whose pid is the first item. Writes a line when it does so, or why it cannot,
 * and another line when the process has exited. Takes the exit when the caller closes the
 * socket. */
void
trace (int              socket,
       const AForkItem *items,
       size_t           n_items)
{
  const pid_t pid = atoi (items[0].data);
  siginfo_t info;
  char byte;

  if (ptrace (PTRACE_SEIZE, pid, NULL, NULL) < 0)
    {
      dprintf (socket, "%d\n", errno);
      return;
    }

  dprintf (socket, "traced\n");
  if (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOWAIT) < 0)
    return;

  dprintf (socket, "ended\n");
  while (read (socket, &byte, 1) > 0)
    ;
  waitpid (pid, NULL, 0);
}
