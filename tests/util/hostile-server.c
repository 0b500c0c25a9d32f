/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A program at the other end of the command socket that sends correct or wrong messages. The socket
 * is its standard input and output. Each argument is a step:
 *
 *   hello, forked, ready …     sends a frame; ready-data=N sends N bytes behind the frame
 *   fds=N, pidfd, reports      adds N descriptors, its pidfd or a socket for reports to the next
 *                              frame
 *   caller-pidfd               adds a pidfd of the caller to the next frame, in place of its own
 *   stray=N                    adds N descriptors that the next frame does not name
 *   cut=N                      sends only the first N bytes of the next frame
 *   from=N                     sends the next frame without its first N bytes
 *   drip                       from now on, sends each byte when the byte before it was read
 *   mutate=SEED                from now on, changes some of the bytes that it sends
 *   raw=HEX                    sends these bytes
 *   flood=HEX                  sends these bytes again and again, until the caller closes the
 *                              socket
 *   stay                       from now on, does not exit when the caller has closed the socket
 *   await=KIND                 reads until a frame of this kind has come; takes the socket that
 *                              comes with FORK or EXEC
 *   fork, main                 from now on, uses the last socket that it took, or its own socket
 *   close, hang, exit=N        closes the socket, sleeps for ever, or exits with status N; the
 *                              program exits with status 0 after the last step
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "afork/system/pidfd.h"
#include "afork/wire/afork-frame.h"
#include "send-fds.h"

enum { MAX_FDS = 4 * AFORK_FRAME_MAX_FDS };

static int in = STDIN_FILENO;
static int out = STDOUT_FILENO;
static int fork_socket = -1;
static uint32_t fork_number;

/* These apply to what is sent next. */
static int fds[MAX_FDS];
static size_t n_fds;
static size_t n_named;
static size_t cut = SIZE_MAX;
static size_t from;

static bool stays;
static bool drip;
static uint64_t random_state;   /* 0 if no byte is changed */

__attribute__ ((noreturn, format (printf, 1, 2))) static void
die (const char *format,
     ...)
{
  va_list arguments;

  va_start (arguments, format);
  fputs ("hostile-server: ", stderr);
  vfprintf (stderr, format, arguments);
  fputc ('\n', stderr);
  va_end (arguments);
  exit (99);
}

/* Sending. */

static void
add_fd (int  fd,
        bool named)
{
  if (fd < 0 || n_fds == MAX_FDS)
    die ("no descriptor");

  fds[n_fds++] = fd;
  n_named += named;
}

/* Sends once, with the first of the descriptors. If the caller has gone, this program exits. */
static size_t
send_some (const uint8_t *bytes,
           size_t         n_bytes)
{
  size_t n_sent_fds = n_fds < AFORK_FRAME_MAX_FDS ? n_fds : AFORK_FRAME_MAX_FDS;
  ssize_t n_sent = send_with_fds (out, bytes, n_bytes, fds, n_sent_fds, MSG_NOSIGNAL);

  while (n_sent <= 0 && stays)
    pause ();
  if (n_sent <= 0)
    exit (0);

  n_fds -= n_sent_fds;
  memmove (fds, fds + n_sent_fds, n_fds * sizeof fds[0]);
  return (size_t) n_sent;
}

/* Waits until the caller has read everything or has gone. */
static void
await_read (void)
{
  struct pollfd gone = { .fd = out };
  int n_unread;

  while (ioctl (out, SIOCOUTQ, &n_unread) == 0 && n_unread > 0)
    if (poll (&gone, 1, 1) > 0)
      exit (0);
}

static void
send_all (const uint8_t *bytes,
          size_t         n_bytes)
{
  while (n_bytes > 0)
    {
      size_t n_sent = send_some (bytes, drip || n_fds > AFORK_FRAME_MAX_FDS ? 1 : n_bytes);

      bytes += n_sent;
      n_bytes -= n_sent;
      if (drip)
        await_read ();
    }
}

/* xorshift64*, which gives the same numbers everywhere for the same seed. */
static uint32_t
get_random (uint32_t below)
{
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t) (random_state * UINT64_C (2685821657736338717) >> 32) % below;
}

/* Changes some bytes, leaves some out, and repeats some. */
static size_t
mutate (uint8_t *bytes,
        size_t   n_bytes)
{
  uint32_t at = get_random ((uint32_t) n_bytes);

  switch (get_random (8))
    {
    case 0:
      bytes[at] ^= (uint8_t) (1 << get_random (8));
      return n_bytes;
    case 1:
      bytes[at] = (uint8_t) get_random (256);
      return n_bytes;
    case 2:
      memmove (bytes + at, bytes + at + 1, n_bytes - at - 1);
      return n_bytes - 1;
    case 3:
      memmove (bytes + at + 1, bytes + at, n_bytes - at);
      return n_bytes + 1;
    case 4:
      return at;
    default:
      return n_bytes;
    }
}

static void
send_frame (AForkFrame frame)
{
  size_t size;
  uint8_t *bytes;

  frame.n_fds = (uint16_t) n_named;
  n_named = 0;
  size = afork_frame_size (&frame);
  bytes = malloc (size + 1);
  if (bytes == NULL)
    die ("no memory");

  afork_frame_write (&frame, bytes);
  if (random_state != 0)
    size = mutate (bytes, size);
  size = size < cut ? size : cut;
  if (from < size)
    send_all (bytes + from, size - from);

  free (bytes);
  cut = SIZE_MAX;
  from = 0;
}

static void
send_hex (const char *hex,
          bool        again)
{
  static uint8_t bytes[65536];
  size_t n_bytes = 0;

  for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2)
    {
      char digits[3] = { hex[0], hex[1] };

      bytes[n_bytes++] = (uint8_t) strtoul (digits, NULL, 16);
    }
  if (again)
    for (size_t i = n_bytes; i + n_bytes <= sizeof bytes; i += n_bytes)
      memcpy (bytes + i, bytes, n_bytes);

  do
    send_all (bytes, again ? sizeof bytes / n_bytes * n_bytes : n_bytes);
  while (again);
}

/* Sends a frame and bytes behind it, in one write if the socket has room. */
static void
send_data (AForkFrame frame,
           size_t     n_bytes)
{
  size_t size = afork_frame_size (&frame);
  uint8_t *bytes = malloc (size + n_bytes);

  if (bytes == NULL)
    die ("no memory");

  frame.n_fds = (uint16_t) n_named;
  n_named = 0;
  afork_frame_write (&frame, bytes);
  for (size_t i = 0; i < n_bytes; i++)
    bytes[size + i] = (uint8_t) (i % 251);
  send_all (bytes, size + n_bytes);
  free (bytes);
}

/* Receiving. */

static uint8_t input[AFORK_FRAME_HEADER_SIZE + AFORK_FRAME_MAX_PAYLOAD];
static size_t n_input;

static void
receive (size_t n_bytes)
{
  union
  {
    struct cmsghdr align;
    char           bytes[CMSG_SPACE (AFORK_FRAME_MAX_FDS * sizeof (int))];
  } control;
  struct iovec vector = { .iov_base = input + n_input, .iov_len = n_bytes };
  struct msghdr message = {
    .msg_iov = &vector,
    .msg_iovlen = 1,
    .msg_control = &control,
    .msg_controllen = sizeof control,
  };
  ssize_t n_received = recvmsg (in, &message, MSG_CMSG_CLOEXEC);

  if (n_received <= 0)
    exit (0);

  n_input += (size_t) n_received;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (&message);
       header != NULL;
       header = CMSG_NXTHDR (&message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      memcpy (&fork_socket, CMSG_DATA (header), sizeof fork_socket);
}

static void
await_frame (const char *kind)
{
  AForkFrame frame;
  size_t size;
  const char *why;

  for (;;)
    switch (afork_frame_parse (input, n_input, &frame, &size, &why))
      {
      case AFORK_FRAME_OK:
        n_input = 0;
        if (frame.kind == AFORK_FRAME_FORK)
          fork_number = frame.number[0];
        if (strcasecmp (afork_frame_kind_name (frame.kind), kind) == 0)
          return;
        break;
      case AFORK_FRAME_TRUNCATED:
        receive (size - n_input);
        break;
      default:
        die ("the caller sent nonsense: %s", why);
      }
}

/* Steps. */

/* Returns the value of a step `NAME=VALUE`, or NULL if this is another step. */
static const char *
get_value (const char *step,
           const char *name)
{
  size_t length = strlen (name);

  return strncmp (step, name, length) == 0 && step[length] == '=' ? step + length + 1 : NULL;
}

static bool
step_frame (const char *step)
{
  const char *value;

  if (strcmp (step, "hello") == 0)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_HELLO, .string = { AFORK_WIRE_MAGIC },
                               .number = { AFORK_WIRE_VERSION } });
  else if ((value = get_value (step, "version")) != NULL)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_HELLO, .string = { AFORK_WIRE_MAGIC },
                               .number = { (uint32_t) strtoul (value, NULL, 10) } });
  else if ((value = get_value (step, "magic")) != NULL)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_HELLO, .string = { value },
                               .number = { AFORK_WIRE_VERSION } });
  else if (strcmp (step, "forked") == 0)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_FORKED });
  else if (strcmp (step, "ready") == 0)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_READY });
  else if ((value = get_value (step, "ready-data")) != NULL)
    send_data ((AForkFrame) { .kind = AFORK_FRAME_READY }, strtoul (value, NULL, 10));
  else if ((value = get_value (step, "error")) != NULL)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_ERROR, .string = { "It \xff\xfe failed" },
                               .number = { (uint32_t) strtoul (value, NULL, 10) } });
  else if ((value = get_value (step, "fork-failed")) != NULL)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_FORK_FAILED, .string = { "No \xff fork" },
                               .number = { fork_number + (uint32_t) strtoul (value, NULL, 10),
                                           AFORK_WIRE_ERROR_SPAWN } });
  else if ((value = get_value (step, "exited")) != NULL)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_EXITED,
                               .number = { fork_number + (uint32_t) strtoul (value, NULL, 10) },
                               .exit = { .pid = 4711, .wait_status = 5 << 8 } });
  else if (strcmp (step, "exited-unknown") == 0)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_EXITED, .number = { fork_number },
                               .exit = { .pid = 4711, .wait_status = AFORK_EXIT_UNKNOWN } });
  else if (strcmp (step, "command") == 0)
    send_frame ((AForkFrame) { .kind = AFORK_FRAME_REQUIRE, .string = { "echo" } });
  else
    return false;

  return true;
}

static void
step_reports (void)
{
  int sockets[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
    die ("no sockets");
  add_fd (sockets[1], true);
  fork_socket = sockets[0];
}

static bool
step_setting (const char *step)
{
  const char *value;

  if ((value = get_value (step, "fds")) != NULL)
    for (unsigned long i = strtoul (value, NULL, 10); i > 0; i--)
      add_fd (STDERR_FILENO, true);
  else if ((value = get_value (step, "stray")) != NULL)
    for (unsigned long i = strtoul (value, NULL, 10); i > 0; i--)
      add_fd (STDERR_FILENO, false);
  else if (strcmp (step, "pidfd") == 0)
    add_fd (afork_pidfd_open (getpid ()), true);
  else if (strcmp (step, "caller-pidfd") == 0)
    add_fd (afork_pidfd_open (getppid ()), true);
  else if (strcmp (step, "reports") == 0)
    step_reports ();
  else if ((value = get_value (step, "cut")) != NULL)
    cut = strtoul (value, NULL, 10);
  else if ((value = get_value (step, "from")) != NULL)
    from = strtoul (value, NULL, 10);
  else if (strcmp (step, "drip") == 0)
    drip = true;
  else if ((value = get_value (step, "mutate")) != NULL)
    random_state = strtoull (value, NULL, 10) * UINT64_C (0x9e3779b97f4a7c15) + 1;
  else if (strcmp (step, "fork") == 0)
    in = out = fork_socket;
  else if (strcmp (step, "main") == 0)
    in = out = STDIN_FILENO;
  else
    return false;

  return true;
}

static bool
step_other (const char *step)
{
  const char *value;

  if ((value = get_value (step, "raw")) != NULL)
    send_hex (value, false);
  else if ((value = get_value (step, "flood")) != NULL)
    send_hex (value, true);
  else if ((value = get_value (step, "await")) != NULL)
    await_frame (value);
  else if (strcmp (step, "close") == 0)
    {
      close (STDIN_FILENO);
      close (STDOUT_FILENO);
    }
  else if (strcmp (step, "stay") == 0)
    stays = true;
  else if (strcmp (step, "hang") == 0)
    for (;;)
      pause ();
  else if ((value = get_value (step, "exit")) != NULL)
    exit (atoi (value));
  else
    return false;

  return true;
}

int
main (int    argc,
      char **argv)
{
  for (int i = 1; i < argc; i++)
    if (!step_setting (argv[i]) && !step_frame (argv[i]) && !step_other (argv[i]))
      die ("“%s” is no step", argv[i]);

  return 0;
}
