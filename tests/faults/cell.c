/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "cell.h"

#include <malloc.h>
#include <unistd.h>

#include "test-util.h"

#if defined (__SANITIZE_ADDRESS__)
# include <sanitizer/lsan_interface.h>
#endif

enum
{
  /* A leak grows each time. Other memory is allocated only at first. */
  MAX_REPEATS = 25,
};

static void
reset (FaultPlan *plan)
{
  for (guint role = 0; role < FAULT_N_ROLES; role++)
    for (guint call = 0; call < FAULT_N_CALLS; call++)
      atomic_store (&plan->counts[role][call], 0);
  atomic_store (&plan->hit, 0);
  atomic_store (&plan->finishing, FALSE);
  atomic_store (&plan->continued, FALSE);
}

/* Once with the fault, until nothing of it is left, and then without. */
static void
run_once (const Workload *workload,
          FaultPlan      *plan,
          CellReport     *report,
          int             control,
          Census         *census)
{
  Run *run = run_new (plan, control, report->wrong, sizeof report->wrong);

  reset (plan);
  atomic_store (&plan->armed, TRUE);
  workload->func (run);
  report->kinds |= run_finish (run, &report->n_operations);
  census_end (census);
  atomic_store (&plan->armed, FALSE);
  run_free (run);
  report->reached |= atomic_load (&plan->hit) != 0;

  workloads_check ();
  census_end (census);
}

#if defined (__SANITIZE_ADDRESS__)

static void
check_memory (const Workload *workload,
              FaultPlan      *plan,
              CellReport     *report,
              Census         *census)
{
  if (__lsan_do_recoverable_leak_check () != 0)
    g_snprintf (report->wrong, sizeof report->wrong, "Memory was lost");
}

#else

static void
check_memory (const Workload *workload,
              FaultPlan      *plan,
              CellReport     *report,
              Census         *census)
{
  size_t before = 0, after = 0;

  /* A program with threads cannot be forked any more, and the driver continues a stopped process
   * only once. */
  if (workload->single || fault_stops (plan->action))
    return;

  for (guint i = 0; i < MAX_REPEATS; i++)
    {
      run_once (workload, plan, report, -1, census);
      before = after;
      after = mallinfo2 ().uordblks;
      if (i > 0 && after <= before)
        return;
    }

  g_snprintf (report->wrong, sizeof report->wrong,
              "Memory grows each time, the last time by %zu bytes", after - before);
}

#endif

void
cell_run (const Workload     *workload,
          FaultPlan          *plan,
          CellReport         *report,
          int                 control,
          const char * const *environment,
          const char * const *own_environment)
{
  Census census;

  /* What the library has for debugging is not needed here. */
  g_log_set_default_handler (g_log_default_handler, NULL);
  fault_join (plan, FAULT_CALLER);
  workloads_begin (environment, own_environment);
  if (workload->single)
    census_begin_single (&census);
  else
    census_begin (&census);

  run_once (workload, plan, report, control, &census);
  check_memory (workload, plan, report, &census);
  report->over = TRUE;
  _exit (0);
}
