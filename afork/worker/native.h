/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Worker modules in C: shared objects, and functions of theirs. */

#pragma once

#include <stdint.h>

#include "runtime.h"

/* Its data is an AForkNative. */
extern const AForkWorkerRuntime afork_native_runtime;

typedef struct
{
  char  *name;                /* as `require` was given it; "" for the program */
  void  *handle;              /* of dlopen() */
} AForkNativeModule;

typedef struct
{
  char             **folders;     /* those of the caller, or NULL; ends with NULL */
  AForkNativeModule *modules;     /* the newest last */
  size_t             n_modules;
  void              *expected;    /* the function that forks will probably run, or NULL … */
  char               expected_name[128];    /* … and its name */
  uintptr_t          libc_start;  /* where the C library lies */
  uintptr_t          libc_end;
} AForkNative;

void afork_native_init        (AForkNative  *self);

/* Has functions looked for in the program that this process executes, too, after all modules. */
bool afork_native_add_program (AForkNative  *self,
                               AForkFailure *failure);
