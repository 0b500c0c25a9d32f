/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The helper threads of the JavaScript engine, which compile and collect garbage beside the main
 * thread. The engine has a pool of its own, whose threads cannot be ended; a process that has them
 * must not be forked. But the engine can be given another pool before the first context is made.
 * This one starts its threads when there is work, and ends them before each fork. */

/* Makes the engine use these threads. Call this once, before the first context is made. Returns
 * false if the engine has no function for it that is known here; then it has its own threads. */
gboolean _afork_helper_threads_init (void);

/* Waits until the threads have done all work, and ends them. They are started again when there is
 * work. Does nothing without _afork_helper_threads_init(). */
void     _afork_helper_threads_end  (void);

G_END_DECLS
