/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Descriptors of a test. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The number of descriptors of this program, including one that is open while they are counted. */
guint count_fds    (void);

/* Makes a pipe, or a pair of connected sockets, close-on-exec. */
void  open_pipe    (int *reading,
                    int *writing);
void  open_sockets (int *ours,
                    int *theirs);

/* Closes *FD, and sets it to -1. */
void  close_fd     (int *fd);

G_END_DECLS
