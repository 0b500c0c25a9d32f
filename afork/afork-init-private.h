/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-init.h"

G_BEGIN_DECLS

/* Whether this program, executed again, would serve. False and AFORK_ERROR_SPAWN if it would do
 * what it does for its user instead. */
gboolean _afork_init_check (GError **error);

G_END_DECLS
