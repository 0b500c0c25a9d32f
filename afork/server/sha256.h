/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* SHA-256, as FIPS 180-4 describes it. All functions are async-signal-safe. */

#pragma once

#include <stddef.h>
#include <stdint.h>

enum
{
  AFORK_SHA256_BLOCK_SIZE = 64,
  AFORK_SHA256_SIZE = 32,
  /* In hexadecimal digits, with the NUL. */
  AFORK_SHA256_TEXT_SIZE = 2 * AFORK_SHA256_SIZE + 1,
};

typedef struct
{
  uint32_t state[8];
  uint64_t n_bytes;             /* so far */
  uint8_t  block[AFORK_SHA256_BLOCK_SIZE];      /* the bytes that do not fill a block yet */
} AForkSha256;

void afork_sha256_init   (AForkSha256 *self);
void afork_sha256_add    (AForkSha256 *self,
                          const void  *bytes,
                          size_t       n_bytes);

/* Writes the sum of all bytes to TEXT, in lower case. SELF can only be initialized again then. */
void afork_sha256_finish (AForkSha256 *self,
                          char         text[AFORK_SHA256_TEXT_SIZE]);
