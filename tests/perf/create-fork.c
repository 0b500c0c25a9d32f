/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: a plain fork() of the caller, which AFork avoids. */

#include "config.h"

#include "case.h"

#include <unistd.h>

static pid_t
create_by_fork (int peer)
{
  pid_t pid = fork ();

  if (pid < 0)
    case_fail_errno ("fork");
  if (pid == 0)
    _exit (0);

  return pid;
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  case_run (&options, create_by_fork);
  return 0;
}
