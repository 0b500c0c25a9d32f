/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Counts resources that must not grow with the number of operations. */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Counts all sources of CONTEXT, except the timers of sources that fell behind, as they do on a
 * busy machine. */
static inline guint
count_sources (GMainContext *context)
{
  GSource *last = g_idle_source_new ();
  guint n_sources = 0;

  for (guint id = g_source_attach (last, context) - 1; id > 0; id--)
    {
      GSource *source = g_main_context_find_source_by_id (context, id);

      if (source != NULL && g_strcmp0 (g_source_get_name (source), "[afork] turn") != 0)
        n_sources++;
    }

  g_source_destroy (last);
  g_source_unref (last);
  return n_sources;
}

/* The handlers that are called when CANCELLABLE is cancelled. */
static inline guint
count_handlers (GCancellable *cancellable)
{
  const GSignalMatchType match = G_SIGNAL_MATCH_ID | G_SIGNAL_MATCH_UNBLOCKED;
  guint signal = g_signal_lookup ("cancelled", G_TYPE_CANCELLABLE);
  g_autoptr(GArray) ids = g_array_new (FALSE, FALSE, sizeof (gulong));
  gulong id;

  while ((id = g_signal_handler_find (cancellable, match, signal, 0, NULL, NULL, NULL)) != 0)
    {
      g_signal_handler_block (cancellable, id);
      g_array_append_val (ids, id);
    }
  for (guint i = 0; i < ids->len; i++)
    g_signal_handler_unblock (cancellable, g_array_index (ids, gulong, i));
  return ids->len;
}

G_END_DECLS
