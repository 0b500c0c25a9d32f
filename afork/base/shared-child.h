/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Calls FUNC with DATA in a child that shares the memory of this process, but has a stack and a
 * table of descriptors of its own. Returns 0 and sets *PID when the child has exited or has
 * executed a program, or returns an errno value. When the child exits, it sends EXIT_SIGNAL to this
 * process, unless that is 0. The caller reaps it. */
int _afork_shared_child_run (int      (*func) (void *data),
                             gpointer   data,
                             int        exit_signal,
                             GPid      *pid);

G_END_DECLS
