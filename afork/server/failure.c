/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

bool
afork_failure_set (AForkFailure   *failure,
                   AForkWireError  code,
                   const char     *format,
                   ...)
{
  va_list arguments;

  failure->code = code;
  va_start (arguments, format);
  vsnprintf (failure->text, sizeof failure->text, format, arguments);
  va_end (arguments);
  return false;
}
