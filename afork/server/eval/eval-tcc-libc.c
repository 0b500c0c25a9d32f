/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "eval-tcc-libc.h"

extern FILE  *__real_stdout;
extern FILE  *__real_stderr;
extern char **__real_environ;

FILE  *__wrap_stdout;
FILE  *__wrap_stderr;
char **__wrap_environ;

void
afork_eval_init_libc (void)
{
  __wrap_stdout = __real_stdout;
  __wrap_stderr = __real_stderr;
  __wrap_environ = __real_environ;
}
