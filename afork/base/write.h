/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Writes what FD takes at once, and never waits, even if the file description is a blocking one,
 * which other processes have as well, and they write at the same time. Returns how many bytes were
 * taken, or -1 and errno, which is EAGAIN if there is no room for now. Sends no signal to this
 * process: neither SIGPIPE, nor SIGXFSZ, nor SIGTTOU.
 *
 * A regular file is written to in the usual way, since there is no other. A descriptor that cannot
 * be written to without waiting fails with EOPNOTSUPP. */
gssize _afork_write_now (int         fd,
                         const void *bytes,
                         gsize       n_bytes);

G_END_DECLS
