/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The native server: the program behind AForkRuntime's native runtime. It needs the C library and
 * nothing else, so that a process forked from it is as small as a process can be.
 *
 * The library starts it with --socket=N. Without that the command socket is its standard input
 * and output, so that it can stand at the end of any command that hands these on. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"
#include "serve.h"
#include "title.h"

/* A caller may have none of the three; whatever is opened next must not become one of them. */
static void
open_standard_fds (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);

  if (fd >= 0)
    close (fd);
}

/* Takes the socket away from standard input and output. What a worker prints then goes where its
 * errors go, not into the protocol. */
static int
take_standard_socket (void)
{
  int socket = fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

  close (STDIN_FILENO);
  open ("/dev/null", O_RDONLY);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  return socket;
}

static bool
is_stream_socket (int fd)
{
  socklen_t size = sizeof (int);
  int type;

  return getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static int
parse_socket (int    argc,
              char **argv)
{
  int socket, end = 0;

  if (argc == 1)
    return STDIN_FILENO;
  if (argc == 2 && sscanf (argv[1], "--socket=%d%n", &socket, &end) == 1 && argv[1][end] == '\0')
    return socket;

  return -1;
}

int
main (int    argc,
      char **argv)
{
  static AForkNative native;
  int socket = parse_socket (argc, argv);

  if (socket < 0 || !is_stream_socket (socket))
    {
      fputs ("afork-server is started by programs that use AFork, and serves them on a socket:\n"
             "its standard input, or with --socket=N descriptor N.\n", stderr);
      return 2;
    }

  open_standard_fds ();
  if (socket == STDIN_FILENO)
    socket = take_standard_socket ();
  fcntl (socket, F_SETFD, FD_CLOEXEC);
  fcntl (socket, F_SETFL, fcntl (socket, F_GETFL) & ~O_NONBLOCK);

  afork_title_init (argc, argv);
  afork_native_init (&native);
  afork_serve (socket, &afork_native_runtime, &native);
}
