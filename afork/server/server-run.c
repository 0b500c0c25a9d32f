/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Forking the process, and handing it over to a function, a program or another caller. */

#define _GNU_SOURCE
#include "server-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confinement.h"
#include "refork.h"
#include "seccomp-filter.h"
#include "server-prepare.h"
#include "server-reply.h"
#include "server-state.h"
#include "title.h"

/* Forks: those that the caller asks for, and the one that becomes the worker where the process
 * itself must stay. */

/* Reports to the caller that fork NUMBER failed, and why. Not async-signal-safe. */
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

/* Forks the process. Returns as fork() does; with -1, sets the failure. The child owns GIVEN. The
 * parent closes it, so that there is a free descriptor for the child's pidfd. Not
 * async-signal-safe, but what the child does here is, except the runtime's function. */
static pid_t
fork_process (uint32_t number,
              int      given)
{
  pid_t pid;

  if (!afork_server_check_threads ()
      || !afork_children_prepare (&afork_server.children, afork_server.link.socket,
                                  &afork_server.failure))
    {
      close (given);
      return -1;
    }

  pid = afork_server.fork ();
  if (pid != 0)
    close (given);
  if (pid == 0)
    {
      afork_server.forked = true;
      afork_server.unreported = true;
      afork_seccomp_forked (number);
      afork_server_open_death_pipe ();
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
      afork_refork_forget (&closed);
      afork_link_switch (&afork_server.link, socket, &closed);
      afork_fd_set_close (&closed);
      return true;
    }

  return pid > 0 || report_failed_fork (number);
}

/* Waits until the parent watches this fork, which becomes the worker: the parent then sends a byte
 * on REPORTS. If the parent has exited instead, no process would report this one, and the caller
 * may know already that the process which it runs has exited. Then this process exits, too.
 * Async-signal-safe. */
static void
wait_for_parent_ready (int reports)
{
  ssize_t n_bytes;
  char byte;

  do
    n_bytes = read (reports, &byte, 1);
  while (n_bytes < 0 && errno == EINTR);
  if (n_bytes != 1)
    _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
}

/* A process that has forks cannot become a worker, because it must reap them. A fork of it becomes
 * the worker instead. The process stays and reports on another socket; in the fork, this returns
 * the other end of that. Not async-signal-safe. */
static int
stay_behind (void)
{
  AForkFdSet closed = { 0 };
  int reports[2];
  pid_t pid;

  /* The worker may exit before it sends READY, and the socket for reports is lost with it. The
   * caller can end this process only if it knows it. */
  if (!afork_server_report_fork ())
    afork_server_fail ();

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, reports) < 0)
    {
      afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                         "The process could not be forked: %s", strerror (errno));
      afork_server_fail ();
    }

  afork_refork_prepare_run (reports[0]);
  pid = fork_process (AFORK_WORKER_NUMBER, reports[1]);
  if (pid < 0)
    {
      close (reports[0]);
      afork_server_fail ();
    }
  if (pid == 0)
    {
      afork_children_forget (&afork_server.children, &closed);
      afork_refork_forget (&closed);
      afork_fd_set_add (&closed, reports[0]);
      afork_fd_set_close (&closed);
      wait_for_parent_ready (reports[1]);
      return reports[1];
    }

  /* The socket is empty, so this neither waits nor fails. From now on the caller talks to the
   * worker, and gets only reports from this process. */
  send (reports[0], "", 1, MSG_NOSIGNAL);
  afork_children_unwatch_socket (&afork_server.children, afork_server.link.socket);
  afork_link_switch (&afork_server.link, reports[0], &closed);
  afork_fd_set_close (&closed);
  /* If this fails, only SIGNAL for the forks is not received. */
  afork_children_watch_socket (&afork_server.children, afork_server.link.socket);
  afork_server_leave (EXIT_SUCCESS);
}

/* Makes this a process that has no forks. *REPORTS is a socket to send to the caller, or -1. Not
 * async-signal-safe. */
static bool
become_single (int *reports)
{
  if (!afork_link_is_idle (&afork_server.link))
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "Input followed the last command");

  if (afork_server.children.n_children > 0)
    {
      *reports = stay_behind ();
      return true;
    }

  if (afork_server.children.epoll >= 0)
    close (afork_server.children.epoll);
  afork_server.children.epoll = -1;
  /* If init of a PID namespace reports this process, the caller knows only the outer process. */
  *reports = afork_refork_prepare_run (-1);
  if (*reports >= 0)
    afork_server.unreported = true;
  return true;
}

/* Handing over. */

/* Sets the ignored signals to their default action, which is all zeros in any layout of struct
 * sigaction. Makes the system call itself: the function of the C library is in memory that a fork
 * touches for nothing else. Async-signal-safe. */
static void
reset_signals (void)
{
  const int ignored[] = AFORK_IGNORED_SIGNALS;
  const unsigned long action[8] = { 0 };

  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    if (afork_server.ignores[i])
      syscall (SYS_rt_sigaction, ignored[i], action, NULL, (_NSIG - 1) / 8);
}

/* Returns whether the parent, which has the other end of REPORTS, has exited. Async-signal-safe. */
static bool
has_parent_exited (int reports)
{
  struct pollfd entry = { .fd = reports };

  return poll (&entry, 1, 0) > 0 && (entry.revents & POLLHUP) != 0;
}

/* Reports to the caller that the socket is the worker's from now on. The process goes on if the
 * caller has exited. But if the caller cannot be notified and the parent was killed, the caller
 * knows that the parent is dead and does not know this process, which then could not be ended: it
 * exits. Not async-signal-safe. */
static bool
reply_ready (int reports)
{
  AForkFrame ready = { .kind = AFORK_FRAME_READY };

  if (!afork_server_reply (&ready, reports))
    return false;
  if (reports < 0)
    return true;

  if (afork_server.link.output_lost && has_parent_exited (reports))
    _exit (AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN);
  close (reports);
  return true;
}

/* Stops being a server: undoes what the server has set up, and reports to the caller that the
 * function, or a program if TITLE is NULL, is about to start. Not async-signal-safe. */
static bool
become_worker (const char *title)
{
  int reports = -1;

  if (!become_single (&reports))
    return false;

  reset_signals ();
  if (title != NULL)
    afork_title_set (title);
  /* The sandbox may not allow to open the pidfd for READY. */
  if (afork_confinement_is_set ()
      && (!afork_server_open_pidfd () || !afork_confinement_enter (title == NULL)))
    return false;
  afork_confinement_put_report ();
  return reply_ready (reports);
}

/* Runs the function FOUND. Returns only if that fails. Not async-signal-safe. */
static bool
run (void       *found,
     const char *title)
{
  if (!become_worker (title))
    return false;

  afork_server.taken = afork_server.items;
  afork_server.items = (AForkItems) { 0 };
  afork_server_end (afork_server.runtime->enter (afork_server.runtime_data, found,
                                                 afork_server.link.socket,
                                                 afork_server.taken.items,
                                                 afork_server.taken.n_items));
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

/* Makes SOCKET standard input and output, unless these were mapped. Not async-signal-safe. */
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
  afork_server.exec_status = afork_link_take_fd (&afork_server.link);
  if (argv == NULL || !become_worker (NULL))
    return false;

  /* From here on the socket is the program's, and a failure is sent on the other one. */
  socket = afork_server.link.socket;
  afork_server.link.socket = afork_server.exec_status;
  if (!map_socket (socket))
    return false;
  /* The kernel kills the program with its caller only while the program has the death pipe open. */
  if (!afork_server_hide_unmapped (afork_server.death_pipe))
    return false;
  if (afork_server.own_death_pipe >= 0)
    fcntl (afork_server.own_death_pipe, F_SETFD, 0);

  if (afork_server.runtime->before_exec != NULL)
    afork_server.runtime->before_exec (afork_server.runtime_data);
  execvp (argv[0], (char **) argv);
  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "“%s” could not be executed: %s", argv[0], strerror (errno));
}

bool
afork_serve_detach (void)
{
  int reports = -1;

  return become_single (&reports) && reply_ready (reports);
}

/* Another caller has the other end of the socket now, and needs this process's pidfd. */
bool
afork_serve_identify (uint32_t version)
{
  if (version != AFORK_WIRE_VERSION)
    return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_PROTOCOL,
                              "The caller uses version %u of the protocol, and this process "
                              "version %u", version, AFORK_WIRE_VERSION);

  afork_server.unreported = true;
  return true;
}
