/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The command loop of a server: it does what the caller says, in order, until the caller has it run
 * a function or a program. */

#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "runtime.h"

typedef struct
{
  int                       socket;        /* blocking; the server closes it */
  bool                      forked;        /* the process was forked, and not executed */
  const AForkWorkerRuntime *runtime;
  void                     *runtime_data;  /* what the runtime's functions are given */
  pid_t                   (*fork) (void);  /* as fork(), for a process that has one thread */
} AForkServerOptions;

/* Sends HELLO to the caller and serves it. Ends the process: with status 0 when the function that
 * was run has returned, or when the caller has closed its end; else with AFORK_EXIT_BASE plus an
 * AForkWireError. A process that was forked runs no exit handlers. The process must have one
 * thread. Not async-signal-safe. */
void afork_serve (const AForkServerOptions *options) __attribute__ ((noreturn));
