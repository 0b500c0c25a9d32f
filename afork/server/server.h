/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The command loop of a server: does what the caller says, in order, until it is told to run. */

#pragma once

#include "runtime.h"

/* Greets the caller on SOCKET, which must be blocking and is this function's from then on, and
 * serves it. Ends the process: with status 0 when the function that was run has returned, or when
 * the caller has closed its end; else with AFORK_EXIT_BASE plus an AForkWireError. If the process
 * was FORKED and not executed, exit handlers are left alone. The process must have one thread. */
void afork_serve (int                       socket,
                  bool                      forked,
                  const AForkWorkerRuntime *runtime,
                  void                     *runtime_data) __attribute__ ((noreturn));
