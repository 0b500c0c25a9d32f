/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A main context that goes, as the objects that belong to it see it. */

#include "config.h"

#include "afork/base/context.h"

/* One thread lets the context go, and is at work with what belonged to it. Another one that comes
 * then leaves its work to the first. */

typedef struct
{
  AForkContext *context;
  GThread      *destroyer;
  GThread      *worker;         /* that did the other thread's work */
  guint         n_working;      /* in the destroyer */
} Going;

static void
note_worker (gpointer data)
{
  Going *self = data;

  g_assert_cmpuint (self->n_working, ==, 0);
  self->worker = g_thread_self ();
}

static gpointer
leave_work (gpointer data)
{
  Going *self = data;

  g_assert_null (_afork_context_hold_once (self->context));
  _afork_context_run (self->context, note_worker, self);
  return NULL;
}

/* In the thread that lets the context go. */
static void
let_other_run (gpointer data)
{
  Going *self = data;
  g_autoptr(AForkHold) hold = _afork_context_hold_once (self->context);

  g_assert_nonnull (hold);
  self->n_working++;
  g_thread_join (g_thread_new ("other", leave_work, self));
  g_assert_null (self->worker);
  self->n_working--;
}

static gpointer
queue_work (gpointer data)
{
  Going *self = data;

  _afork_context_run (self->context, let_other_run, self);
  return NULL;
}

static void
test_context_going (gconstpointer data)
{
  const gboolean is_watched = data != NULL;
  g_autoptr(GMainContext) main = g_main_context_new ();
  Going going = { .destroyer = g_thread_self () };
  AForkHold *hold;

  g_main_context_push_thread_default (main);
  going.context = _afork_context_ref_thread_default ();
  g_main_context_pop_thread_default (main);

  if (is_watched)
    g_assert_true (_afork_context_watch (going.context, let_other_run, &going));
  else
    g_thread_join (g_thread_new ("other", queue_work, &going));
  g_clear_pointer (&main, g_main_context_unref);
  g_assert_true (going.worker == going.destroyer);

  /* Now everything is left to all. */
  hold = _afork_context_hold (going.context);
  g_assert_nonnull (hold);
  _afork_hold_release (hold);
  g_assert_false (_afork_context_watch (going.context, let_other_run, &going));
  _afork_context_unref (going.context);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/context/going/work", NULL, test_context_going);
  g_test_add_data_func ("/context/going/watch", GINT_TO_POINTER (1), test_context_going);

  return g_test_run ();
}
