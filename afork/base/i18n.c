/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "i18n.h"

#include <libintl.h>

const char *
_afork_gettext (const char *message)
{
  static int bound;             /* atomic */

  /* Two threads may both do this. In a fork of the program, g_once_init_enter() would never return
   * if another thread was there. */
  if (!g_atomic_int_get (&bound))
    {
      bindtextdomain (GETTEXT_PACKAGE, AFORK_LOCALEDIR);
      bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
      g_atomic_int_set (&bound, TRUE);
    }

  return g_dgettext (GETTEXT_PACKAGE, message);
}
