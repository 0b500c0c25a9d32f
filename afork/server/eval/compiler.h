/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Compiling code in C in the process that runs it.
 *
 * The compiler is a plugin, a shared object that is loaded when there is code to compile, so that
 * other processes do not have it and the server links only the C library. The plugin does not know
 * modules: it asks its caller for each symbol that code uses and does not define. Nothing of this
 * is async-signal-safe. */

#pragma once

#include "server/failure.h"

/* Returns the address of SYMBOL, which code uses and does not define, or NULL to have it searched
 * in the C library and in other objects that are visible to all. */
typedef void *(*AForkCompilerResolve) (void       *data,
                                       const char *symbol);

/* The functions that the plugin exports, under the name below. A change of this struct changes the
 * name. */
typedef struct
{
  /* Compiles and links a translation unit, and returns it. It lasts until the process ends. Returns
   * NULL and sets the failure, with all messages of the compiler, if there are errors. */
  void *(*compile) (const char           *code,
                    AForkCompilerResolve  resolve,
                    void                 *data,
                    AForkFailure         *failure);

  /* Returns the address of SYMBOL if UNIT itself defines and exports it, else NULL. */
  void *(*find)    (void                 *unit,
                    const char           *symbol);
} AForkCompiler;

#define AFORK_COMPILER_SYMBOL "afork_compiler_1"

/* Loads the plugin. Returns NULL and sets the failure if it cannot be loaded. */
const AForkCompiler *afork_compiler_load (AForkFailure *failure);
