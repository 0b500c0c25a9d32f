/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launcher-native.h"

#include "afork-runtime-private.h"
#include "base/i18n.h"

static AForkEarlyFunc early_func;       /* atomic; NULL for no early template */

void
_afork_launcher_native_set_early_func (AForkEarlyFunc get_early)
{
  g_atomic_pointer_set (&early_func, get_early);
}

static AForkClient *
get_early (AForkRuntime *runtime)
{
  AForkEarlyFunc func = g_atomic_pointer_get (&early_func);

  return func != NULL && _afork_runtime_can_use_early (runtime) ? func () : NULL;
}

static void
start (AForkRuntime *runtime,
       AForkClient  *client)
{
  AForkClient *early = get_early (runtime);

  if (early != NULL)
    _afork_client_fork (client, early);
  else
    _afork_launcher_execute (runtime, client, AFORK_SPAWN_SOCKET_NUMBERED, NULL);
}

static const char *
find_obstacle (AForkRuntime *runtime)
{
  AForkClient *early = get_early (runtime);

  if (early == NULL
      || (_afork_client_is_open (early)
          && !_afork_pid_watch_poll_exited (_afork_client_get_pid_watch (early))))
    return NULL;

  return _("the early template of the program has exited");
}

const AForkLauncher _afork_launcher_native = { start, find_obstacle };
