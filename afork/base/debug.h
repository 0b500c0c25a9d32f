/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether GLib writes the library's debug messages. Ask before a message that each process causes:
 * g_debug() formats a message also if it is not written. G_MESSAGES_DEBUG is read once. */
gboolean _afork_debug_is_enabled (void);

/* Messages for users who want to know what the library does, by kind. AFORK_DEBUG in the
 * environment of the program names the kinds that are written. It is read once. If it does not name
 * a kind, a message of this kind costs a branch, and its arguments are not evaluated. */
typedef enum
{
  AFORK_DEBUG_CALLS = 1 << 0,
  AFORK_DEBUG_POOL = 1 << 1,
  AFORK_DEBUG_PROCESS = 1 << 2,
  AFORK_DEBUG_IS_READ = 1 << 3,     /* the variable was read */
} AForkDebugFlags;

extern guint _afork_debug_flags;    /* of AForkDebugFlags; atomic; 0 at first */

guint _afork_debug_read_flags (void);

static inline gboolean
_afork_debug_wants (AForkDebugFlags kind)
{
  guint flags = g_atomic_int_get (&_afork_debug_flags);

  if (G_UNLIKELY (flags == 0))
    flags = _afork_debug_read_flags ();
  return (flags & kind) != 0;
}

/* Writes a message by GLib's structured log. PID is that of the process that the message is about,
 * or 0. */
void  _afork_debug_write      (AForkDebugFlags  kind,
                               int              pid,
                               const char      *format,
                               ...) G_GNUC_PRINTF (3, 4);

#define _afork_debug(kind, pid, ...) \
  G_STMT_START { \
    if (G_UNLIKELY (_afork_debug_wants (kind))) \
      _afork_debug_write (kind, pid, __VA_ARGS__); \
  } G_STMT_END

G_END_DECLS
