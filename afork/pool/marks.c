/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "marks.h"

#include <sysprof-capture.h>
#include <unistd.h>

int _afork_marks_state;

static pid_t marked_pid;        /* the process that Sysprof records; set before the state */

AForkMarksState
_afork_marks_read_state (void)
{
  AForkMarksState state = g_getenv ("SYSPROF_CONTROL_FD") != NULL ? AFORK_MARKS_STATE_ON
                                                                 : AFORK_MARKS_STATE_OFF;

  marked_pid = getpid ();
  g_atomic_int_set (&_afork_marks_state, (int) state);
  return state;
}

void
_afork_marks_add_job (const char *function,
                      int         pid,
                      gint64      waits_since,
                      gint64      begun,
                      gint64      ended)
{
  /* A fork of the program shares the collector's memory with its parent, and must not write to
   * it. */
  if (getpid () != marked_pid)
    return;

  sysprof_collector_mark_printf (waits_since * 1000, (ended - waits_since) * 1000, "AFork",
                                 function, "waited %.3f ms, ran %.3f ms in worker %d",
                                 (double) (begun - waits_since) / 1000,
                                 (double) (ended - begun) / 1000, pid);
}
