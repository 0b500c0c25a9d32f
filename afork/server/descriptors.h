/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The descriptors that a process starts with, and those that it must not keep. */

#pragma once

#include <stdbool.h>

/* Returns whether FD is a stream socket. Async-signal-safe. */
bool afork_is_stream_socket  (int fd);

/* Opens /dev/null as each of 0, 1 and 2 that is closed, so that no other file is opened under these
 * numbers. Async-signal-safe. */
void afork_open_standard_fds (void);

/* Returns a copy of FD, close-on-exec and with a number above 2, or -1 and sets errno.
 * Async-signal-safe. */
int  afork_dup_above_stderr  (int fd);

/* Closes all descriptors from FIRST on. Returns false if some may be left: without close_range()
 * and /proc, descriptors are tried one by one up to AFORK_LAST_SOUGHT_FD, and the process may have
 * higher ones. Async-signal-safe. */
bool afork_close_from        (int first);

/* Makes the same descriptors close-on-exec instead. Async-signal-safe. */
bool afork_hide_from         (int first);

enum { AFORK_LAST_SOUGHT_FD = 65536 };

/* Makes SOCKET close-on-exec and blocking, as afork_serve() needs it. Async-signal-safe. */
void afork_prepare_socket    (int socket);
