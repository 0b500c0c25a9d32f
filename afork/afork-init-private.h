/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-init.h"

G_BEGIN_DECLS

/* Whether this program becomes a server if it is executed again. If not, because it does not call
 * afork_init(), it would do its own work: then this returns false and sets AFORK_ERROR_SPAWN. */
gboolean _afork_init_check (GError **error);

G_END_DECLS
