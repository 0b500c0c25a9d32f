/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Peer: GSubprocess, with the program that does nothing and one end of a socketpair, as AFork's
 * processes have one. Variants: `default`, which closes all other descriptors in the child, and
 * `inherit-fds`, which leaves them open. */

#include "config.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "case-subprocess.h"

enum { PEER_FD_OF_CHILD = 3 };

static char *program;
static GSubprocessFlags flags;

static void
create_by_subprocess (CaseCreation *creation)
{
  const char *argv[] = { program, NULL };
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  g_autoptr(GError) error = NULL;
  GSubprocess *process;
  GSocket *socket;
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");

  g_subprocess_launcher_take_fd (launcher, pair[1], PEER_FD_OF_CHILD);
  process = g_subprocess_launcher_spawnv (launcher, argv, &error);
  if (process == NULL)
    case_fail ("%s", error->message);
  /* The launcher has the child's end, which would prevent the end of file. */
  g_clear_object (&launcher);

  socket = g_socket_new_from_fd (pair[0], &error);
  if (socket == NULL)
    case_fail ("%s", error->message);

  case_creation_connected (creation, pair[0], process, socket);
  case_subprocess_await (process, creation);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  program = case_sibling ("nothing");
  if (g_strcmp0 (options.variant, "inherit-fds") == 0)
    flags = G_SUBPROCESS_FLAGS_INHERIT_FDS;

  case_loop_run (&options, create_by_subprocess);
  free (program);
  return 0;
}
