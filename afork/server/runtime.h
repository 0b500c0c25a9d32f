/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What the command loop needs of a language: its functions. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "worker/afork-worker.h"

/* Functions that return false have set FAILURE. Strings and arrays belong to the loop. DATA is the
 * `runtime_data` of AForkServerOptions. */
typedef struct
{
  bool (*set_module_path) (void               *data,
                           const char * const *directories,
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

  /* Forks of this process will probably run FUNCTION: the runtime may look up here what they all
   * need for that. This cannot fail: the function may be loaded later. */
  void (*look_up)         (void               *data,
                           const char         *function);

  /* Notes the PATH of the caller's AFork library, for worker code that needs the library and is not
   * linked with it. NULL if the runtime does not use it. */
  bool (*set_library)     (void               *data,
                           const char         *path,
                           AForkFailure       *failure);

  /* Is called in a process that was just forked. NULL if the runtime has nothing to do then. */
  void (*forked)          (void               *data);

  /* Returns whether the runtime needs descriptor FD under its number. NULL if it needs none. */
  bool (*needs_fd)        (void               *data,
                           int                 fd);

  /* Sets *FOUND to the function to run. */
  bool (*find)            (void               *data,
                           const char         *function,
                           void              **found,
                           AForkFailure       *failure);
  /* The same for the function at OFFSET in OBJECT: see objects.h. NAME is for messages. NULL if the
   * functions of the language have no addresses. */
  bool (*find_address)    (void               *data,
                           const char         *name,
                           const char         *object,
                           uint64_t            offset,
                           void              **found,
                           AForkFailure       *failure);
  /* Runs the function FOUND, after the caller was notified. */
  void (*enter)           (void               *data,
                           void               *found,
                           int                 socket,
                           const AForkItem    *items,
                           size_t              n_items);
} AForkWorkerRuntime;
