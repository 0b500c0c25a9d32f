/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a server replies, what it does for forks that live, and how it ends. */

#define _GNU_SOURCE
#include "server-reply.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp-filter.h"
#include "server-state.h"
#include "system/pidfd.h"
#include "system/system-calls.h"

#ifdef __GLIBC__
/* The list of all streams, the newest first. It ends with standard error, standard output and
 * standard input. */
extern FILE *_IO_list_all;

/* Returns whether STREAM has nothing to write. A stream of wide characters has another buffer,
 * which is not looked at. Async-signal-safe. */
static bool
is_written (const FILE *stream)
{
  return stream->_mode <= 0 && stream->_IO_write_ptr == stream->_IO_write_base;
}
#endif

/* Replies. */

void
afork_server_put_report (const AForkFrame *frame,
                        void             *data)
{
  AForkFrame refused = { .kind = AFORK_FRAME_REFUSED, .number = { frame->number[0] } };

  (void) data;
  if (WIFSIGNALED (frame->exit.wait_status) && WTERMSIG (frame->exit.wait_status) == SIGSYS
      && afork_seccomp_get_refused (frame->number[0], &refused.number[1]))
    afork_link_put (&afork_server.link, &refused);
  afork_link_put (&afork_server.link, frame);
}

bool
afork_server_check_reports (void)
{
  if (afork_server.link.error == 0)
    return true;

  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "The state of a fork could not be reported: %s",
                            strerror (afork_server.link.error));
}

/* Sets *PIDFD to a pidfd of this process, or to -1 where the system has none. Not
 * async-signal-safe. */
static bool
open_pidfd (int *pidfd)
{
  *pidfd = afork_pidfd_open_self ();
  if (*pidfd >= 0 || errno == ENOSYS)
    return true;

  return afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                            "The process could not open its own pidfd: %s", strerror (errno));
}

bool
afork_server_open_pidfd (void)
{
  if (!afork_server.unreported)
    return true;
  if (!open_pidfd (&afork_server.pidfd))
    return false;

  afork_server.has_pidfd = true;
  return true;
}

/* Adds this process's pidfd to FRAME and FDS. Where the system has no pidfds, sends NO_PIDFD. Not
 * async-signal-safe. */
static bool
add_pidfd (AForkFrame *frame,
           int        *fds)
{
  int pidfd = afork_server.pidfd;

  if (!afork_server.has_pidfd && !open_pidfd (&pidfd))
    return false;

  afork_server.has_pidfd = false;
  if (pidfd < 0)
    {
      const AForkFrame none = { .kind = AFORK_FRAME_NO_PIDFD };

      afork_link_put (&afork_server.link, &none);
      return true;
    }

  fds[frame->n_fds++] = pidfd;
  return true;
}

bool
afork_server_reply (AForkFrame *frame,
                    int         extra_fd)
{
  int fds[2], pidfd = -1;
  bool sent;

  if (afork_server.unreported)
    {
      if (!add_pidfd (frame, fds))
        return false;
      if (frame->n_fds > 0)
        pidfd = fds[0];
    }
  if (extra_fd >= 0)
    fds[frame->n_fds++] = extra_fd;

  sent = afork_link_send (&afork_server.link, frame, fds);
  if (!sent)
    afork_failure_set (&afork_server.failure, AFORK_WIRE_ERROR_SPAWN,
                       "The process could not report itself: %s",
                       strerror (afork_server.link.error));
  if (pidfd >= 0)
    afork_sys_close (pidfd);
  if (sent)
    afork_server.unreported = false;
  return sent;
}

bool
afork_server_report_fork (void)
{
  AForkFrame fork_frame = { .kind = AFORK_FRAME_FORKED };

  return !afork_server.unreported || afork_server_reply (&fork_frame, -1);
}

/* Forks that live. */

/* Sends RESULT, the reply of KIND to a command about fork NUMBER. Not async-signal-safe. */
static bool
reply_for_fork (AForkFrameKind kind,
                uint32_t       number,
                uint32_t       result)
{
  const AForkFrame frame = { .kind = kind, .number = { number, result } };

  afork_link_put (&afork_server.link, &frame);
  return afork_link_flush (&afork_server.link) || afork_server_check_reports ();
}

bool
afork_serve_signal (uint32_t number,
                    uint32_t signal)
{
  return reply_for_fork (AFORK_FRAME_SIGNALED, number,
                         (uint32_t) afork_children_signal (&afork_server.children, number, signal));
}

bool
afork_serve_disown (uint32_t number)
{
  afork_children_disown (&afork_server.children, number);
  return true;
}

bool
afork_serve_measure (uint32_t number)
{
  uint32_t kib = 0;

  afork_children_measure (&afork_server.children, number, &kib);
  return reply_for_fork (AFORK_FRAME_MEASURED, number, kib);
}

/* The end of the process. */

/* Returns whether stdio has certainly nothing to write. Most workers print nothing, and fflush()
 * would touch memory that they have not used. Async-signal-safe. */
static bool
stdio_is_written (void)
{
#ifdef __GLIBC__
  return _IO_list_all == stderr && is_written (stdout) && is_written (stderr);
#else
  return false;
#endif
}

void
afork_server_end (int status)
{
  if (afork_server.runtime->leave != NULL)
    afork_server.runtime->leave (afork_server.runtime_data, status);
  if (!afork_server.forked)
    exit (status);

  if (!stdio_is_written ())
    fflush (NULL);
  _exit (status);
}

void
afork_server_give_up_items (void)
{
  if (afork_server.exec_status >= 0)
    close (afork_server.exec_status);
  for (size_t i = 0; i < afork_server.items.n_items; i++)
    if (afork_server.items.items[i].kind == AFORK_ITEM_FD)
      close (afork_server.items.items[i].fd);
}

/* Drops all input, and closes the sockets of forks that will not be made. Async-signal-safe. */
static void
give_up_input (void)
{
  afork_server.link.input_start = afork_server.link.input_end = 0;
  while (afork_server.link.n_fds > 0)
    close (afork_link_take_fd (&afork_server.link));
}

/* Does the commands among the input that concern forks which live. Drops the others and closes
 * their descriptors, so that the processes at the other ends notice. Not async-signal-safe. */
static void
discard_commands (void)
{
  AForkLinkResult result = AFORK_LINK_OK;
  AForkFrame frame;

  while (result == AFORK_LINK_OK && !afork_server.discards)
    {
      result = afork_link_next (&afork_server.link, &frame, &afork_server.failure);
      if (result != AFORK_LINK_OK)
        break;

      if (frame.kind == AFORK_FRAME_SIGNAL)
        afork_serve_signal (frame.number[0], frame.number[1]);
      else if (frame.kind == AFORK_FRAME_DISOWN)
        afork_serve_disown (frame.number[0]);
      else if (frame.kind == AFORK_FRAME_MEASURE)
        afork_serve_measure (frame.number[0]);
      for (uint16_t i = 0; i < frame.n_fds; i++)
        close (afork_link_take_fd (&afork_server.link));
    }

  if (result == AFORK_LINK_FAILED)
    afork_server.discards = true;
  if (afork_server.discards)
    give_up_input ();
}

void
afork_server_receive_leftovers (void)
{
  AForkLinkResult result = afork_link_receive (&afork_server.link, false, &afork_server.failure);

  if (result == AFORK_LINK_END)
    afork_children_unwatch_socket (&afork_server.children, afork_server.link.socket);
  if (result != AFORK_LINK_OK && result != AFORK_LINK_EMPTY)
    give_up_input ();
  else
    discard_commands ();
}

/* Ends the connection after a reply was lost, which the caller would wait for. The caller watches
 * the forks itself when the socket has ended. Async-signal-safe. */
static void
give_up_socket (void)
{
  shutdown (afork_server.link.socket, SHUT_RDWR);
}

void
afork_server_leave (int status)
{
  /* While the process stays, the caller must be able to end it, and its items are closed. */
  if (afork_server.children.n_children > 0)
    {
      afork_server_report_fork ();
      afork_server_give_up_items ();
      discard_commands ();
    }

  while (afork_server.children.n_children > 0)
    {
      bool readable = afork_children_wait (&afork_server.children, afork_server_put_report, NULL);

      if (readable)
        afork_server_receive_leftovers ();
      afork_link_flush (&afork_server.link);
      if (afork_server.link.error != 0)
        give_up_socket ();
    }

  afork_server_end (status);
}

void
afork_server_fail (void)
{
  AForkWireError code = afork_server.failure.code;
  AForkFrame frame = {
    .kind = AFORK_FRAME_ERROR,
    .number = { code },
    .string = { afork_server.failure.text },
  };
  int pidfd = -1;

  if (afork_server.has_pidfd)
    pidfd = afork_server.pidfd;
  else if (afork_server.unreported)
    pidfd = afork_pidfd_open_self ();
  afork_server.has_pidfd = false;

  /* If no pidfd can be opened or sent, the error is sent without one. */
  frame.n_fds = pidfd >= 0;
  if (!afork_link_send (&afork_server.link, &frame, &pidfd) && pidfd >= 0)
    {
      frame.n_fds = 0;
      afork_link_send (&afork_server.link, &frame, NULL);
    }
  if (pidfd >= 0)
    close (pidfd);
  afork_server.unreported = false;
  if (afork_server.link.error != 0)
    give_up_socket ();

  afork_server_leave (AFORK_EXIT_BASE + (int) code);
}
