/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a language is to the command loop. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "worker/afork-worker.h"

/* Functions that return false have set FAILURE. Strings and arrays are the loop's. DATA is what
 * the options of afork_serve() have. */
typedef struct
{
  bool (*set_module_path) (void               *data,
                           const char * const *folders,
                           AForkFailure       *failure);
  bool (*require)         (void               *data,
                           const char         *module,
                           AForkFailure       *failure);
  bool (*eval)            (void               *data,
                           const char         *code,
                           int                 argc,
                           const char * const *argv,
                           AForkFailure       *failure);
  bool (*call)            (void               *data,
                           const char         *function,
                           int                 argc,
                           const char * const *argv,
                           AForkFailure       *failure);

  /* Forks of this process will probably be told to run FUNCTION: what they need for that may be
   * looked up once, here. No failure: the function may yet be loaded. */
  void (*expect)          (void               *data,
                           const char         *function);

  /* PATH is the caller's AFork library, for worker code that needs it and is not linked with it.
   * NULL if the runtime has no use for it. */
  bool (*set_library)     (void               *data,
                           const char         *path,
                           AForkFailure       *failure);

  /* This process was forked just now. NULL if that is nothing to the runtime. */
  void (*forked)          (void               *data);

  /* Whether the runtime needs descriptor FD under that number. NULL if it needs none. */
  bool (*needs_fd)        (void               *data,
                           int                 fd);

  /* Finds the function to be run, as *FOUND; then, when the caller has been told, enters it. */
  bool (*find)            (void               *data,
                           const char         *function,
                           void              **found,
                           AForkFailure       *failure);
  /* The same for the function at OFFSET in OBJECT, see objects.h; NAME is for messages. NULL where
   * functions have no addresses. */
  bool (*find_address)    (void               *data,
                           const char         *name,
                           const char         *object,
                           uint64_t            offset,
                           void              **found,
                           AForkFailure       *failure);
  void (*enter)           (void               *data,
                           void               *found,
                           int                 socket,
                           const AForkItem    *items,
                           size_t              n_items);
} AForkWorkerRuntime;
