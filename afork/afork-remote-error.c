/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-remote-error-private.h"

#include "afork-error.h"
#include "afork-i18n-private.h"
#include "wire/afork-frame.h"

static int
to_error_code (guint32 wire_error)
{
  switch (wire_error)
    {
    case AFORK_WIRE_ERROR_PROTOCOL:
      return AFORK_ERROR_PROTOCOL;
    case AFORK_WIRE_ERROR_MODULE:
      return AFORK_ERROR_MODULE;
    case AFORK_WIRE_ERROR_EVAL:
      return AFORK_ERROR_EVAL;
    case AFORK_WIRE_ERROR_FUNCTION:
      return AFORK_ERROR_FUNCTION;
    case AFORK_WIRE_ERROR_THREADS:
      return AFORK_ERROR_THREADS;
    case AFORK_WIRE_ERROR_SANDBOX:
      return AFORK_ERROR_SANDBOX;
    case AFORK_WIRE_ERROR_NOT_SUPPORTED:
      return AFORK_ERROR_NOT_SUPPORTED;
    case AFORK_WIRE_ERROR_SPAWN:
      return AFORK_ERROR_SPAWN;
    default:
      return AFORK_ERROR_FAILED;
    }
}

/* The text is another process's, which may send what it likes. */
GError *
_afork_remote_error_new (guint32     wire_error,
                         const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  if (*valid == '\0')
    return g_error_new_literal (AFORK_ERROR, to_error_code (wire_error),
                                _("The process has failed and did not say why"));

  return g_error_new_literal (AFORK_ERROR, to_error_code (wire_error), valid);
}
