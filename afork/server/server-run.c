/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Handing a process over: to a function, to a program, or to another caller. */

#define _GNU_SOURCE
#include "server-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "title.h"

/* The C library's function for this lies in memory that nothing else here touches. The default
 * action is all zeroes, however the machine's struct sigaction is laid out. */
static void
reset_signals (void)
{
  const int ignored[] = AFORK_IGNORED_SIGNALS;
  const unsigned long action[8] = { 0 };

  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    if (afork_server.ignores[i])
      syscall (SYS_rt_sigaction, ignored[i], action, NULL, (_NSIG - 1) / 8);
}

/* Whether who stayed behind, at the other end of REPORTS, has ended. */
static bool
is_abandoned (int reports)
{
  struct pollfd entry = { .fd = reports };

  return poll (&entry, 1, 0) > 0 && (entry.revents & POLLHUP) != 0;
}

/* Tells the caller that from now on the socket is not its server's. A caller that has gone does not
 * keep the process from what it was told to do. But if the process that this one goes on for was
 * killed meanwhile, that has been heard, and this process has not: nobody could end it any more. */
static bool
answer_ready (int reports)
{
  AForkFrame ready = { .kind = AFORK_FRAME_READY };

  if (!afork_server_answer (&ready, reports))
    return false;
  if (reports < 0)
    return true;

  if (afork_server.link.unheard && is_abandoned (reports))
    _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
  close (reports);
  return true;
}

/* Ends the life as a server: makes a clean process that is about to do what it was prepared for,
 * and tells the caller so. */
static bool
become_worker (const char *title)
{
  int reports = -1;

  if (!afork_server_become_single (&reports))
    return false;

  reset_signals ();
  if (title != NULL)
    afork_title_set (title);
  return answer_ready (reports);
}

static bool
run (void       *found,
     const char *title)
{
  if (!become_worker (title))
    return false;

  afork_server.taken = afork_server.items;
  afork_server.items = (AForkItems) { 0 };
  afork_server.runtime->enter (afork_server.runtime_data, found, afork_server.link.socket,
                               afork_server.taken.items, afork_server.taken.n_items);
  afork_server_end (EXIT_SUCCESS);
}

bool
afork_serve_run (const char *function,
                 const char *title)
{
  void *found;

  return afork_server.runtime->find (afork_server.runtime_data, function,
                                     &found, &afork_server.failure)
    && run (found, title);
}

bool
afork_serve_run_func (const AForkFrame *frame)
{
  const uint64_t offset = frame->number[0] | (uint64_t) frame->number[1] << 32;
  const char *title = frame->string[1];
  void *found;

  if (afork_server.runtime->find_address == NULL)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_NOT_SUPPORTED,
                              "The runtime has no functions in C, such as “%s”", title);

  return afork_server.runtime->find_address (afork_server.runtime_data, title, frame->string[0],
                                             offset, &found, &afork_server.failure)
    && run (found, title);
}

/* Makes the socket standard input and output, where these were not mapped. */
static bool
map_socket (int socket)
{
  for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
    if (!afork_server_is_mapped (fd) && dup2 (socket, fd) < 0)
      return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_FAILED,
                                "The socket could not become descriptor %d: %s", fd,
                                strerror (errno));

  return true;
}

bool
afork_serve_exec (const AForkFrame *frame)
{
  const char **argv;
  int socket;

  if (frame->strings.n_strings == 0)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "EXEC came without a program");

  argv = afork_server_strings_to_array (frame->strings);
  afork_server.outcome = afork_link_take_fd (&afork_server.link);
  if (argv == NULL || !become_worker (NULL))
    return false;

  /* From here on the socket is the program's, and what fails is told on the other one. */
  socket = afork_server.link.socket;
  afork_server.link.socket = afork_server.outcome;
  if (!map_socket (socket))
    return false;
  /* A program that has no descriptor of the lifeline would not hang on it. */
  if (!afork_server_hide_unmapped (afork_server.lifeline))
    return false;
  if (afork_server.own_lifeline >= 0)
    fcntl (afork_server.own_lifeline, F_SETFD, 0);

  execvp (argv[0], (char **) argv);
  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "“%s” could not be executed: %s", argv[0], strerror (errno));
}

bool
afork_serve_detach (void)
{
  int reports = -1;

  return afork_server_become_single (&reports) && answer_ready (reports);
}

/* Whoever has the other end of the socket now wants to know who this is. */
bool
afork_serve_identify (uint32_t version)
{
  if (version != AFORK_WIRE_VERSION)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The caller speaks version %u of the protocol, and this process "
                              "version %u", version, AFORK_WIRE_VERSION);

  afork_server.unborn = true;
  return true;
}
