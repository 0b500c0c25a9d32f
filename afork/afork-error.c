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
G_DEFINE_QUARK (afork-error-quark, afork_error)
