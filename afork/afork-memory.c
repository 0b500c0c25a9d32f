/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-memory-private.h"

#include <sys/mman.h>
#include <unistd.h>

#include "afork-turn-private.h"

enum
{
  /* What is unmapped at a time. */
  PIECE_SIZE = 16 * 1024 * 1024,
};

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
  const gsize page_size = (gsize) sysconf (_SC_PAGESIZE);
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
  ((UnmapSource *) source)->size = (size + page_size - 1) / page_size * page_size;
  g_source_set_static_name (source, "[afork] memory");
  g_source_set_priority (source, AFORK_TURN_PRIORITY_BEHIND);
  g_source_attach (source, context);
}
