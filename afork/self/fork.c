/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "server/fork.h"

#include <unistd.h>

/* In a program, other than in the server, libraries may have asked to be told of forks before this
 * one was there to notice. */
pid_t
afork_fork (void)
{
  return fork ();
}
