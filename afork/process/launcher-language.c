/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-language.h"

#include "afork-runtime-private.h"

static void
start (AForkRuntime *runtime,
       AForkClient  *client)
{
  _afork_runtime_notify_launching (runtime);
  _afork_launcher_execute (runtime, client, AFORK_SPAWN_SOCKET_NUMBERED, NULL);
}

const AForkLauncher _afork_launcher_language = { start, NULL };
