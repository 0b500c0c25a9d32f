/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "server-state.h"

AForkServerState afork_server __attribute__ ((aligned (4096)));

_Static_assert (offsetof (AForkServerState, link.fds) <= 4096,
                "the server's small fields fill a page");
