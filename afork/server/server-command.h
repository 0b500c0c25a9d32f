/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What an agent executes: the server of one of the library's runtimes, as it is installed on this
 * host. The library has the same table, for its own host, in afork-runtime.c. */

#pragma once

#include <stdbool.h>

#include "failure.h"

/* The arguments have at most this many words: an interpreter, a file, and two options. */
enum { AFORK_SERVER_COMMAND_WORDS = 4 };

typedef struct
{
  const char *program;          /* as execvp(3) takes it */
  char       *argv[AFORK_SERVER_COMMAND_WORDS + 1];
  char       *part;             /* the file of AFork that is executed, or NULL */
} AForkServerCommand;

/* Finds the command of the server of RUNTIME, which will serve descriptor 3. EXECUTABLE is its
 * interpreter, or empty for the default. The strings must stay until afork_server_command_clear().
 * Returns false and sets the failure if there is none here. Not async-signal-safe. */
bool afork_server_command_find  (AForkServerCommand *self,
                                 const char         *runtime,
                                 const char         *executable,
                                 AForkFailure       *failure);

void afork_server_command_clear (AForkServerCommand *self);

/* Executes the command in a process that has descriptor 3 and nothing else of its parent. If it
 * cannot be executed, reports the reason at that descriptor, and exits. Not async-signal-safe. */
void afork_server_command_execute (const AForkServerCommand *self) __attribute__ ((noreturn));
