/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* All functions but the last one run in the new process. It was forked from a process with one
 * thread, so it may call any function. */

#define _GNU_SOURCE
#include "file-sender.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptors.h"
#include "failure.h"
#include "sha256.h"

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

enum
{
  PIECE_SIZE = 16 * 1024,       /* read and sent at once */
  SOCKET = 3,
};

typedef struct
{
  const AForkFileTarget *target;
  uint8_t     request[AFORK_FILE_SENDER_MAX_FRAME];
  const char *path;
  const char *name;
  int         fd;
  uint64_t    size;             /* bytes that were read for the sum */
  uint8_t     head[EI_NIDENT + 4];      /* the first bytes of the file */
  uint8_t     piece[AFORK_FRAME_HEADER_SIZE + PIECE_SIZE];
} Sender;

/* The socket. */

static void
send_all (const uint8_t *bytes,
          size_t         n_bytes)
{
  while (n_bytes > 0)
    {
      ssize_t n_sent = send (SOCKET, bytes, n_bytes, MSG_NOSIGNAL);

      if (n_sent < 0 && errno != EINTR)
        _exit (1);
      if (n_sent > 0)
        {
          bytes += n_sent;
          n_bytes -= (size_t) n_sent;
        }
    }
}

static void
send_frame (const AForkFrame *frame)
{
  uint8_t bytes[AFORK_FRAME_HEADER_SIZE + AFORK_FAILURE_TEXT_SIZE + 512];

  afork_frame_write (frame, bytes);
  send_all (bytes, afork_frame_size (frame));
}

/* The command fails for this reason. */
static void __attribute__ ((noreturn, format (printf, 2, 3)))
fail (Sender     *self,
      const char *format,
      ...)
{
  char text[AFORK_FAILURE_TEXT_SIZE];
  const AForkFrame frame = {
    .kind = AFORK_FRAME_FAIL,
    .number = { AFORK_WIRE_ERROR_MODULE },
    .string = { text },
  };
  size_t length;
  va_list arguments;

  snprintf (text, sizeof text, "Module “%.2000s” could not be copied to “%.255s”: ", self->path,
            self->target->name);
  length = strlen (text);
  va_start (arguments, format);
  vsnprintf (text + length, sizeof text - length, format, arguments);
  va_end (arguments);
  send_frame (&frame);
  _exit (0);
}

/* Exits if no process waits for the file any more. */
static void
check_socket (void)
{
  struct pollfd entry = { .fd = SOCKET };

  if (poll (&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0)
    _exit (1);
}

static ssize_t
receive (uint8_t *bytes,
         size_t   n_bytes)
{
  ssize_t n_received;

  do
    n_received = recv (SOCKET, bytes, n_bytes, 0);
  while (n_received < 0 && errno == EINTR);
  if (n_received <= 0)
    _exit (1);

  return n_received;
}

/* Receives REQUIRE_FILE, which the relay passes on as it comes. */
static void
receive_request (Sender *self)
{
  AForkFrameResult result;
  AForkFrame frame;
  const char *why;
  size_t n_bytes = 0, size;

  while ((result = afork_frame_parse (self->request, n_bytes, &frame, &size, &why))
           == AFORK_FRAME_TRUNCATED)
    {
      if (size > sizeof self->request)
        _exit (1);
      n_bytes += (size_t) receive (self->request + n_bytes, size - n_bytes);
    }
  if (result != AFORK_FRAME_OK)
    _exit (1);

  self->path = frame.string[0];
  self->name = frame.string[1];
}

/* The file. */

static size_t
read_piece (Sender   *self,
            uint8_t  *bytes,
            uint64_t  most)
{
  ssize_t n_read;

  do
    n_read = read (self->fd, bytes, most < PIECE_SIZE ? (size_t) most : PIECE_SIZE);
  while (n_read < 0 && errno == EINTR);
  if (n_read < 0)
    fail (self, "%s", strerror (errno));

  return (size_t) n_read;
}

static void
open_file (Sender *self)
{
  struct stat status;

  /* Opening a FIFO or a device could block, or have an effect. */
  self->fd = open (self->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (self->fd < 0 || fstat (self->fd, &status) < 0)
    fail (self, "%s", strerror (errno));
  if (S_ISDIR (status.st_mode))
    fail (self, "%s", strerror (EISDIR));
  if (!S_ISREG (status.st_mode))
    fail (self, "it is not a regular file");
}

/* Reads the file once, for its size and its sum. */
static void
read_sum (Sender *self,
          char    digest[AFORK_SHA256_TEXT_SIZE])
{
  AForkSha256 sum;
  size_t n_read;

  afork_sha256_init (&sum);
  while ((n_read = read_piece (self, self->piece, PIECE_SIZE)) > 0)
    {
      if (self->size < sizeof self->head)
        {
          const size_t room = sizeof self->head - (size_t) self->size;

          memcpy (self->head + self->size, self->piece, n_read < room ? n_read : room);
        }
      self->size += n_read;
      afork_sha256_add (&sum, self->piece, n_read);
      check_socket ();
    }
  afork_sha256_finish (&sum, digest);
}

/* Reads it again, and sends it. */
static void
send_content (Sender *self)
{
  uint64_t left = self->size;

  if (lseek (self->fd, 0, SEEK_SET) < 0)
    fail (self, "%s", strerror (errno));

  while (left > 0)
    {
      const size_t n_read = read_piece (self, self->piece + AFORK_FRAME_HEADER_SIZE, left);

      if (n_read == 0)
        fail (self, "it was cut while it was copied");
      afork_frame_write_header (AFORK_FRAME_FILE_BYTES, 0, 0, (uint32_t) n_read, self->piece);
      send_all (self->piece, AFORK_FRAME_HEADER_SIZE + n_read);
      left -= n_read;
    }
}

/* Machines. */

/* A kind of machine: its name as uname(2) has it, or the start of that, and its names in ELF files,
 * for programs with pointers of 64 and 32 bits. */
typedef struct
{
  const char *name;
  uint16_t    machine_64;
  uint16_t    machine_32;
} Machine;

static const Machine machines[] = {
  { "aarch64", EM_AARCH64, EM_ARM },
  { "alpha", EM_ALPHA, 0 },
  { "arm", 0, EM_ARM },
  { "i386", 0, EM_386 },
  { "i486", 0, EM_386 },
  { "i586", 0, EM_386 },
  { "i686", 0, EM_386 },
  { "loongarch64", EM_LOONGARCH, 0 },
  { "mips", EM_MIPS, EM_MIPS },
  { "ppc", EM_PPC64, EM_PPC },
  { "riscv", EM_RISCV, EM_RISCV },
  { "s390", EM_S390, EM_S390 },
  { "x86_64", EM_X86_64, EM_386 },
};

/* Returns what to call the machine of an ELF file in messages. */
static const char *
name_elf_machine (uint16_t number,
                  char     text[32])
{
  for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
    /* Where a machine of 64 bits also runs programs of an older one, that has a row of its own. */
    if (number == (machines[i].machine_64 != 0 ? machines[i].machine_64 : machines[i].machine_32))
      return machines[i].name;

  snprintf (text, 32, "machine %u of ELF", number);
  return text;
}

static bool
is_elf (const Sender *self)
{
  return self->size >= sizeof self->head && memcmp (self->head, ELFMAG, SELFMAG) == 0;
}

/* Fails if the file is plainly not what processes of the runtime load. Python loads source files
 * and shared objects. */
static void
check_runtime (Sender *self)
{
  const char *runtime = self->target->runtime;

  if (strcmp (runtime, "native") == 0 && !is_elf (self))
    fail (self, "it is not a shared object, and the processes there are of the runtime “%s”",
          runtime);
  if (strcmp (runtime, "gjs") == 0 && is_elf (self))
    fail (self, "it is a shared object, and the processes there are of the runtime “%s”", runtime);
}

/* Fails if the file is an ELF file for another machine than that of the host. For a machine that is
 * not in the table, the dynamic linker there decides. */
static void
check_machine (Sender *self)
{
  const AForkFileTarget *target = self->target;
  const bool is_64 = self->head[EI_CLASS] == ELFCLASS64;
  const bool host_is_64 = target->pointer_size == 8;
  const bool is_big_endian = self->head[EI_DATA] == ELFDATA2MSB;
  const uint8_t *number = self->head + EI_NIDENT + 2;
  const uint16_t machine = (uint16_t) (is_big_endian ? number[0] << 8 | number[1]
                                                     : number[1] << 8 | number[0]);
  bool is_other = is_64 != host_is_64;
  char text[32];

  if (!is_elf (self))
    return;

  /* Programs of some machines of 64 bits have pointers of 32, such as those of x32. */
  for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
    if (strncmp (target->machine, machines[i].name, strlen (machines[i].name)) == 0)
      is_other |= machine != machines[i].machine_64
        && (host_is_64 || machine != machines[i].machine_32);
  if (is_other)
    fail (self, "it is for %s with %d bits, and the host is %.64s with %d bits",
          name_elf_machine (machine, text), is_64 ? 64 : 32, target->machine,
          host_is_64 ? 64 : 32);
}

static void __attribute__ ((noreturn))
run (const AForkFileTarget *target)
{
  static Sender self;
  char digest[AFORK_SHA256_TEXT_SIZE];
  AForkFrame frame = { .kind = AFORK_FRAME_FILE };
  uint8_t wanted;

  self.target = target;
  receive_request (&self);
  open_file (&self);
  read_sum (&self, digest);
  check_runtime (&self);
  check_machine (&self);
  if (strlen (self.name) > NAME_MAX)
    fail (&self, "%s", strerror (ENAMETOOLONG));

  frame.string[0] = self.name;
  frame.string[1] = digest;
  frame.number[0] = (uint32_t) self.size;
  frame.number[1] = (uint32_t) (self.size >> 32);
  send_frame (&frame);
  receive (&wanted, 1);
  if (wanted != 0)
    send_content (&self);
  _exit (0);
}

pid_t
afork_file_sender_start (const AForkFileTarget *target,
                         int                   *socket)
{
  const pid_t relay = getpid ();
  int fds[2];
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return -1;

  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      /* The sockets of other processes must end when the relay closes them. */
      if (getppid () != relay || dup2 (fds[1], SOCKET) < 0 || !afork_close_from (SOCKET + 1))
        _exit (1);
      run (target);
    }

  close (fds[1]);
  if (pid < 0)
    {
      close (fds[0]);
      return -1;
    }

  fcntl (fds[0], F_SETFL, O_NONBLOCK);
  *socket = fds[0];
  return pid;
}
