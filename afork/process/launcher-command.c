/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-command.h"

static void
start (AForkRuntime *runtime,
       AForkClient  *client)
{
  _afork_launcher_execute (runtime, client, AFORK_SPAWN_SOCKET_STANDARD, NULL);
}

const AForkLauncher _afork_launcher_command = { start, NULL };
