/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What goes over a command socket, as bytes.
 *
 * A frame is a header of eight bytes and a payload:
 *
 *   offset  size
 *   0       4     payload bytes, at most AFORK_FRAME_MAX_PAYLOAD
 *   4       1     kind, an AForkFrameKind
 *   5       1     flags, AForkFrameFlags
 *   6       2     how many descriptors belong to the frame
 *   8       …     payload, laid out as the kind's fields (afork-frame.c has the table)
 *
 * Integers are little-endian and of fixed width, so the two ends may be different machines.
 * Within a payload a string is its length as 32 bits, its bytes, and one NUL that the length
 * does not count; no string holds a NUL of its own. An array of strings is a count as 32 bits
 * and that many strings. Bytes, always the last field, are whatever is left.
 *
 * Descriptors do not travel in the payload. Those of a frame ride, as SCM_RIGHTS, on the first
 * byte of the sendmsg() that carries the frame's first byte, or on that of an earlier one; a
 * receiver puts what arrives in a queue, and each frame takes its own from the front.
 *
 * These functions do no input or output and allocate no memory. They are async-signal-safe.
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both sides must agree on it; it changes whenever a frame of the same kind changes, and whenever
 * there is a new kind that a side of the version before would refuse. */
#define AFORK_WIRE_VERSION 2

/* The first field of HELLO: what tells a server from any other program. */
#define AFORK_WIRE_MAGIC "AFork"

#define AFORK_FRAME_HEADER_SIZE 8
#define AFORK_FRAME_MAX_PAYLOAD (1024 * 1024)

/* Linux refuses more than this many descriptors in one message (SCM_MAX_FD in net/scm.h). */
#define AFORK_FRAME_MAX_FDS 253

/* Items of bytes are cut into frames of at most this, so that a frame fits the socket's buffer. */
#define AFORK_FRAME_PIECE_SIZE (64 * 1024)

typedef enum
{
  /* From the caller to the server. */
  AFORK_FRAME_MODULE_PATH = 1,  /* array: folders that `require` searches first */
  AFORK_FRAME_TITLE,            /* string: what ps shows */
  AFORK_FRAME_SETENV,           /* string: name; string: value */
  AFORK_FRAME_UNSETENV,         /* string: name */
  AFORK_FRAME_CHDIR,            /* string: path */
  AFORK_FRAME_MAP_FD,           /* u32: target; one descriptor */
  AFORK_FRAME_REQUIRE,          /* string: module */
  AFORK_FRAME_EVAL,             /* string: code; array: arguments */
  AFORK_FRAME_CALL,             /* string: function; array: arguments */
  AFORK_FRAME_ITEM_BYTES,       /* bytes; with AFORK_FRAME_MORE the item goes on */
  AFORK_FRAME_ITEM_FDS,         /* one or more descriptors, an item each */
  AFORK_FRAME_FORK,             /* u32: the fork's number; one descriptor, its socket */
  AFORK_FRAME_RUN,              /* string: function; string: title */
  AFORK_FRAME_EXPECT,           /* string: function that forks will be told to run. A hint */
  AFORK_FRAME_EXEC,             /* array: program and arguments; one descriptor, a socket */
  AFORK_FRAME_DEATH_PIPE,       /* one descriptor, a pipe that ends with the caller */
  AFORK_FRAME_DETACH,           /* answered by READY; then the socket is another caller's */
  AFORK_FRAME_IDENTIFY,         /* u32: version. That other caller's first frame */
  AFORK_FRAME_RUN_FUNC,         /* string: object; u32, u32: offset, low first; string: title */
  AFORK_FRAME_LIBRARY,          /* string: path of the caller's AFork library. A hint */
  AFORK_FRAME_SIGNAL,           /* u32: the fork's number; u32: signal. Answered by SIGNALED */
  AFORK_FRAME_DISOWN,           /* u32: the fork's number: SIGNAL does not reach it any more */
  AFORK_FRAME_LEAVE,            /* no more commands come, but SIGNAL and DISOWN do */

  /* From the server to the caller. */
  AFORK_FRAME_HELLO = 64,       /* string: magic; u32: version. An executed server's first frame */
  AFORK_FRAME_FORKED,           /* a fork's first frame, unless one of the next two comes first */
  AFORK_FRAME_READY,            /* the function is about to be entered; raw bytes follow */
  AFORK_FRAME_ERROR,            /* u32: AForkWireError; string: text. The server ends itself */
  AFORK_FRAME_FORK_FAILED,      /* u32: the fork's number; u32: AForkWireError; string: text */
  AFORK_FRAME_EXITED,           /* u32: the fork's number; then AForkExitReport's fields */
  AFORK_FRAME_SIGNALED,         /* u32: the fork's number; u32: 0, or why not, as an errno */
  AFORK_FRAME_NO_PIDFD,         /* FORKED or READY comes next, without a pidfd: there are none */
} AForkFrameKind;

/* SIGNAL is for a caller that may not signal the process itself. The fork's parent finds it among
 * the forks that it has not reaped, by the number that the caller gave it, so the signal cannot
 * reach any other process. The answers are ESRCH for a fork that it does not have, EPERM for one
 * that was disowned or that it may not signal either, and EINVAL where there is no such signal:
 * numbers that all machines agree on. */

/* After LEAVE the server exits as soon as it has no forks left that it has to reap. */

/* After EXEC, READY says that the program is about to be executed. The socket that came with EXEC
 * is close-on-exec: if it ends, the program was executed; if ERROR comes on it, it was not. */

/* From DEATH_PIPE on, the server is killed with all of its process group, in which are its forks,
 * when the pipe ends. */

/* After IDENTIFY, the server introduces itself as a fork does. */

/* Which descriptors FORKED, READY and ERROR have: the first of them that a forked process sends
 * comes with its own pidfd, unless NO_PIDFD came before it. READY has one more, after that, where
 * the process has forks of its own that live: a socket on which their ends are reported, since the
 * function now owns the command socket. That READY is of one more fork, and the process itself was
 * heard of before. */

typedef enum
{
  AFORK_FRAME_MORE = 1 << 0,
} AForkFrameFlags;

/* Why a server could not do as told. The values are of the wire; the caller's side maps them to
 * AForkError. Also, plus AFORK_EXIT_BASE, what the process then exits with. */
typedef enum
{
  AFORK_WIRE_ERROR_FAILED = 0,
  AFORK_WIRE_ERROR_PROTOCOL,
  AFORK_WIRE_ERROR_MODULE,
  AFORK_WIRE_ERROR_EVAL,
  AFORK_WIRE_ERROR_FUNCTION,
  AFORK_WIRE_ERROR_THREADS,
  AFORK_WIRE_ERROR_SANDBOX,
  AFORK_WIRE_ERROR_NOT_SUPPORTED,
  AFORK_WIRE_ERROR_SPAWN,
} AForkWireError;

#define AFORK_EXIT_BASE 110

/* The caller numbers the forks that it asks for from 1. This one goes on as the worker where a
 * process that has forks is run: somebody must reap these, so the process itself stays. */
#define AFORK_WORKER_NUMBER 0

/* A wait status that stands for: it has ended, but not even its template could learn how. */
#define AFORK_EXIT_UNKNOWN UINT32_MAX

/* How a fork ended. */
typedef struct
{
  uint32_t pid;             /* as the reporting template sees it */
  uint32_t wait_status;     /* as waitpid() has it */
  uint64_t user_usec;       /* processor time, in microseconds */
  uint64_t system_usec;
  uint64_t max_rss_kib;     /* largest resident set, in KiB */
} AForkExitReport;

/* Strings one behind the other, as they lie in a payload. */
typedef struct
{
  uint32_t       n_strings;
  const uint8_t *bytes;     /* n_bytes of length, characters and NUL, already checked */
  size_t         n_bytes;
} AForkStrings;

/* A frame, taken apart. Which fields mean something depends on the kind; the others are zero.
 * Pointers lead into the bytes that were parsed, or to the writer's own. */
typedef struct
{
  AForkFrameKind  kind;
  uint8_t         flags;
  uint16_t        n_fds;
  uint32_t        number[2];
  const char     *string[2];
  AForkStrings    strings;
  AForkExitReport exit;
  const uint8_t  *bytes;
  size_t          n_bytes;
} AForkFrame;

typedef enum
{
  AFORK_FRAME_OK,
  AFORK_FRAME_TRUNCATED,    /* so far it is right, but more bytes must come */
  AFORK_FRAME_INVALID,
} AForkFrameResult;

/* Takes the first frame of BYTES apart. *SIZE becomes how many bytes it has, header included:
 * of the whole frame once the header is there, else of the header. With AFORK_FRAME_INVALID, *WHY
 * is a sentence without an end. An invalid header is told before its payload has come. */
AForkFrameResult afork_frame_parse        (const uint8_t     *bytes,
                                           size_t             n_bytes,
                                           AForkFrame        *frame,
                                           size_t            *size,
                                           const char       **why);

/* How many bytes FRAME has when written, header included, or 0 if it is over
 * AFORK_FRAME_MAX_PAYLOAD. */
size_t           afork_frame_size         (const AForkFrame  *frame);

/* Writes FRAME to OUT, which must have afork_frame_size() bytes. */
void             afork_frame_write        (const AForkFrame  *frame,
                                           uint8_t           *out);

/* Writes only the header of a frame of bytes, which the caller sends behind it. */
void             afork_frame_write_header (AForkFrameKind     kind,
                                           uint8_t            flags,
                                           uint16_t           n_fds,
                                           uint32_t           n_bytes,
                                           uint8_t            out[AFORK_FRAME_HEADER_SIZE]);

/* For strings that are to be written: their size, and the bytes themselves. STRINGS ends with
 * NULL; NULL instead of an array means none. */
size_t           afork_strings_size       (const char * const *strings,
                                           uint32_t           *n_strings);
void             afork_strings_write      (const char * const *strings,
                                           uint8_t            *out);

/* The next of STRINGS, which is shortened by it, or NULL. */
const char      *afork_strings_next       (AForkStrings      *strings);

/* What the kind is called in messages, or NULL if there is no such kind. */
const char      *afork_frame_kind_name    (AForkFrameKind     kind);

#ifdef __cplusplus
}
#endif
