/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Writes as many bytes as FD takes without waiting. FD may be in blocking mode, and other processes
 * may write to the same file description. Returns how many bytes were written, or -1 and sets
 * errno, which is EAGAIN if there is no room now. Raises no signal: neither SIGPIPE, nor SIGXFSZ,
 * nor SIGTTOU.
 *
 * Writes to a regular file may wait for the disk. Other descriptors that cannot be written to
 * without waiting fail with EOPNOTSUPP. */
gssize _afork_write_now (int         fd,
                         const void *bytes,
                         gsize       n_bytes);

G_END_DECLS
