/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The forks of a server: those that it is asked for, and the one that becomes the worker where it
 * must stay itself. */

#define _GNU_SOURCE
#include "server-parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fork.h"

static bool
report_failed_fork (uint32_t number)
{
  AForkFrame frame = {
    .kind = AFORK_FRAME_FORK_FAILED,
    .number = { number, afork_server.failure.code },
    .string = { afork_server.failure.text },
  };

  return afork_link_send (&afork_server.link, &frame, NULL) || afork_server_check_reports ();
}

/* Forks, if this process may be forked. Returns -1 and sets the failure where it did not. GIVEN is
 * the new process's: it is closed in this one, which leaves a place for that process's pidfd. */
static pid_t
fork_process (uint32_t number,
              int      given)
{
  pid_t pid;

  if (!afork_children_check_threads (&afork_server.failure)
      || !afork_children_prepare (&afork_server.children, afork_server.link.socket,
                                  &afork_server.failure))
    {
      close (given);
      return -1;
    }

  pid = afork_fork ();
  if (pid != 0)
    close (given);
  if (pid == 0)
    {
      afork_server.forked = true;
      afork_server.unborn = true;
      afork_server_open_lifeline ();
      if (afork_server.runtime->forked != NULL)
        afork_server.runtime->forked (afork_server.runtime_data);
    }
  else if (pid < 0)
    {
      afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                         "The process could not be forked: %s", strerror (errno));
    }
  else
    {
      afork_children_add (&afork_server.children, number, pid);
    }

  return pid;
}

bool
afork_serve_fork (uint32_t number,
                  int      socket)
{
  pid_t pid = fork_process (number, socket);

  if (pid == 0)
    {
      AForkFdSet closed = { 0 };

      afork_children_forget (&afork_server.children, &closed);
      afork_link_switch (&afork_server.link, socket, &closed);
      afork_fd_set_close (&closed);
      return true;
    }

  return pid > 0 || report_failed_fork (number);
}

/* Sends a signal to a fork, and tells how that went. */
bool
afork_serve_signal (uint32_t number,
                    uint32_t signal)
{
  const AForkFrame frame = {
    .kind = AFORK_FRAME_SIGNALED,
    .number = {
      number,
      (uint32_t) afork_children_signal (&afork_server.children, number, signal),
    },
  };

  afork_link_put (&afork_server.link, &frame);
  return afork_link_flush (&afork_server.link) || afork_server_check_reports ();
}

bool
afork_serve_disown (uint32_t number)
{
  afork_children_disown (&afork_server.children, number);
  return true;
}

/* A fork that is to go on as the worker waits for a byte, which says that whoever stays behind
 * looks after it. None comes if that has ended before: then nobody would report on this process,
 * and the caller has perhaps heard already that the one which it runs has ended. */
static void
await_followed (int reports)
{
  ssize_t n_bytes;
  char byte;

  do
    n_bytes = read (reports, &byte, 1);
  while (n_bytes < 0 && errno == EINTR);
  if (n_bytes != 1)
    _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
}

/* A process that has forks cannot become a worker itself, for somebody must reap them. A fork of
 * it goes on instead; it stays, and reports on a socket of its own, whose other end it returns in
 * the fork. */
static int
stay_behind (void)
{
  AForkFdSet closed = { 0 };
  int reports[2];
  pid_t pid;

  /* The worker may end before it says anything, and its reports with it. Whom the caller knows, it
   * can end then, and does not wait for as long as there are forks. */
  if (!afork_server_tell_birth ())
    afork_server_fail ();

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, reports) < 0)
    {
      afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                         "The process could not be forked: %s", strerror (errno));
      afork_server_fail ();
    }

  pid = fork_process (AFORK_WORKER_NUMBER, reports[1]);
  if (pid < 0)
    {
      close (reports[0]);
      afork_server_fail ();
    }
  if (pid == 0)
    {
      afork_children_forget (&afork_server.children, &closed);
      afork_fd_set_add (&closed, reports[0]);
      afork_fd_set_close (&closed);
      await_followed (reports[1]);
      return reports[1];
    }

  /* The socket is as good as empty, so this neither waits nor fails. The caller hears of the worker
   * from now on, and of this process no more than that it reports. */
  send (reports[0], "", 1, MSG_NOSIGNAL);
  afork_children_unwatch_socket (&afork_server.children, afork_server.link.socket);
  afork_link_switch (&afork_server.link, reports[0], &closed);
  afork_fd_set_close (&closed);
  /* If this fails, only signals for the forks are not heard of. */
  afork_children_watch_socket (&afork_server.children, afork_server.link.socket);
  afork_server_leave (EXIT_SUCCESS);
}

bool
afork_server_become_single (int *reports)
{
  if (!afork_link_is_idle (&afork_server.link))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "Something came behind the last command");

  *reports = -1;
  if (afork_server.children.n_children > 0)
    {
      *reports = stay_behind ();
    }
  else if (afork_server.children.epoll >= 0)
    {
      close (afork_server.children.epoll);
      afork_server.children.epoll = -1;
    }

  return true;
}
