/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-early.h"
#include "afork-types.h"

G_BEGIN_DECLS

/* The template of afork_early(), if that was called in this thread's thread-default main context;
 * else NULL. It is given no command log, so that its forks are fresh processes. */
AForkProcess *_afork_early_get (void);

G_END_DECLS
