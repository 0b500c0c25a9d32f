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
  /* Loads the module that is the file at PATH, an absolute path. Its functions are found as those
   * of a module that `require` has found by its own name, which the runtime makes of NAME, the base
   * name of the file. */
  bool (*require_file)    (void               *data,
                           const char         *path,
                           const char         *name,
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

  /* Sets the environment variable NAME to VALUE, or unsets it if VALUE is NULL. NULL if the
   * language has no environment besides that of the C library. */
  bool (*set_variable)    (void               *data,
                           const char         *name,
                           const char         *value,
                           AForkFailure       *failure);

  /* Is called before the threads of the process are counted, which must be one when it is forked.
   * NULL if the runtime has nothing to do then. */
  void (*before_fork)     (void               *data);
  /* The process is not forked, because it has more threads. FAILURE has their names in the kernel.
   * Adds what the language knows about them. NULL if it knows no more. */
  void (*describe_threads) (void              *data,
                            AForkFailure      *failure);
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
  /* Runs the function FOUND, after the caller was notified. Returns the exit status of the
   * process. */
  int  (*enter)           (void               *data,
                           void               *found,
                           int                 socket,
                           const AForkItem    *items,
                           size_t              n_items);
  /* Is called right before the process executes a program. Undoes what the program would inherit
   * and does not expect. NULL if there is nothing to undo. */
  void (*before_exec)     (void               *data);
  /* Is called right before the process exits with STATUS, whether or not it was run. May end the
   * process in another way. NULL if the runtime has nothing to do then. */
  void (*leave)           (void               *data,
                           int                 status);
} AForkWorkerRuntime;
