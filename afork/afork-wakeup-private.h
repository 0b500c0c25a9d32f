/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* GLib wakes a main context that sleeps in another thread by writing to an eventfd. Forks share
 * that of the default main context, and then one of them is woken in another's place. */

/* Finds the descriptor, or -1. Wakes the context, so nobody else may have the descriptor yet. */
int  _afork_wakeup_find  (void);

/* In a fork: gives the context an eventfd of its own, under the same number. FD is what
 * _afork_wakeup_find() returned before. Only makes system calls. */
void _afork_wakeup_renew (int fd);

G_END_DECLS
