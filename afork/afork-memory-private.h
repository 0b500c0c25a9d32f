/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Unmaps memory, in pieces if it is large: the kernel takes about 0.1 ms for each MiB that was
 * touched. Where a main context dispatches the caller, an idle source of that context unmaps what
 * is left over; so does the end of the context. */
void _afork_memory_unmap (gpointer data,
                          gsize    size);

G_END_DECLS
