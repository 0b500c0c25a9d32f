/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The program that does nothing, linked to libc only. */

int
main (void)
{
  return 0;
}
