/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Any bytes are a file that the thumbnailer finds in place of a thumbnail. Each text that it reads
 * must be in the file, after its keyword. */

#include "png-text.h"

#include "auto-fd.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput (const uint8_t *bytes,
                            size_t         n_bytes);

static void
check (gboolean condition)
{
  if (!condition)
    abort ();
}

static void
check_text (const char    *key,
            const char    *text,
            const uint8_t *bytes,
            size_t         n_bytes)
{
  size_t key_size = strlen (key) + 1;
  size_t text_size = strlen (text);
  g_autofree char *both = g_malloc (key_size + text_size);

  memcpy (both, key, key_size);
  memcpy (both + key_size, text, text_size);
  check (memmem (bytes, n_bytes, both, key_size + text_size) != NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *bytes,
                        size_t         n_bytes)
{
  g_auto(AutoFd) fd = memfd_create ("png", MFD_CLOEXEC);
  g_autoptr(GHashTable) texts = NULL;
  GHashTableIter iter;
  gpointer key, text;

  check (write (fd, bytes, n_bytes) == (ssize_t) n_bytes);
  texts = png_text_read (fd);
  if (texts == NULL)
    return 0;

  check (memmem (bytes, n_bytes, "IDAT", 4) != NULL);
  g_hash_table_iter_init (&iter, texts);
  while (g_hash_table_iter_next (&iter, &key, &text))
    check_text (key, text, bytes, n_bytes);

  return 0;
}
