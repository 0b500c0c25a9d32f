/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "afork-error.h"

/**
 * afork_error_quark:
 *
 * The error domain of AFork, for [error@AFork.Error].
 *
 * Returns: the quark
 *
 * Since: 0.1
 */
GQuark
afork_error_quark (void)
{
  /* G_DEFINE_QUARK() would let two threads write to it at a time. */
  static gsize quark;

  if (g_once_init_enter (&quark))
    g_once_init_leave (&quark, g_quark_from_static_string ("afork-error-quark"));
  return (GQuark) quark;
}
