/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "protocol-error.h"

#include "afork-error.h"
#include "base/i18n.h"

gboolean
_afork_protocol_error_set (GError     **error,
                           const char  *format,
                           ...)
{
  g_autofree char *why = NULL;
  va_list args;

  va_start (args, format);
  why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFORK_ERROR, AFORK_ERROR_PROTOCOL,
               _("The other side does not keep to the protocol: %s"), why);
  return FALSE;
}
