/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: about the least that a template can cost. `bare-template` is sent sockets and forks a
 * child for each, which exits at once. Nothing is looked up, passed on, reported or waited for.
 * Variants: `lazy`, linked as the compiler does by default, so that in each child the dynamic
 * linker looks up the functions that it calls; and `now`, where this was done at the start. */

#include "config.h"

#include "case.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int template_socket;

static pid_t
start_template (const char *variant)
{
  bool now = variant != NULL && strcmp (variant, "now") == 0;
  char *program = case_sibling (now ? "bare-template-now" : "bare-template");
  char *argv[] = { program, NULL };
  posix_spawn_file_actions_t actions;
  int pair[2];
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, pair[1], STDIN_FILENO);
  errno = posix_spawn (&pid, program, &actions, NULL, argv, environ);
  if (errno != 0)
    case_fail_errno (program);

  posix_spawn_file_actions_destroy (&actions);
  close (pair[1]);
  free (program);
  template_socket = pair[0];
  return pid;
}

static pid_t
create_by_template (int peer)
{
  union
  {
    struct cmsghdr header;
    char           space[CMSG_SPACE (sizeof (int))];
  } control = { .header = { .cmsg_len = CMSG_LEN (sizeof (int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS } };
  char command = 'f';
  struct iovec bytes = { .iov_base = &command, .iov_len = 1 };
  struct msghdr message = { .msg_iov = &bytes,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control };

  memcpy (CMSG_DATA (&control.header), &peer, sizeof peer);
  if (sendmsg (template_socket, &message, MSG_NOSIGNAL) != 1)
    case_fail_errno ("sendmsg");

  return 0;
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;
  pid_t template;
  int status;

  case_init (&options, argc, argv);
  template = start_template (options.variant);
  case_run (&options, create_by_template);
  close (template_socket);
  if (waitpid (template, &status, 0) < 0 || status != 0)
    case_fail ("the template did not exit with status 0");

  return 0;
}
