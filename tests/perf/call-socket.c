/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: two processes on a socketpair that block in read() and write(), libc only. Variants:
 * `echo` sends bytes to and fro; `fresh:SIZE` reads a result into memory that is mapped for it, as
 * malloc() does for a large one, and unmapped after use; `reused:SIZE` reads it into the same
 * memory each time. */

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call-loop.h"

typedef struct
{
  int     fd;
  size_t  request_size;
  size_t  answer_size;
  bool    fresh;
  char   *request;
  char   *memory;
} Peer;

/* Returns false at the end of file. */
static bool
read_all (int     fd,
          char   *data,
          size_t  size)
{
  while (size > 0)
    {
      ssize_t n_read = read (fd, data, size);

      if (n_read == 0)
        return false;
      if (n_read < 0)
        case_fail_errno ("read");
      data += n_read;
      size -= (size_t) n_read;
    }

  return true;
}

static void
write_all (int         fd,
           const char *data,
           size_t      size)
{
  while (size > 0)
    {
      ssize_t n_written = write (fd, data, size);

      if (n_written < 0)
        case_fail_errno ("write");
      data += n_written;
      size -= (size_t) n_written;
    }
}

CASE_NORETURN static void
serve (const Peer *peer)
{
  char *answer = call_make_result (peer->answer_size);

  while (read_all (peer->fd, peer->request, peer->request_size))
    write_all (peer->fd, answer, peer->answer_size);
  _exit (0);
}

static char *
map (size_t size)
{
  char *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    case_fail_errno ("mmap");
  return memory;
}

static void
call (int   ticket,
      void *data)
{
  Peer *peer = data;
  char *memory = peer->fresh ? map (peer->answer_size) : peer->memory;

  write_all (peer->fd, peer->request, peer->request_size);
  if (!read_all (peer->fd, memory, peer->answer_size))
    case_fail ("the peer has gone");
  call_check_result (memory, peer->answer_size, peer->answer_size);
  if (peer->fresh)
    munmap (memory, peer->answer_size);
  call_ended (ticket);
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;
  Peer peer = { .request_size = 8 };
  int pair[2];

  case_init (&options, argc, argv);
  if (options.variant != NULL && strcmp (options.variant, "echo") == 0)
    peer.request_size = peer.answer_size = CALL_ECHO_SIZE;
  else if (call_parse_variant (options.variant, "fresh", &peer.answer_size))
    peer.fresh = true;
  else if (!call_parse_variant (options.variant, "reused", &peer.answer_size))
    case_fail ("no such variant");

  peer.request = call_make_result (peer.request_size);
  peer.memory = map (peer.answer_size);
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    case_fail_errno ("socketpair");

  switch (fork ())
    {
    case -1:
      case_fail_errno ("fork");
    case 0:
      close (pair[0]);
      peer.fd = pair[1];
      serve (&peer);
    default:
      close (pair[1]);
      peer.fd = pair[0];
      call_run (&options, call, NULL, &peer);
    }

  return 0;
}
