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
  /* Atomic: G_DEFINE_QUARK() would let two threads write to it at a time. In a fork of the program,
   * g_once_init_enter() would never return if another thread was there. */
  static int quark;

  if (g_atomic_int_get (&quark) == 0)
    g_atomic_int_set (&quark, (int) g_quark_from_static_string ("afork-error-quark"));
  return (GQuark) g_atomic_int_get (&quark);
}
