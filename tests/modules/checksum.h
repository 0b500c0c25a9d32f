/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a worker sends instead of the bytes that it got. */

#pragma once

#include <stddef.h>
#include <stdint.h>

/* FNV-1a, for eight bytes at a time and then for the rest. */
static inline uint64_t
checksum (const void *data,
          size_t      size)
{
  const uint64_t prime = UINT64_C (0x100000001b3);
  const uint8_t *bytes = data;
  uint64_t sum = UINT64_C (0xcbf29ce484222325);

  for (; size >= sizeof sum; size -= sizeof sum, bytes += sizeof sum)
    {
      uint64_t word;

      __builtin_memcpy (&word, bytes, sizeof word);
      sum = (sum ^ word) * prime;
    }
  for (; size > 0; size--)
    sum = (sum ^ *bytes++) * prime;

  return sum;
}
