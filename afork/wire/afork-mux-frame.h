/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The messages between a relay, which stands beside the caller, and an agent on another host, as
 * bytes. They carry many channels over one connection, which may be made of pipes, sockets or
 * pseudo-terminals.
 *
 * The agent first sends AFORK_MUX_MAGIC, before which anything may come, such as the output of the
 * start-up files of a shell. Then both send frames: a header of eight bytes and a payload.
 *
 *   offset  size
 *   0       4     channel
 *   4       2     payload bytes, at most AFORK_MUX_MAX_PAYLOAD
 *   6       1     kind, an AForkMuxKind
 *   7       1     zero
 *   8       …     payload
 *
 * Integers are little-endian and of fixed width. A string is its length as 32 bits, its bytes, and
 * one NUL that the length does not count; a string contains no NUL.
 *
 * A channel is a socket at each end. Channel 0 exists from the start: it is a command socket for
 * which the agent is the server, and its FORK executes a server there. A channel that carries a
 * command socket starts with frames of that, without descriptors. A frame that names a descriptor
 * follows an OPEN, which makes a new channel: each end makes a socket pair, keeps one socket, and
 * passes the other on with the frame.
 *
 * A side sends DATA on a channel only while it has credit: AFORK_MUX_WINDOW bytes at first, and
 * what CREDIT adds. So what a side has to keep for a channel is bounded. The frames of a command
 * socket may exceed the credit by AFORK_MUX_SLACK bytes, because they are changed on the way.
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

/* Both sides must have the same version. It changes when the layout of a kind changes, or when
 * there is a new kind. The magic and the first number of HELLO never change. */
#define AFORK_MUX_VERSION 2

#define AFORK_MUX_MAGIC "[AFork agent ready]\n"
#define AFORK_MUX_MAGIC_SIZE (sizeof AFORK_MUX_MAGIC - 1)

#define AFORK_MUX_HEADER_SIZE 8
#define AFORK_MUX_MAX_PAYLOAD (16 * 1024)

/* The largest string in a frame, in bytes: as long as a path may be. */
#define AFORK_MUX_MAX_STRING 4095

#define AFORK_MUX_WINDOW (512 * 1024)
#define AFORK_MUX_SLACK 4096

/* The agent numbers the channels that it opens from this on, and the relay its own from 1. */
#define AFORK_MUX_AGENT_CHANNEL 0x80000000u

typedef enum
{
  AFORK_MUX_HELLO = 1,      /* channel 0; the agent's first frame: see AForkMuxHello */
  AFORK_MUX_START,          /* channel 0; the relay's first frame. u32: version; u32: the time in
                             * milliseconds after which silence ends the connection, 0 for none;
                             * string: the name of the runtime whose servers are executed; string:
                             * the path or name of its interpreter, or empty for the agent's */
  AFORK_MUX_PING,           /* channel 0. Nothing: the sender lives */
  AFORK_MUX_OPEN,           /* a new channel. u32: the channel whose next frame names its socket;
                             * u32: the number of the fork that gets it, or 0 */
  AFORK_MUX_DATA,           /* bytes, one at least */
  AFORK_MUX_END,            /* no more DATA follows on this channel in this direction */
  AFORK_MUX_CREDIT,         /* u32: as many more bytes may be sent on this channel */
  AFORK_MUX_STOP,           /* nothing reads this channel any more: DATA would be dropped. The
                             * reply is END */
} AForkMuxKind;

/* The byte order of a machine. */
typedef enum
{
  AFORK_MUX_LITTLE_ENDIAN = 1,
  AFORK_MUX_BIG_ENDIAN = 2,
} AForkMuxByteOrder;

/* The fields of a frame. Those that its kind does not have are zero. Pointers are into the bytes
 * that were parsed, or to memory of the writer. */
typedef struct
{
  AForkMuxKind   kind;
  uint32_t       channel;
  /* HELLO: the version of these frames, that of the frames of command sockets, the size of a
   * pointer in bytes, and the byte order. Others: see AForkMuxKind. */
  uint32_t       number[4];
  /* HELLO: the machine as uname(2) names it, and the host name. START: see AForkMuxKind. */
  const char    *string[2];
  const uint8_t *bytes;       /* DATA */
  size_t         n_bytes;
} AForkMuxFrame;

typedef enum
{
  AFORK_MUX_OK,
  AFORK_MUX_TRUNCATED,      /* valid so far, but more bytes must come */
  AFORK_MUX_INVALID,
} AForkMuxResult;

/* Parses the first frame of BYTES. Sets *SIZE to its size with the header, or to the size of the
 * header if that is not complete. If the frame is invalid, sets *WHY to the reason, a sentence
 * without a full stop. An invalid header is found before its payload has come. */
AForkMuxResult afork_mux_frame_parse    (const uint8_t        *bytes,
                                         size_t                n_bytes,
                                         AForkMuxFrame        *frame,
                                         size_t               *size,
                                         const char          **why);

/* Returns the size of FRAME with the header. Its strings and bytes must not be too long. */
size_t         afork_mux_frame_size     (const AForkMuxFrame  *frame);

/* Writes FRAME to OUT, which has room for afork_mux_frame_size() bytes. */
void           afork_mux_frame_write    (const AForkMuxFrame  *frame,
                                         uint8_t              *out);

/* Returns the name of KIND for messages, or NULL if there is no such kind. */
const char    *afork_mux_kind_name      (AForkMuxKind          kind);

/* Returns the byte order of this machine. */
AForkMuxByteOrder afork_mux_byte_order  (void);

#ifdef __cplusplus
}
#endif
