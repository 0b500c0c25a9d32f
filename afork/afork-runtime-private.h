/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-peer-private.h"
#include "afork-runtime.h"

G_BEGIN_DECLS

/* Makes a fresh process of the runtime, as a rule by executing its program, as PEER, and tells it
 * where its modules are. */
void          _afork_runtime_spawn       (AForkRuntime *self,
                                          AForkPeer    *peer);

/* The runtime of templates that are forked off this program. */
AForkRuntime *_afork_runtime_get_program (void);

G_END_DECLS
