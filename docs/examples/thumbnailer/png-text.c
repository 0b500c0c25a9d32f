/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "png-text.h"

#include <string.h>
#include <unistd.h>

#define MAX_CHUNKS    64        /* before the picture */
#define MAX_TEXT_SIZE (1 << 20) /* of a chunk, including the keyword: a URI can be long */

#define CHUNK_FRAME   12      /* length and type before, CRC after */

static const char png_signature[] = "\211PNG\r\n\032\n";

typedef struct
{
  guint32 size;
  char    type[4];
} PngChunk;

static gboolean
read_at (int      fd,
         void    *buffer,
         gsize    size,
         goffset  offset)
{
  return pread (fd, buffer, size, offset) == (gssize) size;
}

static gboolean
has_signature (int fd)
{
  char start[sizeof png_signature - 1];

  return read_at (fd, start, sizeof start, 0) && memcmp (start, png_signature, sizeof start) == 0;
}

static gboolean
read_chunk (int       fd,
            goffset   offset,
            PngChunk *chunk)
{
  if (!read_at (fd, chunk, sizeof *chunk, offset))
    return FALSE;

  chunk->size = GUINT32_FROM_BE (chunk->size);
  return TRUE;
}

static gboolean
is_type (const PngChunk *chunk,
         const char     *type)
{
  return memcmp (chunk->type, type, sizeof chunk->type) == 0;
}

/* A keyword, a NUL, and the text, which ends with the chunk. */
static gboolean
read_text (int         fd,
           goffset     offset,
           gsize       size,
           GHashTable *texts)
{
  g_autofree char *bytes = NULL;
  gsize key_size;

  if (size > MAX_TEXT_SIZE)
    return FALSE;

  bytes = g_malloc (size + 1);
  if (!read_at (fd, bytes, size, offset))
    return FALSE;

  key_size = strnlen (bytes, size);
  if (key_size == size)
    return FALSE;

  g_hash_table_replace (texts,
                        g_strdup (bytes),
                        g_strndup (bytes + key_size + 1, size - key_size - 1));
  return TRUE;
}

GHashTable *
png_text_read (int fd)
{
  g_autoptr(GHashTable) texts =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  goffset offset = sizeof png_signature - 1;
  PngChunk chunk;

  if (!has_signature (fd))
    return NULL;

  for (guint i = 0; i < MAX_CHUNKS && read_chunk (fd, offset, &chunk); i++)
    {
      if (is_type (&chunk, "IDAT"))
        return g_steal_pointer (&texts);
      if (is_type (&chunk, "tEXt")
          && !read_text (fd, offset + sizeof chunk, chunk.size, texts))
        return NULL;

      offset += CHUNK_FRAME + (goffset) chunk.size;
    }

  return NULL;
}
