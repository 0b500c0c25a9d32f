/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <glib.h>

#include <afork/afork-version.h>

#ifndef _AFORK_EXTERN
# define _AFORK_EXTERN extern
#endif

/**
 * AFORK_VERSION_0_1:
 *
 * Version 0.1, for `AFORK_VERSION_MIN_REQUIRED` and `AFORK_VERSION_MAX_ALLOWED`.
 *
 * Since: 0.1
 */
#define AFORK_VERSION_0_1 (G_ENCODE_VERSION (0, 1))

/**
 * AFORK_VERSION_CURRENT:
 *
 * The version that these headers are of, without its last number. It is what
 * `AFORK_VERSION_MIN_REQUIRED` and `AFORK_VERSION_MAX_ALLOWED` are unless a program defines them.
 *
 * Since: 0.1
 */
#define AFORK_VERSION_CURRENT (G_ENCODE_VERSION (AFORK_MAJOR_VERSION, AFORK_MINOR_VERSION))

/**
 * AFORK_VERSION_MIN_REQUIRED:
 *
 * The oldest version whose API a program means to use, such as `AFORK_VERSION_0_1`. Defined before
 * `afork.h` is included, it silences warnings about what was deprecated after that version.
 *
 * Since: 0.1
 */
#ifndef AFORK_VERSION_MIN_REQUIRED
# define AFORK_VERSION_MIN_REQUIRED AFORK_VERSION_CURRENT
#endif

/**
 * AFORK_VERSION_MAX_ALLOWED:
 *
 * The newest version whose API a program means to use, such as `AFORK_VERSION_0_1`. Defined before
 * `afork.h` is included, it makes the compiler warn about what came after that version.
 *
 * Since: 0.1
 */
#ifndef AFORK_VERSION_MAX_ALLOWED
# define AFORK_VERSION_MAX_ALLOWED AFORK_VERSION_CURRENT
#endif

#if AFORK_VERSION_MAX_ALLOWED < AFORK_VERSION_MIN_REQUIRED
# error "AFORK_VERSION_MAX_ALLOWED must not be older than AFORK_VERSION_MIN_REQUIRED"
#endif

#define AFORK_AVAILABLE_IN_ALL _AFORK_EXTERN
#define AFORK_AVAILABLE_IN_0_1 _AFORK_EXTERN
