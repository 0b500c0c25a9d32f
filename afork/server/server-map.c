/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors that are given the numbers which the caller chose. */

#define _GNU_SOURCE
#include "server-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"

/* Moves *FD to another number if it is TARGET. */
static bool
vacate_fd (int *fd,
           int  target)
{
  int moved;

  if (*fd != target)
    return true;

  moved = fcntl (target, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0)
    return false;

  *fd = moved;
  return true;
}

/* Makes sure that nothing which the server keeps is at descriptor TARGET. The number itself stays
 * open: dup2() closes it. */
static bool
vacate (int target)
{
  bool socket_moves = afork_server.link.socket == target;
  bool done = vacate_fd (&afork_server.link.socket, target)
    && vacate_fd (&afork_server.lifeline, target)
    && vacate_fd (&afork_server.own_lifeline, target)
    && afork_children_vacate (&afork_server.children, target);

  if (done && socket_moves && afork_server.children.epoll >= 0)
    {
      afork_children_unwatch_socket (&afork_server.children, target);
      done = afork_children_watch_socket (&afork_server.children, afork_server.link.socket);
    }
  for (size_t i = 0; done && i < afork_server.link.n_fds; i++)
    done = vacate_fd (&afork_server.link.fds[i], target);
  for (size_t i = 0; done && i < afork_server.items.n_items; i++)
    if (afork_server.items.items[i].kind == AFORK_ITEM_FD)
      done = vacate_fd (&afork_server.items.items[i].fd, target);

  return done;
}

bool
afork_server_is_mapped (int fd)
{
  for (size_t i = 0; i < afork_server.n_mapped; i++)
    if (afork_server.mapped[i] == fd)
      return true;

  return false;
}

static bool
note_mapped (int fd)
{
  int *mapped;

  if (afork_server_is_mapped (fd))
    return true;

  mapped = realloc (afork_server.mapped, (afork_server.n_mapped + 1) * sizeof *mapped);
  if (mapped == NULL)
    return false;

  afork_server.mapped = mapped;
  mapped[afork_server.n_mapped++] = fd;
  return true;
}

/* What a module or, in a fork of it, the program has opened need not be close-on-exec. */
bool
afork_server_hide_unmapped (int kept)
{
  if (!afork_hide_from (STDERR_FILENO + 1))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                              "No program is executed, for it might get descriptors that it is not "
                              "to have: some from %d on may be open, and neither close_range() nor "
                              "/proc is there to tell", AFORK_LAST_SOUGHT_FD);

  for (size_t i = 0; i < afork_server.n_mapped; i++)
    fcntl (afork_server.mapped[i], F_SETFD, 0);
  if (kept >= 0)
    fcntl (kept, F_SETFD, 0);
  return true;
}

static bool
is_needed (int target)
{
  const AForkWorkerRuntime *runtime = afork_server.runtime;

  return runtime->needs_fd != NULL && runtime->needs_fd (afork_server.runtime_data, target);
}

bool
afork_serve_map_fd (int target)
{
  int fd = afork_link_take_fd (&afork_server.link);
  bool done;

  if (is_needed (target))
    {
      close (fd);
      return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                                "A descriptor could not be mapped to %d: a main context of the "
                                "process is woken by that", target);
    }

  /* What was printed goes where it was printed to. */
  fflush (NULL);
  /* What is mapped is meant for programs that the worker executes, so it is not close-on-exec. */
  if (fd == target)
    done = fcntl (fd, F_SETFD, 0) == 0;
  else
    done = vacate (target) && dup2 (fd, target) >= 0;
  if (done && !note_mapped (target))
    done = afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                              "A descriptor could not be mapped to %d: %s", target,
                              strerror (ENOMEM));
  else if (!done)
    /* dup2() has one error for a bad descriptor, which this is not, and a number over the limit. */
    afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                       "A descriptor could not be mapped to %d: %s", target,
                       strerror (errno == EBADF ? EMFILE : errno));

  if (fd != target)
    close (fd);
  return done;
}
