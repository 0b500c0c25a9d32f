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
  g_autoptr(GError) error = NULL;

  _afork_runtime_notify_launching (runtime);
  if (!_afork_runtime_check_part (runtime, &error))
    {
      _afork_client_kill_with_error (client, error);
      return;
    }

  _afork_launcher_execute (runtime, client, AFORK_SPAWN_SOCKET_NUMBERED, NULL);
}

const AForkLauncher _afork_launcher_language = { start, NULL };
