/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* serve.c, of which there is one to a process and which so never forgets. */

#include <afork/worker/serve.c>

void
world_reset_server (void)
{
  memset (&server, 0, sizeof server);
}
