/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* A main context, as seen by the objects that belong to it: when another thread owns it, and when
 * it is freed. */

#include "config.h"

#include "afork/base/context.h"

/* One thread frees the context, and works with the objects that belonged to it. Another thread that
 * comes meanwhile leaves its work to the first. */

typedef struct
{
  AForkContext *context;
  GThread      *destroyer;
  GThread      *worker;         /* that did the work of the other thread */
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

/* Called in the thread that frees the context. */
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

  /* Now all threads may use the objects. */
  hold = _afork_context_hold (going.context);
  g_assert_nonnull (hold);
  _afork_hold_release (hold);
  g_assert_false (_afork_context_watch (going.context, let_other_run, &going));
  _afork_context_unref (going.context);
}

/* GLib has taken the context from all sources when it destroys the first one, which belongs to this
 * program here. */

static void
assert_gone (gpointer data)
{
  const Going *self = data;

  g_assert_true (_afork_context_is_gone (self->context));
  g_assert_null (_afork_context_peek (self->context));
}

static void
test_context_gone (void)
{
  g_autoptr(GMainContext) main = g_main_context_new ();
  g_autoptr(GSource) source = g_idle_source_new ();
  Going going = { 0 };

  g_main_context_push_thread_default (main);
  going.context = _afork_context_ref_thread_default ();
  g_main_context_pop_thread_default (main);
  g_assert_true (_afork_context_peek (going.context) == main);

  /* Its priority is the lowest, so it is destroyed first. */
  g_source_set_priority (source, G_MAXINT);
  g_source_set_callback (source, NULL, &going, assert_gone);
  g_source_attach (source, main);
  g_clear_pointer (&main, g_main_context_unref);
  g_assert_true (g_source_is_destroyed (source));
  assert_gone (&going);
  _afork_context_unref (going.context);
}

/* A thread that does not own the context leaves its work to the one that does. */

static gpointer
try_to_work (gpointer data)
{
  Going *self = data;

  g_assert_null (_afork_context_hold (self->context));
  _afork_context_run (self->context, note_worker, self);
  return NULL;
}

static void
test_context_elsewhere (gconstpointer data)
{
  const gboolean is_default = data != NULL;
  g_autoptr(GMainContext) main = is_default ? g_main_context_ref (g_main_context_default ())
                                            : g_main_context_new ();
  Going self = { 0 };

  g_assert_true (g_main_context_acquire (main));
  g_main_context_push_thread_default (main);
  self.context = _afork_context_ref_thread_default ();
  g_main_context_pop_thread_default (main);

  g_thread_join (g_thread_new ("other", try_to_work, &self));
  g_assert_null (self.worker);
  while (self.worker == NULL)
    g_main_context_iteration (main, TRUE);
  g_assert_true (self.worker == g_thread_self ());

  g_main_context_release (main);
  _afork_context_unref (self.context);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/context/going/work", NULL, test_context_going);
  g_test_add_data_func ("/context/going/watch", GINT_TO_POINTER (1), test_context_going);
  g_test_add_func ("/context/gone", test_context_gone);
  g_test_add_data_func ("/context/elsewhere/own", NULL, test_context_elsewhere);
  g_test_add_data_func ("/context/elsewhere/default", GINT_TO_POINTER (1), test_context_elsewhere);

  return g_test_run ();
}
