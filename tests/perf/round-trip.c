/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: round trips to the other host, one at a time: TCP refuses a connection after one. */

#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../remote/delay-line.h"
#include "call-loop.h"
#include "case-host.h"

enum { NO_PORT = 1 };

static void
call (int   ticket,
      void *data)
{
  struct sockaddr_in *name = data;
  const int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (connect (fd, (struct sockaddr *) name, sizeof *name) == 0 || errno != ECONNREFUSED)
    case_fail ("a connection was not refused");
  close (fd);
  call_ended (ticket);
}

int
main (int    argc,
      char **argv)
{
  const CasePlace place = case_host_enter (argc, argv);
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons (NO_PORT) };
  CaseOptions options;

  case_init (&options, argc, argv);
  inet_pton (AF_INET, place == CASE_FAR ? DELAY_LINE_FAR : "127.0.0.1", &name.sin_addr);
  call_run (&options, call, NULL, &name);
  return 0;
}
