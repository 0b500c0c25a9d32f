/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "launcher.h"

G_BEGIN_DECLS

/* Has a server executed on another host. For that, a relay runs beside the caller, and the
 * runtime's command connects it to an agent there. All processes of the runtime in one main context
 * share the connection, which ends with the last of them. */
extern const AForkLauncher _afork_launcher_agent;

G_END_DECLS
