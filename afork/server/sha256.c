/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "sha256.h"

#include <string.h>

static const uint32_t constants[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t
rotate (uint32_t value,
        unsigned n_bits)
{
  return value >> n_bits | value << (32 - n_bits);
}

static uint32_t
read_big_endian (const uint8_t *bytes)
{
  return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8
    | bytes[3];
}

/* The names are those of the standard. */
static void
add_block (uint32_t       state[8],
           const uint8_t *block)
{
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  uint32_t w[64];

  for (int t = 0; t < 16; t++)
    w[t] = read_big_endian (block + 4 * t);
  for (int t = 16; t < 64; t++)
    {
      const uint32_t s0 = rotate (w[t - 15], 7) ^ rotate (w[t - 15], 18) ^ w[t - 15] >> 3;
      const uint32_t s1 = rotate (w[t - 2], 17) ^ rotate (w[t - 2], 19) ^ w[t - 2] >> 10;

      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }

  for (int t = 0; t < 64; t++)
    {
      const uint32_t s1 = rotate (e, 6) ^ rotate (e, 11) ^ rotate (e, 25);
      const uint32_t s0 = rotate (a, 2) ^ rotate (a, 13) ^ rotate (a, 22);
      const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[t] + w[t];
      const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }

  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

void
afork_sha256_init (AForkSha256 *self)
{
  *self = (AForkSha256) {
    .state = {
      0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
      0x5be0cd19,
    },
  };
}

void
afork_sha256_add (AForkSha256 *self,
                  const void  *bytes,
                  size_t       n_bytes)
{
  const uint8_t *next = bytes;
  size_t n_kept = (size_t) (self->n_bytes % AFORK_SHA256_BLOCK_SIZE);

  self->n_bytes += n_bytes;
  while (n_bytes > 0)
    {
      size_t n_taken = AFORK_SHA256_BLOCK_SIZE - n_kept;

      if (n_kept == 0 && n_bytes >= AFORK_SHA256_BLOCK_SIZE)
        {
          add_block (self->state, next);
        }
      else
        {
          n_taken = n_bytes < n_taken ? n_bytes : n_taken;
          memcpy (self->block + n_kept, next, n_taken);
          n_kept += n_taken;
          if (n_kept == AFORK_SHA256_BLOCK_SIZE)
            {
              add_block (self->state, self->block);
              n_kept = 0;
            }
        }
      next += n_taken;
      n_bytes -= n_taken;
    }
}

void
afork_sha256_finish (AForkSha256 *self,
                     char         text[AFORK_SHA256_TEXT_SIZE])
{
  static const char digits[] = "0123456789abcdef";
  static const uint8_t padding[AFORK_SHA256_BLOCK_SIZE] = { 0x80 };
  const uint64_t n_bits = self->n_bytes * 8;
  const size_t n_kept = (size_t) (self->n_bytes % AFORK_SHA256_BLOCK_SIZE);
  uint8_t length[8];

  for (int i = 0; i < 8; i++)
    length[i] = (uint8_t) (n_bits >> (56 - 8 * i));
  /* The length is the end of a block. */
  afork_sha256_add (self, padding,
                    n_kept < 56 ? 56 - n_kept : 56 + AFORK_SHA256_BLOCK_SIZE - n_kept);
  afork_sha256_add (self, length, sizeof length);

  for (int i = 0; i < AFORK_SHA256_SIZE; i++)
    {
      const uint8_t byte = (uint8_t) (self->state[i / 4] >> (24 - 8 * (i % 4)));

      *text++ = digits[byte >> 4];
      *text++ = digits[byte & 15];
    }
  *text = '\0';
}
