/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The descriptors that a server begins with. */

#pragma once

#include <stdbool.h>

bool afork_is_stream_socket  (int fd);

/* Whoever started this process may have none of 0, 1 and 2; whatever is opened next must not become
 * one of them. Those that are missing become /dev/null. */
void afork_open_standard_fds (void);

/* Makes SOCKET what afork_serve() wants: close-on-exec and blocking. */
void afork_prepare_socket    (int socket);
