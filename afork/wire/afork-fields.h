/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The fields of messages. Integers are little-endian, and have a WIDTH of 1 to 8 bytes. A string is
 * its length in 32 bits, its bytes, and a NUL. */

static inline uint64_t
afork_get_integer (const uint8_t *bytes,
                   size_t         width)
{
  uint64_t value = 0;

  for (size_t i = width; i > 0; i--)
    value = value << 8 | bytes[i - 1];
  return value;
}

/* The following functions return where the next field begins. */

static inline uint8_t *
afork_write_integer (uint8_t  *out,
                     uint64_t  value,
                     size_t    width)
{
  for (size_t i = 0; i < width; i++)
    *out++ = (uint8_t) (value >> 8 * i);

  return out;
}

static inline uint8_t *
afork_write_bytes (uint8_t    *out,
                   const void *bytes,
                   size_t      n_bytes)
{
  if (n_bytes > 0)
    memcpy (out, bytes, n_bytes);

  return out + n_bytes;
}

static inline uint8_t *
afork_write_string (uint8_t    *out,
                    const char *string)
{
  const size_t length = strlen (string);

  out = afork_write_integer (out, length, 4);
  return afork_write_bytes (out, string, length + 1);
}

/* A message that is read from front to back: the bytes that are left. A field that does not fit
 * sets `failed`, and then all later fields are zero or NULL. */
typedef struct
{
  const uint8_t *bytes;
  size_t         n_bytes;
  bool           failed;
} AForkReader;

/* Returns the next N_BYTES bytes, which belong to the message, or NULL. */
static inline const uint8_t *
afork_read_bytes (AForkReader *reader,
                  size_t       n_bytes)
{
  const uint8_t *bytes = reader->bytes;

  if (reader->failed || n_bytes > reader->n_bytes)
    {
      reader->failed = true;
      return NULL;
    }

  reader->bytes += n_bytes;
  reader->n_bytes -= n_bytes;
  return bytes;
}

static inline uint64_t
afork_read_integer (AForkReader *reader,
                    size_t       width)
{
  const uint8_t *bytes = afork_read_bytes (reader, width);

  return bytes != NULL ? afork_get_integer (bytes, width) : 0;
}

static inline uint32_t
afork_read_u32 (AForkReader *reader)
{
  return (uint32_t) afork_read_integer (reader, 4);
}

/* Returns a string of at most MAX_LENGTH bytes, which belongs to the message, or NULL. It has no
 * NUL but the one at its end. The loop replaces strlen(): a fork that reads only short strings
 * would map a page of the C library for that function alone. */
static inline const char *
afork_read_string (AForkReader *reader,
                   size_t       max_length)
{
  const size_t length = afork_read_u32 (reader);
  const uint8_t *bytes = NULL;
  size_t i = 0;

  if (length <= max_length)
    bytes = afork_read_bytes (reader, length + 1);
  while (bytes != NULL && i < length && bytes[i] != '\0')
    i++;
  if (bytes == NULL || i < length || bytes[length] != '\0')
    {
      reader->failed = true;
      return NULL;
    }

  return (const char *) bytes;
}
