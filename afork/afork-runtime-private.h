/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-peer-private.h"
#include "afork-runtime.h"

G_BEGIN_DECLS

/* Executes the runtime's program as PEER, and tells it where its modules are. */
void _afork_runtime_spawn (AForkRuntime *self,
                           AForkPeer    *peer);

G_END_DECLS
