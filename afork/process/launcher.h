/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-runtime.h"
#include "client/client.h"

G_BEGIN_DECLS

/* How a fresh process of a runtime comes to be. This is the abstract class: its instances are
 * constant and have no state, one for each kind of runtime, in launcher-*.c. */
typedef struct
{
  /* Starts the process of CLIENT. If that fails, CLIENT has failed when the function returns. */
  void (*start) (AForkRuntime *runtime,
                 AForkClient  *client);
  /* Returns why a process cannot be started again later, in words that end a sentence about it, or
   * NULL if it can. The function may be NULL: it always can. */
  const char *(*find_obstacle) (AForkRuntime *runtime);
} AForkLauncher;

/* Starts a fresh process of RUNTIME as CLIENT, and sends it what every process of the runtime gets
 * first. */
void _afork_launcher_start   (const AForkLauncher *self,
                              AForkRuntime        *runtime,
                              AForkClient         *client);

/* Whether a process of RUNTIME that has exited can be started again. NAME is for the error. */
gboolean _afork_launcher_check_again (const AForkLauncher *self,
                                      AForkRuntime        *runtime,
                                      const char          *name,
                                      GError             **error);

/* For launchers: executes the runtime's program, which finds its command socket as HOW says. If the
 * program does not answer as a server, the error ends with HINT, unless that is NULL. */
void _afork_launcher_execute (AForkRuntime        *runtime,
                              AForkClient         *client,
                              AForkSpawnSocket     how,
                              const char          *hint);

G_END_DECLS
