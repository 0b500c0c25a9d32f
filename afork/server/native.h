/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The native runtime: modules in C, which are shared objects or code that is compiled in the
 * process, and their functions. They use the dynamic linker and allocate memory, so none of them is
 * async-signal-safe. */

#pragma once

#include <stdint.h>

#include "runtime.h"
#include "server/eval/compiler.h"

/* The data of its functions is an AForkNative. */
extern const AForkWorkerRuntime afork_native_runtime;

typedef struct
{
  char  *name;                /* as in REQUIRE; "" for the program; NULL for code */
  void  *handle;              /* of dlopen(), or NULL for code */
  void  *unit;                /* of the compiler, or NULL */
} AForkNativeModule;

typedef struct
{
  char               **directories; /* to search first, ends with NULL; or NULL */
  AForkNativeModule   *modules;     /* the newest is last */
  size_t               n_modules;
  char                *library;     /* path of the caller's AFork library, or NULL */
  const AForkCompiler *compiler;    /* NULL until there is code to compile */
  void                *looked_up;   /* the function that was found for forks, or NULL */
  char                 looked_up_name[128];  /* the name of `looked_up` */
  uintptr_t            libc_start;  /* the addresses of the C library */
  uintptr_t            libc_end;
} AForkNative;

/* Initializes SELF, which is zero. */
void afork_native_init        (AForkNative  *self);

/* Adds the program as the first module, so that its functions are found after those of other
 * modules. */
bool afork_native_add_program (AForkNative  *self,
                               AForkFailure *failure);
