/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Worker modules in C: shared objects, code that is compiled here, and functions of theirs. */

#pragma once

#include <stdint.h>

#include "runtime.h"
#include "server/eval/compiler.h"

/* Its data is an AForkNative. */
extern const AForkWorkerRuntime afork_native_runtime;

typedef struct
{
  char  *name;                /* as `require` was given it; "" for the program; NULL for code */
  void  *handle;              /* of dlopen(), or NULL for code */
  void  *unit;                /* of the compiler, or NULL */
} AForkNativeModule;

typedef struct
{
  char               **folders;     /* those of the caller, or NULL; ends with NULL */
  AForkNativeModule   *modules;     /* the newest last */
  size_t               n_modules;
  char                *library;     /* path of the caller's AFork library, or NULL */
  const AForkCompiler *compiler;    /* NULL until there is code to compile */
  void                *expected;    /* the function that forks will probably run, or NULL … */
  char                 expected_name[128];    /* … and its name */
  uintptr_t            libc_start;  /* where the C library lies */
  uintptr_t            libc_end;
} AForkNative;

void afork_native_init        (AForkNative  *self);

/* Has functions looked for in the program that this process executes, too, after all modules. */
bool afork_native_add_program (AForkNative  *self,
                               AForkFailure *failure);
