/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* Executes the calling program again. It calls afork_init(), and serves there. */
extern const AForkLauncher _afork_launcher_self;

/* Forks the calling program as it is. */
extern const AForkLauncher _afork_launcher_program;

G_END_DECLS
