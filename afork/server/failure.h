/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Why a command failed: the server sends it in an ERROR frame. */

#pragma once

#include <stdbool.h>

#include "wire/afork-frame.h"

enum { AFORK_FAILURE_TEXT_SIZE = 4096 };

typedef struct
{
  AForkWireError code;
  char           text[AFORK_FAILURE_TEXT_SIZE];
} AForkFailure;

/* Sets FAILURE, whose text is cut if it is too long. Returns false, so that a function that fails
 * can return this. Not async-signal-safe. */
bool afork_failure_set (AForkFailure   *failure,
                        AForkWireError  code,
                        const char     *format,
                        ...) __attribute__ ((format (printf, 3, 4)));
