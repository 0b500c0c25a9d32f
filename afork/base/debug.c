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

guint _afork_debug_flags;

static const GDebugKey kinds[] = {
  { "calls", AFORK_DEBUG_CALLS },
  { "pool", AFORK_DEBUG_POOL },
  { "process", AFORK_DEBUG_PROCESS },
};

guint
_afork_debug_read_flags (void)
{
  guint flags = AFORK_DEBUG_IS_READ
    | g_parse_debug_string (g_getenv ("AFORK_DEBUG"), kinds, G_N_ELEMENTS (kinds));

  g_atomic_int_set (&_afork_debug_flags, flags);
  return flags;
}

static const char *
get_kind_name (AForkDebugFlags kind)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (kinds[i].value == kind)
      return kinds[i].key;

  g_assert_not_reached ();
}

/* The level is the lowest one that GLib writes by default. */
static void
write_message (AForkDebugFlags  kind,
               int              pid,
               const char      *message)
{
  g_autofree char *pid_text = g_strdup_printf ("%d", pid);
  const GLogField fields[] = {
    { "MESSAGE", message, -1 },
    { "PRIORITY", "5", -1 },
    { "GLIB_DOMAIN", G_LOG_DOMAIN, -1 },
    { "AFORK_DEBUG", get_kind_name (kind), -1 },
    { "AFORK_PID", pid_text, -1 },
  };

  g_log_structured_array (G_LOG_LEVEL_MESSAGE, fields,
                          pid > 0 ? G_N_ELEMENTS (fields) : G_N_ELEMENTS (fields) - 1);
}

void
_afork_debug_write (AForkDebugFlags  kind,
                    int              pid,
                    const char      *format,
                    ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  write_message (kind, pid, message);
}
