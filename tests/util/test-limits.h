/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* What a test needs and a machine may not have. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Raises the soft limit of descriptors, which processes executed from now on inherit. If the hard
 * limit is too low for N_FDS, skips the test and returns FALSE. */
gboolean need_descriptors     (guint n_fds);

/* Raises the soft limit of descriptors, which processes executed from now on inherit. Returns how
 * many forks of a template this program may have at a time, MAX_FORKS at most. */
guint    allow_forks          (guint max_forks);

/* Limits the memory of this program to its present size and MORE bytes; the second function ends
 * this. */
void     limit_memory         (gsize more);
void     unlimit_memory       (void);

/* If this program runs as root and cannot become an ordinary user, as in some user namespaces,
 * skips the test and returns FALSE. */
gboolean need_ordinary_user   (void);

/* If this program runs as root, becomes an ordinary user. Async-signal-safe. */
gboolean become_ordinary_user (void);

G_END_DECLS
