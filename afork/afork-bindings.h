/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <glib.h>

#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

AFORK_AVAILABLE_IN_ALL
gsize     afork_bindings_get_variant_address (GVariant *value);
AFORK_AVAILABLE_IN_ALL
GVariant *afork_bindings_take_variant        (gsize     address);
AFORK_AVAILABLE_IN_ALL
GVariant *afork_bindings_new_variant         (const char *type,
                                              GBytes     *data);
AFORK_AVAILABLE_IN_ALL
gsize     afork_bindings_get_bytes_address   (GBytes   *bytes);

G_END_DECLS
