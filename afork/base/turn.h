/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Limits the time that the sources of this library take from other sources.
 *
 * Other processes decide how much work a source finds, so it works in turns. In one iteration of a
 * main context, all sources of this library in one thread together get AFORK_TURN_TIME. A source
 * falls behind if it cannot finish its work, or if this library has kept the thread busy for long.
 * It then continues at AFORK_TURN_PRIORITY_BEHIND until it has caught up. So the program redraws
 * its windows and runs its idle sources, however much other processes send. Every
 * AFORK_TURN_BEHIND_TIME, a source that is behind gets one turn at its own priority. Without that,
 * a program whose sources are always ready at this priority would stop it. */

enum
{
  /* In microseconds. */
  AFORK_TURN_TIME = 4 * 1000,
  AFORK_TURN_BEHIND_TIME = 100 * 1000,
  /* Lower than that of GDK's redraw, which is 120. The same as that of idle sources. */
  AFORK_TURN_PRIORITY_BEHIND = G_PRIORITY_DEFAULT_IDLE,
};

/* The state of a source. Initialize it with zeros, also when a new source replaces the old one. */
typedef struct
{
  gboolean is_behind;
  gint64   promotion;           /* when it gets a turn at its own priority, in microseconds */
} AForkTurnState;

/* One turn, on the stack. Times are in microseconds. */
typedef struct
{
  gpointer thread;              /* what is known of this thread */
  gint64   end;
  gint64   clock_time;          /* when the clock was last read */
  guint    n_steps_left;        /* until the clock is read again */
  guint    n_steps_next;        /* between that reading and the one after it */
  gboolean is_over;
} AForkTurn;

/* Begins a turn of SOURCE. If SOURCE is NULL, it is the source that is being dispatched. Returns
 * false if no time is left in this iteration. Then the source must do nothing, and stay ready. */
gboolean _afork_turn_begin       (AForkTurn      *self,
                                  GSource        *source);

/* The same in the prepare() of SOURCE, which gets only a part of the time, because the sources that
 * are ready need the rest. If it returns false, the source has to be dispatched. */
gboolean _afork_turn_begin_early (AForkTurn      *self,
                                  GSource        *source);

/* Call it before each step, which is one message, or at most a millisecond of other work. Returns
 * false if the turn is over. */
gboolean _afork_turn_goes_on     (AForkTurn      *self);

/* Makes the next _afork_turn_goes_on() read the clock, because the last step may have been long. */
void     _afork_turn_check_clock (AForkTurn      *self);

/* Ends a turn. SOURCE is NULL if it was destroyed during the turn. CAUGHT_UP says whether the
 * source has done all that it can do now. */
void     _afork_turn_end         (AForkTurn      *self,
                                  AForkTurnState *state,
                                  GSource        *source,
                                  gboolean        caught_up);

/* A source that is dispatched from TIME on, a monotonic time in microseconds. If its callback finds
 * that no time is left in this iteration, it returns G_SOURCE_CONTINUE, and is called in the
 * next. */
GSource *_afork_turn_timer_new   (gint64          time);

/* For the prepare() of a source. Returns whether to dispatch the source, so that it gets its own
 * priority back. Otherwise shortens *TIMEOUT, so that prepare() is called again in time. */
gboolean _afork_turn_prepare     (AForkTurnState *state,
                                  int            *timeout);

G_END_DECLS
