/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* GLib wakes a main context that sleeps in another thread by writing to an eventfd. Forks share
 * those there are, and then one of them is woken in another's place. These are the descriptors that
 * the default main context has for that, and the thread-default one; -1 is none. Others cannot be
 * found. */
typedef struct
{
  int fds[2];
} AForkContextWakeups;

/* Wakes the contexts, so nobody else may have the descriptors yet. */
void _afork_context_wakeups_find  (AForkContextWakeups       *self);

/* In a fork: gives the contexts eventfds of their own, under the same numbers. Only makes system
 * calls. */
void _afork_context_wakeups_renew (const AForkContextWakeups *self);

G_END_DECLS
