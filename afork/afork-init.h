/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

AFORK_AVAILABLE_IN_ALL
void afork_init (int    *argc,
                 char ***argv);

G_END_DECLS
