/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Code in C that is compiled in the process in which it is to run.
 *
 * The compiler is a shared object of its own, the plugin, which is loaded when there is something
 * to compile: a process without such code has nothing of it, and the server links only the C
 * library. The plugin in turn knows nothing of modules; what code uses and does not define, it asks
 * for. */

#pragma once

#include "server/failure.h"

/* Looks up what code uses and does not define. NULL if it is to be one of the C library, or of
 * another object that all can see. */
typedef void *(*AForkCompilerResolve) (void       *data,
                                       const char *symbol);

/* What the plugin exports, under the name below. Whoever changes this changes the name. */
typedef struct
{
  /* Compiles a translation unit, and has it ready to be entered. What it returns lives as long as
   * the process. NULL and a failure that says all that the compiler has said. */
  void *(*compile) (const char           *code,
                    AForkCompilerResolve  resolve,
                    void                 *data,
                    AForkFailure         *failure);

  /* What UNIT, one of the above, itself defines under a name and does not hide; or NULL. */
  void *(*find)    (void                 *unit,
                    const char           *symbol);
} AForkCompiler;

#define AFORK_COMPILER_SYMBOL "afork_compiler_1"

/* Loads the plugin. NULL and a failure if there is none. */
const AForkCompiler *afork_compiler_load (AForkFailure *failure);
