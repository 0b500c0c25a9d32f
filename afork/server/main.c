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
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "descriptors.h"
#include "fork.h"
#include "native.h"
#include "server.h"
#include "title.h"

/* Takes the socket away from standard input and output; -1 and errno if it cannot. What a worker
 * prints then goes where its errors go, not into the protocol. */
static int
take_standard_socket (void)
{
  int socket = afork_dup_above_stderr (STDIN_FILENO);

  if (socket < 0)
    return -1;

  close (STDIN_FILENO);
  open ("/dev/null", O_RDONLY);
  dup2 (STDERR_FILENO, STDOUT_FILENO);
  return socket;
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
  AForkServerOptions options = {
    .runtime = &afork_native_runtime,
    .runtime_data = &native,
    .fork = afork_fork,
  };
  int socket = parse_socket (argc, argv);

  if (socket < 0 || !afork_is_stream_socket (socket))
    {
      fputs ("afork-server is started by programs that use AFork, and serves them on a socket:\n"
             "its standard input, or with --socket=N descriptor N.\n", stderr);
      return 2;
    }

  afork_open_standard_fds ();
  if (socket == STDIN_FILENO)
    socket = take_standard_socket ();
  if (socket < 0)
    {
      perror ("afork-server: the command socket cannot be kept");
      return AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN;
    }
  afork_prepare_socket (socket);

  afork_title_init (argc, argv);
  afork_native_init (&native);
  options.socket = socket;
  afork_serve (&options);
}
