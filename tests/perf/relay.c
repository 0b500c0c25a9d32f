/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* relay COMMAND...: starts a program that has one end of a socketpair as standard input and output,
 * and copies all that comes from standard input to the other end, and back to standard output. Ends
 * when one of them ends. This is the least that a process between a caller and ssh can do. libc
 * only. */

#include "config.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "case.h"

/* Returns false at the end. */
static bool
copy (int from,
      int to)
{
  char bytes[16384];
  ssize_t n_read = read (from, bytes, sizeof bytes);

  for (ssize_t n_written = 0; n_written < n_read;)
    {
      ssize_t n = write (to, bytes + n_written, (size_t) (n_read - n_written));

      if (n < 0)
        return false;
      n_written += n;
    }
  return n_read > 0;
}

int
main (int    argc,
      char **argv)
{
  int pair[2];

  if (argc < 2)
    case_fail ("no command");
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");
  switch (fork ())
    {
    case -1:
      case_fail_errno ("fork");
    case 0:
      dup2 (pair[1], STDIN_FILENO);
      dup2 (pair[1], STDOUT_FILENO);
      execvp (argv[1], argv + 1);
      case_fail_errno (argv[1]);
    default:
      close (pair[1]);
    }

  for (;;)
    {
      struct pollfd polls[] = {
        { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = pair[0], .events = POLLIN },
      };

      if (poll (polls, 2, -1) < 0
          || (polls[0].revents != 0 && !copy (STDIN_FILENO, pair[0]))
          || (polls[1].revents != 0 && !copy (pair[0], STDOUT_FILENO)))
        return 0;
    }
}
