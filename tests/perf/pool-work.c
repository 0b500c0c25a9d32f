/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "pool-work.h"

#include <sched.h>
#include <time.h>

enum { SPIN_NS = 1000 * 1000 };

static int64_t
get_thread_time (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

void
pool_spin (void)
{
  int64_t end = get_thread_time () + SPIN_NS;

  while (get_thread_time () < end)
    ;
}

int
pool_count_processors (void)
{
  cpu_set_t set;

  if (sched_getaffinity (0, sizeof set, &set) < 0)
    case_fail_errno ("sched_getaffinity");
  return CPU_COUNT (&set);
}

void
pool_print_efficiency (const CaseOptions *options,
                       int64_t            elapsed)
{
  int n_processors = pool_count_processors ();
  int n_at_once = options->workers < n_processors ? options->workers : n_processors;
  int64_t percent = (int64_t) options->count * SPIN_NS * 100 / n_at_once / elapsed;

  if (percent < 1)              /* of a few jobs, most of the time is their start */
    percent = 1;
  case_print_series ("efficiency-percent", &percent, 1);
}
