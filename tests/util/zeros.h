/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Large values that need no memory, for tests and modules. */

#pragma once

#include <glib.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef struct
{
  void  *data;
  gsize  size;
} Zeros;

static void
zeros_free (gpointer data)
{
  Zeros *zeros = data;

  munmap (zeros->data, zeros->size);
  g_free (zeros);
}

static GBytes *
new_zeros (gsize size)
{
  Zeros *zeros = g_new (Zeros, 1);

  zeros->size = size;
  zeros->data = mmap (NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros->data == MAP_FAILED)
    abort ();
  return g_bytes_new_with_free_func (zeros->data, size, zeros_free, zeros);
}

static GVariant *
new_zeros_value (gsize size)
{
  g_autoptr(GBytes) bytes = new_zeros (size);

  return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
}
