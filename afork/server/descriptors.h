/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The descriptors that a process begins with, and that it must not have any longer. */

#pragma once

#include <stdbool.h>

bool afork_is_stream_socket  (int fd);

/* Whoever started this process may have none of 0, 1 and 2; whatever is opened next must not
 * become one of them. Those that are missing become /dev/null. */
void afork_open_standard_fds (void);

/* Returns a copy of FD, close-on-exec and with a number above 2, or -1 and sets errno. */
int  afork_dup_above_stderr  (int fd);

/* Close all descriptors from FIRST on, or make them close-on-exec. Both are async-signal-safe,
 * and may be called by a process that was just forked. False if some may be left: there is
 * neither close_range() nor /proc, and a process may have descriptors from AFORK_LAST_SOUGHT_FD
 * on, which are not looked for one by one. */
bool afork_close_from        (int first);
bool afork_hide_from         (int first);

enum { AFORK_LAST_SOUGHT_FD = 65536 };

/* Makes SOCKET what afork_serve() wants: close-on-exec and blocking. */
void afork_prepare_socket    (int socket);
