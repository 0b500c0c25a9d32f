/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The messages on a command socket, as bytes.
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
 * does not count; a string contains no NUL. An array of strings is a count as 32 bits and that
 * many strings. Bytes are always the last field, and are the rest of the payload.
 *
 * Descriptors are not in the payload. They are sent as SCM_RIGHTS, with the sendmsg() that sends
 * the first byte of the frame or with an earlier one. A receiver queues those that arrive, and each
 * frame takes its own from the front.
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

/* Both sides must have the same version. It changes when the layout of a kind changes, and when
 * there is a new kind that the previous version would refuse. */
#define AFORK_WIRE_VERSION 7

/* The first field of HELLO, by which a caller recognizes a server. */
#define AFORK_WIRE_MAGIC "AFork"

#define AFORK_FRAME_HEADER_SIZE 8
#define AFORK_FRAME_MAX_PAYLOAD (1024 * 1024)

/* Linux refuses more descriptors than this in one message (SCM_MAX_FD in net/scm.h). */
#define AFORK_FRAME_MAX_FDS 253

/* Items of bytes are sent in pieces of this size at most, so that a frame fits into the socket's
 * buffer. */
#define AFORK_FRAME_PIECE_SIZE (64 * 1024)

typedef enum
{
  /* From the caller to the server. */
  AFORK_FRAME_MODULE_PATH = 1,  /* array: directories that `require` searches first */
  AFORK_FRAME_TITLE,            /* string: what ps shows */
  AFORK_FRAME_SETENV,           /* string: name; string: value */
  AFORK_FRAME_UNSETENV,         /* string: name */
  AFORK_FRAME_CHDIR,            /* string: path */
  AFORK_FRAME_MAP_FD,           /* u32: target; one descriptor */
  AFORK_FRAME_REQUIRE,          /* string: module */
  AFORK_FRAME_EVAL,             /* string: code; array: arguments */
  AFORK_FRAME_CALL,             /* string: function; array: arguments */
  AFORK_FRAME_ITEM_BYTES,       /* bytes; see AForkFrameFlags */
  AFORK_FRAME_ITEM_FDS,         /* one or more descriptors, an item each */
  AFORK_FRAME_FORK,             /* u32: the fork's number; one descriptor, its socket */
  AFORK_FRAME_RUN,              /* string: function; string: title */
  AFORK_FRAME_LOOK_UP,          /* string: a function that forks will probably run. A hint */
  AFORK_FRAME_EXEC,             /* array: program and arguments; one descriptor, a socket */
  AFORK_FRAME_DEATH_PIPE,       /* one descriptor, a pipe that ends with the caller */
  AFORK_FRAME_DETACH,           /* the reply is READY; then another caller uses the socket */
  AFORK_FRAME_IDENTIFY,         /* u32: version. The first frame of that other caller */
  AFORK_FRAME_RUN_FUNC,         /* string: object; u32, u32: offset, low first; string: title */
  AFORK_FRAME_LIBRARY,          /* string: path of the caller's AFork library. A hint */
  AFORK_FRAME_SIGNAL,           /* u32: the fork's number; u32: signal. The reply is SIGNALED */
  AFORK_FRAME_DISOWN,           /* u32: the fork's number. SIGNAL fails for it from now on */
  AFORK_FRAME_LEAVE,            /* only SIGNAL, DISOWN and MEASURE may follow */
  AFORK_FRAME_MEASURE,          /* u32: the fork's number. The reply is MEASURED */
  AFORK_FRAME_RESTRICT,         /* bytes: see afork-confinement.h */
  AFORK_FRAME_REQUIRE_FILE,     /* string: path of a module's file; string: its name. For a server
                                 * on another host, a relay sends FILE or FAIL instead */
  AFORK_FRAME_FILE,             /* string: name; string: SHA-256 of the content, in hexadecimal;
                                 * u32, u32: its size, low first. The reply is FILE_WANTED */
  AFORK_FRAME_FILE_BYTES,       /* bytes: the next of the content, one at least */
  AFORK_FRAME_FAIL,             /* u32: AForkWireError; string: text. A command for this server has
                                 * failed before it came here */

  /* From the server to the caller. */
  AFORK_FRAME_HELLO = 64,       /* string: magic; u32: version. An executed server's first frame */
  AFORK_FRAME_FORKED,           /* a fork's first frame, unless one of the next two comes first */
  AFORK_FRAME_READY,            /* the function is about to be entered. The socket is its own now */
  AFORK_FRAME_ERROR,            /* u32: AForkWireError; string: text. The server then exits */
  AFORK_FRAME_FORK_FAILED,      /* u32: the fork's number; u32: AForkWireError; string: text */
  AFORK_FRAME_EXITED,           /* u32: the fork's number; then AForkExitReport's fields */
  AFORK_FRAME_SIGNALED,         /* u32: the fork's number; u32: 0, or an errno value */
  AFORK_FRAME_NO_PIDFD,         /* FORKED or READY follows without a pidfd: the system has none */
  AFORK_FRAME_MEASURED,         /* u32: the fork's number; u32: resident memory in KiB, or 0 */
  AFORK_FRAME_CONFINED,         /* bytes: see afork-confinement.h. READY follows */
  AFORK_FRAME_REFUSED,          /* u32: the fork's number; u32: the system call that has ended it.
                                 * EXITED follows */
  AFORK_FRAME_REMOTE,           /* u32: a pid. FORKED, READY or ERROR follows without a pidfd: the
                                 * process is on another host, where it has this pid */
  AFORK_FRAME_FILE_WANTED,      /* u32: 1 if FILE_BYTES have to follow, 0 if the server has them */
} AForkFrameKind;

/* SIGNAL is for a caller that may not signal the process itself. The parent looks for the number
 * among the forks that it has not reaped, so the signal cannot reach another process. It replies
 * ESRCH for a fork that it does not have, EPERM for one that was disowned or that it may not signal
 * either, and EINVAL for an invalid signal. These errno values are the same on all machines. */

/* MEASURE asks for the resident memory of a fork. The parent looks for the number as with SIGNAL,
 * and replies 0 for a fork that it does not have, or that was disowned or has exited, and where
 * /proc does not show it. */

/* After LEAVE, the server exits when it has reaped all its forks. */

/* After FILE_WANTED with 1, only FILE_BYTES follow until all of the content has come, or FAIL. Then
 * the server loads the module. */

/* After EXEC, READY means that the program is about to be executed. The socket that came with EXEC
 * is close-on-exec: its end means that the program was executed, and ERROR on it that it was
 * not. */

/* After DEATH_PIPE, the kernel kills the server and its process group, which includes its forks,
 * when the pipe ends. */

/* After IDENTIFY, the server sends its pidfd as a fork does. */

/* The descriptors of FORKED, READY and ERROR: the first of these that a forked process sends comes
 * with its own pidfd, unless NO_PIDFD came before it. If the process has forks that live, another
 * fork of it becomes the worker and sends READY, which then has one more descriptor: a socket on
 * which the process, which was reported before, reports its forks. */

/* Flags of ITEM_BYTES. */
typedef enum
{
  AFORK_FRAME_MORE   = 1 << 0,  /* more of the item follows in the next frame */
  AFORK_FRAME_STRING = 1 << 1,  /* the item is a string. Only the first frame of an item says so */
} AForkFrameFlags;

/* Why a command failed. The caller maps these values to AForkError. The process exits with the
 * value plus AFORK_EXIT_BASE. */
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
  AFORK_WIRE_ERROR_HOST_LOST,
} AForkWireError;

#define AFORK_EXIT_BASE 110

/* The caller numbers the forks that it asks for from 1. This is the number of the fork that becomes
 * the worker when a process that has forks is run: the process itself stays to reap them. */
#define AFORK_WORKER_NUMBER 0

/* The wait status of a process that has exited when its parent could not learn how. */
#define AFORK_EXIT_UNKNOWN UINT32_MAX

/* How a fork ended. */
typedef struct
{
  uint32_t pid;             /* in the PID namespace of the parent */
  uint32_t wait_status;     /* as from waitpid() */
  uint64_t user_usec;       /* processor time, in microseconds */
  uint64_t system_usec;
  uint64_t max_rss_kib;     /* largest resident set, in KiB */
} AForkExitReport;

/* An array of strings as it is in a payload. */
typedef struct
{
  uint32_t       n_strings;
  const uint8_t *bytes;     /* for each string its length, bytes and NUL; checked */
  size_t         n_bytes;
} AForkStrings;

/* The fields of a frame. Those that its kind does not have are zero. Pointers are into the bytes
 * that were parsed, or to memory of the writer. */
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
  AFORK_FRAME_TRUNCATED,    /* valid so far, but more bytes must come */
  AFORK_FRAME_INVALID,
} AForkFrameResult;

/* Parses the first frame of BYTES. Sets *SIZE to its size with the header, or to the size of the
 * header if that is not complete. If the frame is invalid, sets *WHY to the reason, a sentence
 * without a full stop. An invalid header is found before its payload has come. */
AForkFrameResult afork_frame_parse        (const uint8_t     *bytes,
                                           size_t             n_bytes,
                                           AForkFrame        *frame,
                                           size_t            *size,
                                           const char       **why);

/* Returns the size of FRAME with the header, or 0 if the payload would be larger than
 * AFORK_FRAME_MAX_PAYLOAD. */
size_t           afork_frame_size         (const AForkFrame  *frame);

/* Writes FRAME to OUT, which has room for afork_frame_size() bytes. */
void             afork_frame_write        (const AForkFrame  *frame,
                                           uint8_t           *out);

/* Writes the header of a frame of bytes. The caller sends the bytes after it. */
void             afork_frame_write_header (AForkFrameKind     kind,
                                           uint8_t            flags,
                                           uint16_t           n_fds,
                                           uint32_t           n_bytes,
                                           uint8_t            out[AFORK_FRAME_HEADER_SIZE]);

/* Return the size of STRINGS in a payload, and write them as `bytes` of AForkStrings. STRINGS ends
 * with NULL, or is NULL for none. */
size_t           afork_strings_size       (const char * const *strings,
                                           uint32_t           *n_strings);
void             afork_strings_write      (const char * const *strings,
                                           uint8_t            *out);

/* Returns the first string and removes it from STRINGS, or returns NULL. */
const char      *afork_strings_next       (AForkStrings      *strings);

/* Returns the name of KIND for messages, or NULL if there is no such kind. */
const char      *afork_frame_kind_name    (AForkFrameKind     kind);

#ifdef __cplusplus
}
#endif
