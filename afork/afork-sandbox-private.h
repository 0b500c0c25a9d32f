/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-sandbox.h"
#include "base/limits.h"

G_BEGIN_DECLS

/* Returns the payload of RESTRICT that asks for what the sandbox says now, or NULL if it has too
 * many paths. ADDRESS_SPACE is whether the runtime can do with a limit of its address space. */
GBytes      *_afork_sandbox_describe   (AForkSandbox  *self,
                                        gboolean       address_space,
                                        GError       **error);
AForkLimits *_afork_sandbox_dup_limits (AForkSandbox  *self);

G_END_DECLS
