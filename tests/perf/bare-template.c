/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The template of create-bare: its command socket is its standard input, and each message on it
 * contains the socket of one child. It waits for no child, so the kernel has to reap them. */

#include "config.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Returns -1 at the end of file, and after an error. */
static int
receive_socket (void)
{
  union
  {
    struct cmsghdr header;
    char           space[CMSG_SPACE (sizeof (int))];
  } control;
  char command;
  struct iovec bytes = { .iov_base = &command, .iov_len = 1 };
  struct msghdr message = { .msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control };
  int socket;

  if (recvmsg (STDIN_FILENO, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR (&message) == NULL)
    return -1;

  memcpy (&socket, CMSG_DATA (&control.header), sizeof socket);
  return socket;
}

int
main (void)
{
  int socket;

  signal (SIGCHLD, SIG_IGN);
  while ((socket = receive_socket ()) >= 0)
    {
      pid_t pid = fork ();

      if (pid < 0)
        return 1;
      if (pid == 0)
        {
          close (STDIN_FILENO);
          _exit (0);
        }
      close (socket);
    }

  return 0;
}
