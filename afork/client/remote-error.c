/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "remote-error.h"

#include <string.h>

#include "afork-error.h"
#include "base/i18n.h"
#include "wire/afork-frame.h"

enum { MAX_TEXT = 4096 };

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
    case AFORK_WIRE_ERROR_HOST_LOST:
      return AFORK_ERROR_HOST_LOST;
    default:
      return AFORK_ERROR_FAILED;
    }
}

void
_afork_remote_text_cut (char  *text,
                        gsize  max_size)
{
  if (strlen (text) <= max_size)
    return;

  while (max_size > 0 && (text[max_size] & 0xc0) == 0x80)
    max_size--;
  text[max_size] = '\0';
}

/* The other process is not trusted: TEXT may be any bytes. A server sends at most MAX_TEXT
 * bytes. */
GError *
_afork_remote_error_new (guint32     wire_error,
                         const char *text)
{
  g_autofree char *start = g_strndup (text, MAX_TEXT + 1);
  g_autofree char *valid = NULL;

  _afork_remote_text_cut (start, MAX_TEXT);
  valid = g_utf8_make_valid (start, -1);

  if (*valid == '\0')
    return g_error_new_literal (AFORK_ERROR, to_error_code (wire_error),
                                _("The process has failed and did not say why"));

  return g_error_new_literal (AFORK_ERROR, to_error_code (wire_error), valid);
}
