/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Marks for Sysprof, if the library was built with it: one for each job that a worker has run.
 *
 * If Sysprof does not record this program, a job costs a branch. SYSPROF_CONTROL_FD in the
 * environment says whether it does, and is read once. Only then, Sysprof's collector is used. The
 * collector has no thread and no signal handler. With the first mark of a thread, it asks Sysprof
 * over a socket for memory, and waits for the answer; it writes all marks to this memory. */
#ifdef HAVE_SYSPROF

typedef enum
{
  AFORK_MARKS_STATE_UNKNOWN,        /* the environment was not read yet */
  AFORK_MARKS_STATE_OFF,
  AFORK_MARKS_STATE_ON,
} AForkMarksState;

extern int _afork_marks_state;      /* of AForkMarksState; atomic */

AForkMarksState _afork_marks_read_state (void);

static inline gboolean
_afork_marks_are_on (void)
{
  AForkMarksState state = g_atomic_int_get (&_afork_marks_state);

  if (G_UNLIKELY (state == AFORK_MARKS_STATE_UNKNOWN))
    state = _afork_marks_read_state ();
  return state == AFORK_MARKS_STATE_ON;
}

/* A job of FUNCTION waited since WAITS_SINCE, and ran from BEGUN to ENDED in the worker PID. Times
 * are monotonic times in microseconds. */
void            _afork_marks_add_job    (const char *function,
                                         int         pid,
                                         gint64      waits_since,
                                         gint64      begun,
                                         gint64      ended);

#endif

G_END_DECLS
