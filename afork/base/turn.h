/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How long the sources of this library may work before other sources get their chance.
 *
 * Other processes decide how much a source finds to do, so it works in turns. All sources of one
 * thread together get AFORK_TURN_TIME in one iteration of a main context. A source that could not
 * finish, or one that finds that this library has kept the thread busy for long, falls behind: it
 * goes on at AFORK_TURN_PRIORITY_BEHIND until it has caught up. So whatever comes, a window is
 * redrawn and idle sources run. Every AFORK_TURN_BEHIND_TIME, such a source gets one turn at its
 * own priority, so that a program whose sources are always ready at that priority does not stop
 * it. */

enum
{
  /* In microseconds. */
  AFORK_TURN_TIME = 4 * 1000,
  AFORK_TURN_BEHIND_TIME = 100 * 1000,
  /* Below GDK's redraw, which is 120, and beside ordinary idle sources. */
  AFORK_TURN_PRIORITY_BEHIND = G_PRIORITY_DEFAULT_IDLE,
};

/* What a source has. All zero at first, also for a new source that takes the old one's place. */
typedef struct
{
  gboolean is_behind;
  gint64   promotion;           /* when it has its own priority back, in microseconds */
} AForkTurnState;

/* One turn, on the stack. Times are in microseconds. */
typedef struct
{
  gint64   end;
  gint64   clock_time;          /* when the clock was last read */
  guint    n_steps_left;        /* until the clock is read again */
  guint    n_steps_next;        /* between that reading and the one after it */
  gboolean is_over;
} AForkTurn;

/* SOURCE, or the source that is being dispatched if SOURCE is NULL, begins to work. False if there
 * is no time left in this iteration: then the source returns without having done anything, and
 * stays ready. */
gboolean _afork_turn_begin   (AForkTurn      *self,
                              GSource        *source);

/* The same in SOURCE's prepare(), which gets a part of the iteration's time: the sources that are
 * ready need the rest. If this is false, the source is to be dispatched. */
gboolean _afork_turn_begin_early (AForkTurn   *self,
                                  GSource     *source);

/* Called before each step. False if the turn is over. A step is one message, or at most a
 * millisecond of other work. */
gboolean _afork_turn_goes_on (AForkTurn      *self);

/* Makes the next _afork_turn_goes_on() read the clock, because the last step may have been long. */
void     _afork_turn_check_clock (AForkTurn      *self);

/* Ends a turn that was begun. SOURCE is NULL if it has been destroyed meanwhile. CAUGHT_UP: nothing
 * is left that could be done at once. */
void     _afork_turn_end     (AForkTurn      *self,
                              AForkTurnState *state,
                              GSource        *source,
                              gboolean        caught_up);

/* For the source's prepare(): whether the source is to be dispatched so that it gets its own
 * priority back. Else *TIMEOUT is shortened so that this is asked again in time. */
gboolean _afork_turn_prepare (AForkTurnState *state,
                              int            *timeout);

G_END_DECLS
