/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Why a server could not do as told: what it sends in an ERROR frame. */

#pragma once

#include <stdbool.h>

#include "wire/afork-frame.h"

enum { AFORK_FAILURE_TEXT_SIZE = 4096 };

typedef struct
{
  AForkWireError code;
  char           text[AFORK_FAILURE_TEXT_SIZE];
} AForkFailure;

/* Fills FAILURE in, cutting a text that is too long, and returns false, so that it can be the
 * value of the function that failed. */
bool afork_failure_set (AForkFailure   *failure,
                        AForkWireError  code,
                        const char     *format,
                        ...) __attribute__ ((format (printf, 3, 4)));
