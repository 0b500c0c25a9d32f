/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "launchers.h"

#include "afork-runtime-private.h"
#include "launcher-agent.h"
#include "launcher-command.h"
#include "launcher-language.h"
#include "launcher-native.h"
#include "launcher-self.h"

static const AForkLauncher * const launchers[] = {
  [AFORK_RUNTIME_KIND_AGENT] = &_afork_launcher_agent,
  [AFORK_RUNTIME_KIND_COMMAND] = &_afork_launcher_command,
  [AFORK_RUNTIME_KIND_LANGUAGE] = &_afork_launcher_language,
  [AFORK_RUNTIME_KIND_NATIVE] = &_afork_launcher_native,
  [AFORK_RUNTIME_KIND_PROGRAM] = &_afork_launcher_program,
  [AFORK_RUNTIME_KIND_SELF] = &_afork_launcher_self,
};

const AForkLauncher *
_afork_launchers_find (AForkRuntime *runtime)
{
  return launchers[_afork_runtime_get_kind (runtime)];
}
