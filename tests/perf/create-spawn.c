/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: posix_spawn() of a program that does nothing, the least that executing one can cost. With
 * the variant `bwrap`, bwrap executes the program in namespaces. */

#include "config.h"

#include "case.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_FD_OF_CHILD = 3 };

static char *program;
static bool  confined;

static pid_t
create_by_spawn (int peer)
{
  const char *plain[] = { program, NULL };
  const char *in_sandbox[] = {
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", program, NULL,
  };
  char **argv = (char **) (confined ? in_sandbox : plain);
  posix_spawn_file_actions_t actions;
  pid_t pid;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, peer, PEER_FD_OF_CHILD);
  errno = posix_spawnp (&pid, argv[0], &actions, NULL, argv, environ);
  if (errno != 0)
    case_fail_errno (program);

  posix_spawn_file_actions_destroy (&actions);
  return pid;
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  program = strcmp (options.variant != NULL ? options.variant : "", "true") == 0
    ? strdup ("/bin/true") : case_sibling ("nothing");
  confined = options.variant != NULL && strcmp (options.variant, "bwrap") == 0;
  case_run (&options, create_by_spawn);
  free (program);
  return 0;
}
