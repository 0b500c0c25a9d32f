/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The messages between a caller and a worker that serves calls, as bytes.
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
 * Integers are little-endian and of fixed width. The payload of a frame that carries a value is a
 * sequence: 16 bytes for each blob (32 bits: its segment, or AFORK_BLOB_…; 32 bits:
 * zero; 64 bits: its size), the type string padded with zeros to a multiple of eight bytes, and the
 * serialized value up to the end. Other strings are their length as 32 bits, their bytes, and one
 * NUL that the length does not count.
 *
 * Descriptors are sent as SCM_RIGHTS, with the sendmsg() that sends the first byte of the frame or
 * with an earlier one. A receiver queues those that arrive, and each frame takes its own from the
 * front.
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

/* Both sides must have the same version. It changes when the layout of a kind changes. */
#define AFORK_CALL_WIRE_VERSION 2

#define AFORK_CALL_FRAME_HEADER_SIZE 16
#define AFORK_CALL_FRAME_MAX_PAYLOAD (1024u * 1024 * 1024)
#define AFORK_CALL_FRAME_MAX_TYPE 65534     /* characters of a type string */
#define AFORK_CALL_FRAME_MAX_ERROR (5u * 1024 * 1024)     /* bytes of the payload of FAILED */

/* Linux refuses more descriptors than this in one message (SCM_MAX_FD in net/scm.h). */
#define AFORK_CALL_FRAME_MAX_FDS 253

/* Limits of one value, in all its frames together. */
#define AFORK_CALL_MAX_FDS 1024
#define AFORK_CALL_MAX_BLOBS 1024
#define AFORK_CALL_MAX_BLOB_BYTES (1024u * 1024 * 1024)   /* of all blobs together */

typedef enum
{
  /* From the caller to the worker. */
  AFORK_CALL_FRAME_SETUP = 1,   /* number: version; strings: function, init-function, done-function,
                                 * empty if none. The first frame */
  AFORK_CALL_FRAME_CALL,        /* a value: arguments */
  AFORK_CALL_FRAME_CANCEL,      /* the caller does not want the answer any more */
  AFORK_CALL_FRAME_OUTBOX,      /* one descriptor: the worker's outbox, see afork-call-outbox.h. At
                                 * most one comes. A worker without an outbox sends BEGUN for each
                                 * call, and sends all that it has before it begins one */

  /* From the worker to the caller. */
  AFORK_CALL_FRAME_STARTED = 64,  /* the init-function has returned */
  AFORK_CALL_FRAME_BEGUN,       /* the function is about to be entered for this call */
  AFORK_CALL_FRAME_PROGRESS,    /* a value, of this call */
  AFORK_CALL_FRAME_EVENT,       /* a value, of no call */
  AFORK_CALL_FRAME_RESULT,      /* a value: the answer of this call */
  AFORK_CALL_FRAME_FAILED,      /* 32 bits: code; strings: domain, message. The answer of this call,
                                 * or, of number 0, of SETUP: the worker then ends */
  AFORK_CALL_FRAME_RETIRE,      /* the worker asks to be replaced */

  /* In both directions, before the frame of the value. */
  AFORK_CALL_FRAME_FDS = 128,   /* the first descriptors of the value, or more of them */
  AFORK_CALL_FRAME_BLOB,        /* the next blob of the value that is sent inline, or a piece */

  /* In both directions. */
  AFORK_CALL_FRAME_SEGMENT,     /* number: of a segment; 64 bits: its size; one descriptor */
  AFORK_CALL_FRAME_SEGMENT_END, /* number: of a segment that is not used any more */
  AFORK_CALL_FRAME_RELEASE,     /* number: of a segment of the other side, which may use it again */
} AForkCallFrameKind;

typedef enum
{
  AFORK_CALL_FRAME_CONCURRENT = 1 << 0,   /* SETUP: the function answers later */
  AFORK_CALL_FRAME_UNTRUSTED = 1 << 1,    /* SETUP: no segments from the worker */
  AFORK_CALL_FRAME_NOTIFY_BEGIN = 1 << 2, /* CALL: the worker must send BEGUN */
  AFORK_CALL_FRAME_MORE = 1 << 3,         /* BLOB: more of this blob follows */
  AFORK_CALL_FRAME_NO_MEMORY = 1 << 4,    /* SETUP: no segments and no sealed memfds */
  AFORK_CALL_FRAME_NO_FDS = 1 << 5,       /* SETUP: no descriptors, because none arrive */
} AForkCallFrameFlags;

/* How a blob is sent that is not in a segment. */
#define AFORK_BLOB_INLINE 0u            /* by BLOB frames */
#define AFORK_BLOB_SEALED UINT32_MAX    /* as a sealed memfd, one of the frame's last descriptors */

/* The fields of a frame. Those that its kind does not have are zero. Pointers are into the bytes
 * that were parsed, or to memory of the writer. */
typedef struct
{
  AForkCallFrameKind  kind;
  uint8_t             flags;
  uint16_t            n_fds;
  uint32_t            number;
  uint16_t            n_blobs;
  const uint8_t      *blobs;      /* for afork_call_frame_get_blob() */
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
  AFORK_CALL_FRAME_TRUNCATED,   /* valid so far, but more bytes must come */
  AFORK_CALL_FRAME_INVALID,
} AForkCallFrameResult;

/* Parses the first frame of BYTES. Sets *SIZE to its size with header and zeros, or to the size of
 * the header if that is not complete. If the frame is invalid, sets *WHY to the reason, a sentence
 * without a full stop. An invalid header is found before its payload has come. */
AForkCallFrameResult afork_call_frame_parse     (const uint8_t         *bytes,
                                                 size_t                 n_bytes,
                                                 AForkCallFrame        *frame,
                                                 size_t                *size,
                                                 const char           **why);

/* Reads the entry of blob INDEX of a frame that was parsed. */
void                 afork_call_frame_get_blob  (const AForkCallFrame  *frame,
                                                 size_t                 index,
                                                 uint32_t              *segment,
                                                 uint64_t              *size);

/* Returns the size of FRAME without its `data` and the zeros that follow, or 0 if the whole frame
 * would be larger than its kind allows. Includes room for `n_blobs` blobs. */
size_t               afork_call_frame_head_size (const AForkCallFrame  *frame);

/* Returns the number of zeros after the data of FRAME. */
size_t               afork_call_frame_padding   (const AForkCallFrame  *frame);

/* Writes FRAME to OUT, without its data and the zeros, which the caller sends after this. Does not
 * write the blobs. */
void                 afork_call_frame_write     (const AForkCallFrame  *frame,
                                                 uint8_t               *out);

/* Writes the entry of blob INDEX of a frame that was written to OUT. */
void                 afork_call_frame_set_blob  (uint8_t               *out,
                                                 size_t                 index,
                                                 uint32_t               segment,
                                                 uint64_t               size);

/* Returns the name of KIND for messages, or NULL if there is no such kind. */
const char          *afork_call_frame_kind_name (AForkCallFrameKind     kind);

#ifdef __cplusplus
}
#endif
