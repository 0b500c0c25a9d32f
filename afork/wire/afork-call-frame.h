/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What goes between a caller and a worker that serves calls, as bytes.
 *
 * A frame is a header of 16 bytes, a payload, and zeros up to a multiple of eight bytes, so that in
 * aligned memory every frame, and every value in one, is aligned:
 *
 *   offset  size
 *   0       4     payload bytes, at most AFORK_CALL_FRAME_MAX_PAYLOAD, without the zeros
 *   4       1     kind, an AForkCallFrameKind
 *   5       1     flags, AForkCallFrameFlags
 *   6       2     how many descriptors come with the frame
 *   8       4     number: of the call, from 1; 0 where none is meant
 *   12      2     bytes of the value's type string, with its NUL
 *   14      2     how many blobs belong to the value
 *   16      …     payload
 *
 * Integers are little-endian and of fixed width. The payload of a frame that carries a value is,
 * one behind the other: 16 bytes for each blob (32 bits: its segment, or AFORK_BLOB_…; 32 bits:
 * zero; 64 bits: its size), the type string padded with zeros to a multiple of eight bytes, and the
 * serialized value up to the end. Other strings are their length as 32 bits, their bytes, and one
 * NUL that the length does not count.
 *
 * Descriptors ride, as SCM_RIGHTS, on the first byte of the sendmsg() that carries the frame's
 * first byte, or on that of an earlier one; a receiver puts what arrives in a queue, and each frame
 * takes its own from the front.
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

/* Both sides must agree on it; it changes whenever a frame of the same kind changes. */
#define AFORK_CALL_WIRE_VERSION 2

#define AFORK_CALL_FRAME_HEADER_SIZE 16
#define AFORK_CALL_FRAME_MAX_PAYLOAD (1024u * 1024 * 1024)
#define AFORK_CALL_FRAME_MAX_TYPE 65534     /* characters of a type string */
#define AFORK_CALL_FRAME_MAX_ERROR (5u * 1024 * 1024)     /* bytes of the payload of FAILED */

/* Linux refuses more than this many descriptors in one message (SCM_MAX_FD in net/scm.h). */
#define AFORK_CALL_FRAME_MAX_FDS 253

/* What belongs to one value, over all its frames. */
#define AFORK_CALL_MAX_FDS 1024
#define AFORK_CALL_MAX_BLOBS 1024
#define AFORK_CALL_MAX_BLOB_BYTES (1024u * 1024 * 1024)   /* together, however they come */

typedef enum
{
  /* From the caller to the worker. */
  AFORK_CALL_FRAME_SETUP = 1,   /* number: version; strings: function, init-function, done-function,
                                 * empty if none. The first frame */
  AFORK_CALL_FRAME_CALL,        /* a value: arguments */
  AFORK_CALL_FRAME_CANCEL,      /* the answer of this call is no longer wanted */
  AFORK_CALL_FRAME_OUTBOX,      /* one descriptor: what the worker gathers what it sends in, see
                                 * afork-call-outbox.h. At most one comes. A worker without one
                                 * tells BEGUN of every call, and sends all it has before each */

  /* From the worker to the caller. */
  AFORK_CALL_FRAME_STARTED = 64,  /* the init-function has returned */
  AFORK_CALL_FRAME_BEGUN,       /* the function is about to be entered for this call */
  AFORK_CALL_FRAME_PROGRESS,    /* a value, of this call */
  AFORK_CALL_FRAME_EVENT,       /* a value, of no call */
  AFORK_CALL_FRAME_RESULT,      /* a value: the answer of this call */
  AFORK_CALL_FRAME_FAILED,      /* 32 bits: code; strings: domain, message. The answer of this call,
                                 * or, of number 0, of SETUP: the worker then ends */

  /* Either way, before the frame of the value that they belong to. */
  AFORK_CALL_FRAME_FDS = 128,   /* its first descriptors, as many as come with this frame */
  AFORK_CALL_FRAME_BLOB,        /* its next blob that comes in the stream, or a piece of it */

  /* Either way. */
  AFORK_CALL_FRAME_SEGMENT,     /* number: of a segment; 64 bits: its size; one descriptor */
  AFORK_CALL_FRAME_SEGMENT_END, /* number: of a segment that will not be used again */
  AFORK_CALL_FRAME_RELEASE,     /* number: of a segment of the other side; it may be used again */
} AForkCallFrameKind;

typedef enum
{
  AFORK_CALL_FRAME_CONCURRENT = 1 << 0,   /* SETUP: the function answers later */
  AFORK_CALL_FRAME_UNTRUSTED = 1 << 1,    /* SETUP: no segments from the worker */
  AFORK_CALL_FRAME_NOTIFY_BEGIN = 1 << 2, /* CALL: BEGUN is wanted */
  AFORK_CALL_FRAME_MORE = 1 << 3,         /* BLOB: it goes on */
  AFORK_CALL_FRAME_NO_MEMORY = 1 << 4,    /* SETUP: neither segments nor sealed memfds, either */
  AFORK_CALL_FRAME_NO_FDS = 1 << 5,       /* SETUP: no descriptors at all, which do not arrive */
} AForkCallFrameFlags;

/* How a blob comes, where not in a segment. */
#define AFORK_BLOB_INLINE 0u            /* by BLOB frames */
#define AFORK_BLOB_SEALED UINT32_MAX    /* as one of the frame's last descriptors, a sealed memfd */

/* A frame, taken apart. What does not belong to its kind is zero. Pointers lead into the bytes that
 * were parsed, or to the writer's own. */
typedef struct
{
  AForkCallFrameKind  kind;
  uint8_t             flags;
  uint16_t            n_fds;
  uint32_t            number;
  uint16_t            n_blobs;
  const uint8_t      *blobs;      /* to be read by afork_call_frame_get_blob() */
  const char         *type;       /* of the value */
  const uint8_t      *data;       /* of the value, or of a piece of a blob */
  size_t              size;
  uint64_t            segment_size;
  int32_t             code;
  const char         *string[3];
} AForkCallFrame;

typedef enum
{
  AFORK_CALL_FRAME_OK,
  AFORK_CALL_FRAME_TRUNCATED,   /* so far it is right, but more bytes must come */
  AFORK_CALL_FRAME_INVALID,
} AForkCallFrameResult;

/* Takes the first frame of BYTES apart. *SIZE becomes how many bytes it has, header and zeros
 * included: of the whole frame once the header is there, else of the header. With
 * AFORK_CALL_FRAME_INVALID, *WHY is a sentence without an end. An invalid header is told before its
 * payload has come. */
AForkCallFrameResult afork_call_frame_parse     (const uint8_t         *bytes,
                                                 size_t                 n_bytes,
                                                 AForkCallFrame        *frame,
                                                 size_t                *size,
                                                 const char           **why);

/* The INDEXth blob of a frame that was parsed. */
void                 afork_call_frame_get_blob  (const AForkCallFrame  *frame,
                                                 size_t                 index,
                                                 uint32_t              *segment,
                                                 uint64_t              *size);

/* How many bytes FRAME has without its `data` and the zeros behind that, or 0 if the whole of it is
 * over what its kind can have. `blobs` is not written, but room is left for `n_blobs`. */
size_t               afork_call_frame_head_size (const AForkCallFrame  *frame);

/* How many zeros stand behind the data of FRAME. */
size_t               afork_call_frame_padding   (const AForkCallFrame  *frame);

/* Writes these bytes of FRAME to OUT; the data, and afork_call_frame_padding() zeros, the caller
 * sends behind them. */
void                 afork_call_frame_write     (const AForkCallFrame  *frame,
                                                 uint8_t               *out);

/* Fills in the INDEXth blob of a frame that was written to OUT. */
void                 afork_call_frame_set_blob  (uint8_t               *out,
                                                 size_t                 index,
                                                 uint32_t               segment,
                                                 uint64_t               size);

/* What the kind is called in messages, or NULL if there is no such kind. */
const char          *afork_call_frame_kind_name (AForkCallFrameKind     kind);

#ifdef __cplusplus
}
#endif
