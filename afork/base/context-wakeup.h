/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* GLib wakes a main context that waits in another thread by writing to an eventfd. A fork shares
 * the eventfds of its parent, so a write may wake the wrong process. These are the eventfds of the
 * default main context and of the thread-default one, or -1. Those of other contexts cannot be
 * found. */
typedef struct
{
  int fds[2];
} AForkContextWakeups;

/* Finds the eventfds. This wakes the contexts, so call it before other processes share the
 * eventfds. */
void _afork_context_wakeups_find  (AForkContextWakeups       *self);

/* In a fork: gives the contexts new eventfds, under the same numbers. Only makes system calls. */
void _afork_context_wakeups_renew (const AForkContextWakeups *self);

G_END_DECLS
