/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "afork-error.h"
#include "i18n.h"
#include "turn.h"

enum
{
  /* How much is unmapped at a time. */
  PIECE_SIZE = 16 * 1024 * 1024,
  /* Memory of this size and more is mapped, so that it can be unmapped in pieces. Smaller memory
   * comes from malloc(), which reuses it quickly. */
  MIN_MAPPED = 2 * PIECE_SIZE,
  /* How much memory is left for small allocations. */
  RESERVE = 64 * 1024,
  /* The reserve is checked after this many bytes were allocated, and not for each allocation,
   * because malloc() may ask the system for the reserve and give it back at once. */
  CHECK_INTERVAL = 256 * 1024,
};

/* Allocating. */

gboolean
_afork_memory_is_left (gsize size)
{
  gpointer probe = g_try_malloc (size + RESERVE);

  g_free (probe);
  return probe != NULL;
}

static gsize
round_to_pages (gsize size)
{
  const gsize page_size = (gsize) sysconf (_SC_PAGESIZE);

  return (size + page_size - 1) / page_size * page_size;
}

/* The memory is filled soon, and most of the time goes into its first page faults. Huge pages have
 * fewer of them: to receive 256 MiB takes a third of the time. Without huge pages, the call to
 * madvise() fails, and small pages are used. */
static gpointer
map (gsize size)
{
  gpointer data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (data == MAP_FAILED)
    return NULL;

  madvise (data, size, MADV_HUGEPAGE);
  return data;
}

gpointer
_afork_memory_new (gsize size)
{
  static gint n_unchecked;      /* atomic: bytes that were allocated since the last check */
  gpointer data = size >= MIN_MAPPED ? map (size) : g_try_malloc (size);

  if (data == NULL
      || g_atomic_int_add (&n_unchecked, (gint) MIN (size, CHECK_INTERVAL)) + size < CHECK_INTERVAL)
    return data;

  g_atomic_int_set (&n_unchecked, 0);
  if (_afork_memory_is_left (0))
    return data;

  _afork_memory_free (data, size);
  return NULL;
}

void
_afork_memory_free (gpointer data,
                    gsize    size)
{
  if (data != NULL && size >= MIN_MAPPED)
    _afork_memory_unmap (data, size);
  else
    g_free (data);
}

gpointer
_afork_memory_grow (gpointer data,
                    gsize    size,
                    gsize    new_size)
{
  gpointer grown;

  if (size >= MIN_MAPPED)
    {
      grown = mremap (data, round_to_pages (size), round_to_pages (new_size), MREMAP_MAYMOVE);
      return grown != MAP_FAILED ? grown : NULL;
    }

  grown = _afork_memory_new (new_size);
  if (grown != NULL && data != NULL)
    {
      memcpy (grown, data, size);
      _afork_memory_free (data, size);
    }
  return grown;
}

typedef struct
{
  gpointer data;
  gsize    size;
} Block;

static void
block_free (gpointer data)
{
  Block *self = data;

  _afork_memory_free (self->data, self->size);
  g_free (self);
}

GBytes *
_afork_memory_to_bytes (gpointer data,
                        gsize    size)
{
  Block *block;

  if (size < MIN_MAPPED)
    return g_bytes_new_take (data, size);

  block = g_new (Block, 1);
  *block = (Block) { data, size };
  return g_bytes_new_with_free_func (data, size, block_free, block);
}

GBytes *
_afork_memory_dup_bytes (gconstpointer data,
                         gsize         size)
{
  gpointer copy;

  if (size == 0)
    return g_bytes_new (NULL, 0);

  copy = _afork_memory_new (size);
  if (copy == NULL)
    return NULL;
  memcpy (copy, data, size);
  return _afork_memory_to_bytes (copy, size);
}

gboolean
_afork_memory_set_error (GError **error,
                         gsize    size)
{
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_OUT_OF_MEMORY,
               _("There is no memory for a message of %zu bytes"), size);
  return FALSE;
}

/* Unmapping. */

typedef struct
{
  GSource  parent;
  guint8  *data;
  gsize    size;
} UnmapSource;

static gboolean
source_prepare (GSource *source,
                int     *timeout)
{
  return TRUE;
}

static gboolean
source_dispatch (GSource     *source,
                 GSourceFunc  callback,
                 gpointer     data)
{
  UnmapSource *self = (UnmapSource *) source;
  const gsize piece = MIN (self->size, (gsize) PIECE_SIZE);
  AForkTurn turn;

  if (!_afork_turn_begin (&turn, source))
    return G_SOURCE_CONTINUE;

  self->size -= piece;
  munmap (self->data + self->size, piece);
  _afork_turn_end (&turn, NULL, NULL, self->size == 0);
  return self->size > 0;
}

static void
source_finalize (GSource *source)
{
  UnmapSource *self = (UnmapSource *) source;

  if (self->size > 0)
    munmap (self->data, self->size);
}

static GSourceFuncs source_funcs = {
  .prepare = source_prepare,
  .dispatch = source_dispatch,
  .finalize = source_finalize,
};

void
_afork_memory_unmap (gpointer data,
                     gsize    size)
{
  GSource *current = size > PIECE_SIZE ? g_main_current_source () : NULL;
  GMainContext *context = current != NULL ? g_source_get_context (current) : NULL;
  g_autoptr(GSource) source = NULL;

  if (context == NULL)
    {
      munmap (data, size);
      return;
    }

  source = g_source_new (&source_funcs, sizeof (UnmapSource));
  ((UnmapSource *) source)->data = data;
  ((UnmapSource *) source)->size = round_to_pages (size);
  g_source_set_static_name (source, "[afork] memory");
  g_source_set_priority (source, AFORK_TURN_PRIORITY_BEHIND);
  g_source_attach (source, context);
}
