/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The outbox of a worker that serves calls: shared memory in which the worker gathers its output.
 * If the worker crashes, the caller reads from there what was not sent.
 *
 * The caller makes the outbox, which has a fixed size, and sends a descriptor of it with OUTBOX.
 * The caller never maps it, and reads it once, after the worker has exited.
 *
 * It starts with a header. Bytes of the worker's stream follow, from `base` on; some of them may
 * have been sent already. The worker writes in this order, each word with a release store, so that
 * the header is correct at any moment:
 *
 *   size = 0; base = …; the bytes; size = …
 *
 * Both processes are on one machine, so integers are in its byte order. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct
{
  uint64_t base;      /* the offset in the stream of the first byte after the header */
  uint32_t size;      /* bytes of whole frames after the header */
  uint32_t begun;     /* number of the call whose function was entered last, or 0 */
  uint32_t in_use;    /* 1 when the worker uses the outbox; until then ignore the rest */
  uint32_t zeros[11]; /* so that the bytes start a cache line */
} AForkCallOutboxHeader;

#define AFORK_CALL_OUTBOX_HEADER_SIZE 64

/* The size of an outbox in bytes, for a worker that serves one call at a time and for one that
 * serves many. */
#define AFORK_CALL_OUTBOX_SIZE (36u * 1024)
#define AFORK_CALL_OUTBOX_CONCURRENT_SIZE (1028u * 1024)

/* What the caller must read from an outbox. */
typedef struct
{
  bool     in_use;
  uint32_t begun;
  size_t   offset;    /* in the outbox */
  size_t   size;      /* 0 if all was sent */
} AForkCallOutboxRest;

/* Parses HEADER of an outbox of SIZE bytes, after N_RECEIVED bytes of the stream were received.
 * Returns false if it is invalid, and then sets *WHY to the reason, a sentence without a full
 * stop. Async-signal-safe. */
bool afork_call_outbox_parse (const AForkCallOutboxHeader  *header,
                              size_t                        size,
                              uint64_t                      n_received,
                              AForkCallOutboxRest          *rest,
                              const char                  **why);

#ifdef __cplusplus
}
#endif
