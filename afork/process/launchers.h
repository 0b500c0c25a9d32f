/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* The launcher of RUNTIME. This is the only place where the kind of a runtime makes a
 * difference. */
const AForkLauncher *_afork_launchers_find (AForkRuntime *runtime);

G_END_DECLS
