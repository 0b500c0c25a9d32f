/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A worker that serves calls in the way that the test tells it, correctly or not. Each item is a
 * step: a letter and its argument.
 *
 *   b BYTES     sends the bytes
 *   d NUMBER    sends that many descriptors with the first of the next bytes
 *   m SIZE      from now on, these descriptors are a segment of that size
 *   M SIZE      from now on, they are a sealed blob
 *   * NUMBER    does the next step that many times
 *   w           waits until a call has come
 *   f BYTES     sends the bytes again and again, until the caller reads no more
 *   o BYTES     writes the bytes to the outbox, after `w`: the first four are the offset, low first
 *   t           tries to change the size of the outbox, and aborts if that is possible
 *   p NUMBER    waits that many milliseconds
 *   c, r        closes the socket; shuts it down for reading
 *   e           writes to its standard error output until it is killed
 *   k           continues as a child, and exits
 *   x, s        exits with status 0; stays for ever
 *   K NUMBER    is killed by that signal
 *   P           kills the process that it was forked from, and exits
 *
 * After the last step it waits until the caller has closed the socket, and exits. */

#define _GNU_SOURCE             /* memfd_create() */

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afork/wire/afork-call-frame.h"
#include "afork/worker/afork-worker.h"

#include "../util/send-fds.h"

AFORK_WORKER_EXPORT void afork_worker_serve_calls (int              socket,
                                                   const AForkItem *items,
                                                   size_t           n_items);

static size_t n_fds;
static int outbox = -1;
static int sent_fd = STDIN_FILENO;
static char lines[64 * 1024];   /* any bytes */

/* Sends some of them, with the descriptors. */
static ssize_t
send_some (int         socket,
           const char *bytes,
           size_t      size)
{
  int fds[SEND_FDS_MAX];
  size_t n_sent_fds = n_fds;

  for (size_t i = 0; i < n_fds; i++)
    fds[i] = sent_fd;
  n_fds = 0;
  return send_with_fds (socket, bytes, size, fds, n_sent_fds, MSG_NOSIGNAL);
}

static bool
send_all (int         socket,
          const char *bytes,
          size_t      size)
{
  while (size > 0)
    {
      ssize_t n_sent = send_some (socket, bytes, size);

      if (n_sent <= 0)
        return false;
      bytes += n_sent;
      size -= (size_t) n_sent;
    }

  return true;
}

/* Reads what the caller sends. The first descriptor that comes is the outbox. */
static ssize_t
receive (int      socket,
         uint8_t *bytes,
         size_t   size)
{
  union { struct cmsghdr align; char bytes[CMSG_SPACE (sizeof (int))]; } control;
  struct iovec vector = { .iov_base = bytes, .iov_len = size };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_read = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = n_read > 0 ? CMSG_FIRSTHDR (&message) : NULL;

  if (header != NULL && header->cmsg_type == SCM_RIGHTS)
    memcpy (&outbox, CMSG_DATA (header), sizeof outbox);
  return n_read;
}

/* Messages of the caller are small and correct. */
static void
await_call (int socket)
{
  static uint8_t bytes[4096];
  static size_t n_bytes;
  AForkCallFrame frame = { 0 };

  while (frame.kind != AFORK_CALL_FRAME_CALL)
    {
      const char *why;
      size_t size;

      if (afork_call_frame_parse (bytes, n_bytes, &frame, &size, &why) == AFORK_CALL_FRAME_OK)
        {
          n_bytes -= size;
          memmove (bytes, bytes + size, n_bytes);
        }
      else
        {
          ssize_t n_read = receive (socket, bytes + n_bytes, sizeof bytes - n_bytes);

          if (n_read <= 0)
            _exit (90);
          n_bytes += (size_t) n_read;
          frame.kind = 0;
        }
    }
}

/* Memory with all its pages: each was written to. */
static void
make_memory (size_t size,
             int    seals)
{
  void *data;

  sent_fd = memfd_create ("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (sent_fd < 0 || fallocate (sent_fd, 0, 0, (off_t) size) < 0)
    abort ();
  data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, sent_fd, 0);
  if (data == MAP_FAILED || munmap (data, size) < 0
      || fcntl (sent_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | seals) < 0)
    abort ();
}

static void
write_outbox (const char *bytes,
              size_t      size)
{
  uint32_t offset;

  memcpy (&offset, bytes, sizeof offset);
  if (pwrite (outbox, bytes + sizeof offset, size - sizeof offset, offset) < 0)
    abort ();
}

static void
do_step (int         socket,
         const char *step,
         size_t      size)
{
  switch (*step)
    {
    case 'b':
      send_all (socket, step + 1, size - 1);
      break;
    case 'd':
      n_fds = (size_t) atoi (step + 1);
      break;
    case 'w':
      await_call (socket);
      break;
    case 'f':
      while (send_all (socket, step + 1, size - 1))
        ;
      break;
    case 'o':
      write_outbox (step + 1, size - 1);
      break;
    case 't':
      if (ftruncate (outbox, 0) == 0 || ftruncate (outbox, 1 << 30) == 0)
        abort ();
      break;
    case 'K':
      kill (getpid (), atoi (step + 1));
      break;
    case 'P':
      kill (getppid (), SIGKILL);
      _exit (0);
    case 'p':
      usleep ((useconds_t) atoi (step + 1) * 1000);
      break;
    case 'c':
      close (socket);
      break;
    case 'r':
      if (shutdown (socket, SHUT_RD) < 0)
        abort ();
      break;
    case 'm':
      make_memory ((size_t) atoll (step + 1), F_SEAL_FUTURE_WRITE);
      break;
    case 'M':
      make_memory ((size_t) atoll (step + 1), F_SEAL_WRITE);
      break;
    case 'e':
      while (write (STDERR_FILENO, lines, sizeof lines) > 0)
        ;
      break;
    case 'k':
      if (fork () != 0)
        _exit (0);
      break;
    case 'x':
      _exit (0);
    default:
      for (;;)
        pause ();
    }
}

/* Each time with the descriptors of the steps before, if there are any. */
static void
repeat_step (int         socket,
             const char *step,
             size_t      size,
             size_t      n_times)
{
  size_t n_fds_each = n_fds;

  for (size_t i = 0; i < n_times; i++)
    {
      if (n_fds_each > 0)
        n_fds = n_fds_each;
      do_step (socket, step, size);
    }
}

void
afork_worker_serve_calls (int              socket,
                          const AForkItem *items,
                          size_t           n_items)
{
  size_t n_times = 1;
  char bytes[4096];

  for (size_t i = 0; i < n_items; i++)
    if (items[i].data[0] == '*')
      n_times = (size_t) atoi (items[i].data + 1);
    else
      {
        repeat_step (socket, items[i].data, items[i].size, n_times);
        n_times = 1;
      }

  while (read (socket, bytes, sizeof bytes) > 0)
    ;
}
