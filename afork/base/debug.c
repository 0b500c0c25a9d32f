/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "debug.h"

gboolean
_afork_debug_is_enabled (void)
{
  enum { UNKNOWN, DISABLED, ENABLED };
  static int domain = UNKNOWN;  /* atomic */

  if (g_log_get_debug_enabled ())
    return TRUE;

  /* GLib reads the environment each time. */
  if (g_atomic_int_get (&domain) == UNKNOWN)
    g_atomic_int_set (&domain, g_log_writer_default_would_drop (G_LOG_LEVEL_DEBUG, G_LOG_DOMAIN)
                                 ? DISABLED : ENABLED);
  return g_atomic_int_get (&domain) == ENABLED;
}
