/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Limit: jobs in threads of one process. Variants: `echo`, which does nothing; and `spin`, which
 * computes for a millisecond and also prints `efficiency-percent`. */

#include "config.h"

#include <glib.h>

#include "pool-work.h"
#include "thread-loop.h"

static void
do_nothing (int ticket)
{
}

static void
spin (int ticket)
{
  pool_spin ();
}

int
main (int    argc,
      char **argv)
{
  CaseOptions options;

  case_init (&options, argc, argv);
  if (g_strcmp0 (options.variant, "echo") == 0)
    thread_loop_run (&options, do_nothing);
  else if (g_strcmp0 (options.variant, "spin") == 0)
    pool_print_efficiency (&options, thread_loop_run (&options, spin));
  else
    case_fail ("no such variant");
  return 0;
}
