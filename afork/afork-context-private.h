/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The main context that what is made now belongs to. */
static inline GMainContext *
_afork_get_thread_context (void)
{
  GMainContext *context = g_main_context_get_thread_default ();

  return context != NULL ? context : g_main_context_default ();
}

/* Destroys *SOURCE, if there is one, and drops it. A context that goes destroys its sources itself:
 * meanwhile they have none, and GLib would lose one that was destroyed by somebody else. */
static inline void
_afork_source_clear (GSource **source)
{
  GSource *cleared = g_steal_pointer (source);

  if (cleared == NULL)
    return;

  if (!g_source_is_destroyed (cleared) && g_source_get_context (cleared) != NULL)
    g_source_destroy (cleared);
  g_source_unref (cleared);
}

G_END_DECLS
