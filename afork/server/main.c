/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The native server: the program that the native AForkRuntime executes. It needs only the C
 * library, so that a process forked from it is small.
 *
 * The library starts it with --socket=N. Without this option the command socket is its standard
 * input and output, so that any command that passes these on can start it. With --probe, it prints
 * what of confinement can be had here: see probe.h. With --agent and --relay, it is one end of a
 * connection to another host: see agent.h and relay.h. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "descriptors.h"
#include "fork.h"
#include "native.h"
#include "probe.h"
#include "relay.h"
#include "server.h"
#include "title.h"

/* Moves the socket from standard input to another number, which it returns, or -1 and sets errno.
 * Standard output becomes standard error, so that a worker does not print into the protocol.
 * Async-signal-safe. */
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

/* Returns the number of the command socket, or -1 if the arguments are wrong. Not
 * async-signal-safe. */
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

/* Not async-signal-safe. */
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
  int socket;

  if (argc == 2 && strcmp (argv[1], "--probe") == 0)
    return afork_probe () ? 0 : 1;
  if (argc == 2 && strcmp (argv[1], "--agent") == 0)
    afork_agent ();
  if (argc > 1 && strcmp (argv[1], "--relay") == 0)
    afork_relay (argc - 2, argv + 2);

  socket = parse_socket (argc, argv);
  if (socket < 0 || !afork_is_stream_socket (socket))
    {
      fputs ("afork-server is started by programs that use AFork, and serves them on a socket:\n"
             "its standard input, or with --socket=N descriptor N. With --probe, it prints what\n"
             "it can confine processes by on this system. With --agent, it serves a program on\n"
             "another host at its standard input and output.\n", stderr);
      return 2;
    }

  afork_open_standard_fds ();
  if (socket == STDIN_FILENO)
    socket = take_standard_socket ();
  if (socket < 0)
    {
      perror ("afork-server: the command socket could not be moved");
      return AFORK_EXIT_BASE + AFORK_WIRE_ERROR_SPAWN;
    }
  afork_prepare_socket (socket);

  afork_title_init (argc, argv);
  afork_native_init (&native);
  options.socket = socket;
  afork_serve (&options);
}
