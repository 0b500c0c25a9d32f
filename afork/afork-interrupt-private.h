/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-interrupt.h"

G_BEGIN_DECLS

/* Returns a source in CONTEXT that calls the function which this thread has set, or NULL if it has
 * set none. */
GSource *_afork_interrupt_attach (GMainContext *context);

G_END_DECLS
