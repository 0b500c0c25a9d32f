/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The outbox of a worker that serves calls: memory in which it gathers what it sends, and of which
 * its caller has a descriptor. What a worker has gathered when a crash ends it is not lost: the
 * caller reads it there.
 *
 * The caller makes it, of a fixed size, and sends the descriptor with OUTBOX. It never maps it, and
 * reads it once, when the worker has ended.
 *
 * It begins with a header. Behind that stand bytes of the stream that the worker sends, from `base`
 * on. Those of them that are sent already stay there. Words of the header are written in this
 * order, each with a release store, so that at no moment they say what is not so:
 *
 *   size = 0; base = …; the bytes; size = …
 *
 * Both are processes of one machine, so integers are the machine's own. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct
{
  uint64_t base;      /* where in the stream the first byte behind the header stands */
  uint32_t size;      /* how many bytes behind the header are of whole frames */
  uint32_t begun;     /* the number of the call whose function was entered last, or 0 */
  uint32_t in_use;    /* 1: the worker has taken the outbox, and the rest means something */
  uint32_t zeros[11]; /* the bytes have a cache line of their own */
} AForkCallOutboxHeader;

#define AFORK_CALL_OUTBOX_HEADER_SIZE 64

/* How large an outbox is, in bytes: of a worker that serves one call at a time, and of one that
 * serves many. */
#define AFORK_CALL_OUTBOX_SIZE (36u * 1024)
#define AFORK_CALL_OUTBOX_CONCURRENT_SIZE (1028u * 1024)

/* What the caller has to read. */
typedef struct
{
  bool     in_use;
  uint32_t begun;
  size_t   offset;    /* in the outbox */
  size_t   size;      /* 0 if all has come */
} AForkCallOutboxRest;

/* Takes HEADER, of an outbox of SIZE bytes, apart, when N_RECEIVED bytes of the stream have come.
 * False if it cannot be right, and then *WHY is a sentence without an end. */
bool afork_call_outbox_parse (const AForkCallOutboxHeader  *header,
                              size_t                        size,
                              uint64_t                      n_received,
                              AForkCallOutboxRest          *rest,
                              const char                  **why);

#ifdef __cplusplus
}
#endif
