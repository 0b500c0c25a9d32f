/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "turn.h"

enum
{
  /* The load of a thread is the time, in microseconds, that this library has worked in it, minus
   * the time that it has not. A source falls behind at MAX_LOAD, and gets its own priority back at
   * LOW_LOAD. So the library works at its own priority for no more than half of the time. */
  LOW_LOAD = 2 * 1000,
  MAX_LOAD = 8 * 1000,
  /* The limit of the load: a handler may run a main loop of its own, which counts as work. */
  COUNTED_LOAD = 16 * 1000,
  /* The most steps between two readings of the clock. If the last steps took longer than
   * LONG_STEPS, in microseconds, it is one. */
  MAX_STEPS = 8,
  LONG_STEPS = 100,
  /* Steps before the first reading: as many as a single message takes. */
  FIRST_STEPS = 3,
  /* The part of AFORK_TURN_TIME that a turn in prepare() gets. */
  EARLY_TIME = 1000,
};

typedef struct
{
  gint64 iteration;             /* identifies the iteration: g_source_get_time() in it */
  gint64 end;                   /* when the time for this iteration is over */
  gint64 load;
  gint64 load_time;             /* when the load was last computed */
} Thread;

static Thread *
get_thread (void)
{
  static GPrivate private = G_PRIVATE_INIT (g_free);
  Thread *thread = g_private_get (&private);

  if (thread == NULL)
    {
      thread = g_new0 (Thread, 1);
      g_private_set (&private, thread);
    }
  return thread;
}

static gint64
get_load (Thread *thread,
          gint64  now)
{
  return MAX (0, thread->load - (now - thread->load_time));
}

/* Begins a turn that leaves LEFT microseconds of the time for this iteration to other sources. */
static gboolean
begin (AForkTurn *self,
       GSource   *source,
       gint64     left)
{
  Thread *thread = get_thread ();
  gint64 now = g_get_monotonic_time ();
  gint64 iteration;

  /* This time is the same for all sources that are dispatched in one iteration. */
  iteration = source != NULL ? g_source_get_time (source) : now;
  if (iteration != thread->iteration)
    {
      thread->iteration = iteration;
      thread->end = now + AFORK_TURN_TIME;
    }

  thread->load = get_load (thread, now);
  thread->load_time = now;
  *self = (AForkTurn) {
    .thread = thread,
    .end = thread->end - left,
    .clock_time = now,
    .n_steps_left = FIRST_STEPS,
    .n_steps_next = 1,
    .is_over = now >= thread->end - left,
  };
  return !self->is_over;
}

gboolean
_afork_turn_begin (AForkTurn *self,
                   GSource   *source)
{
  return begin (self, source != NULL ? source : g_main_current_source (), 0);
}

gboolean
_afork_turn_begin_early (AForkTurn *self,
                         GSource   *source)
{
  return begin (self, source, AFORK_TURN_TIME - EARLY_TIME);
}

gboolean
_afork_turn_goes_on (AForkTurn *self)
{
  gint64 now;

  if (self->is_over)
    return FALSE;
  if (self->n_steps_left > 0)
    {
      self->n_steps_left--;
      return TRUE;
    }

  now = g_get_monotonic_time ();
  self->n_steps_next = now - self->clock_time > LONG_STEPS ? 1
    : MIN (self->n_steps_next * 2, MAX_STEPS);
  self->n_steps_left = self->n_steps_next - 1;
  self->clock_time = now;
  self->is_over = now >= self->end;
  return !self->is_over;
}

void
_afork_turn_check_clock (AForkTurn *self)
{
  self->n_steps_left = 0;
}

static gboolean
promote_cb (gpointer data)
{
  GSource *source = data;

  if (!g_source_is_destroyed (source))
    g_source_set_priority (source, G_PRIORITY_DEFAULT);
  return G_SOURCE_REMOVE;
}

/* Sets the priority even if it is the same. GLib then puts the source behind the other sources of
 * this priority, so that they take turns. */
static void
fall_behind (GSource        *source,
             AForkTurnState *state,
             gint64          now)
{
  g_source_set_priority (source, AFORK_TURN_PRIORITY_BEHIND);
  state->is_behind = TRUE;

  if (now >= state->promotion)
    {
      g_autoptr(GSource) timer = g_timeout_source_new (AFORK_TURN_BEHIND_TIME / 1000);

      g_source_set_static_name (timer, "[afork] turn");
      g_source_set_priority (timer, G_PRIORITY_DEFAULT);
      g_source_set_callback (timer, promote_cb, g_source_ref (source),
                             (GDestroyNotify) g_source_unref);
      g_source_attach (timer, g_source_get_context (source));
      state->promotion = now + AFORK_TURN_BEHIND_TIME;
    }
}

void
_afork_turn_end (AForkTurn      *self,
                 AForkTurnState *state,
                 GSource        *source,
                 gboolean        caught_up)
{
  Thread *thread = self->thread;
  gint64 now = g_get_monotonic_time ();

  thread->load = MIN (thread->load + now - thread->load_time, COUNTED_LOAD);
  thread->load_time = now;
  if (source == NULL)
    return;

  if (!caught_up || thread->load > MAX_LOAD)
    {
      if (!caught_up || g_source_get_priority (source) != AFORK_TURN_PRIORITY_BEHIND)
        fall_behind (source, state, now);
    }
  else if (state->is_behind && thread->load <= LOW_LOAD)
    {
      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      state->is_behind = FALSE;
    }
}

GSource *
_afork_turn_timer_new (gint64 time)
{
  GSource *timer = g_timeout_source_new (0);

  g_source_set_ready_time (timer, time);
  return timer;
}

gboolean
_afork_turn_prepare (AForkTurnState *state,
                     int            *timeout)
{
  gint64 surplus;

  if (!state->is_behind)
    return FALSE;

  surplus = get_load (get_thread (), g_get_monotonic_time ()) - LOW_LOAD;
  if (surplus <= 0)
    return TRUE;

  surplus = (surplus + 999) / 1000;
  if (*timeout < 0 || *timeout > surplus)
    *timeout = (int) surplus;
  return FALSE;
}
