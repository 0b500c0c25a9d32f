/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Processes in all states at once, and all operations on them in any order. */

#include "config.h"

#include "test-pid-watch-util.h"

typedef struct
{
  AForkProcess      *process;   /* NULL once it was dropped */
  GSocketConnection *connection;
  GCancellable      *cancellable;
  guint              n_runs;
  guint              n_run_answers;
  guint              n_waits;
  guint              n_wait_answers;
  guint              n_exited;
  gboolean           run_requested;
} Tracked;

typedef struct
{
  GPtrArray *all;               /* of Tracked */
  guint      n_succeeded;
  guint      n_failed;
  guint      n_cancelled;
} Crowd;

static Crowd crowd;

static void
count_answer (const GError *error)
{
  if (error == NULL)
    crowd.n_succeeded++;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    crowd.n_cancelled++;
  else
    crowd.n_failed++;
}

static void
run_answer_cb (GObject      *object,
               GAsyncResult *result,
               gpointer      data)
{
  Tracked *tracked = data;
  g_autoptr(GSocketConnection) connection = NULL;
  g_autoptr(GError) error = NULL;

  connection = afork_process_run_finish (AFORK_PROCESS (object), result, &error);
  g_assert_true ((connection == NULL) == (error != NULL));
  if (connection != NULL)
    tracked->connection = g_steal_pointer (&connection);
  count_answer (error);
  tracked->n_run_answers++;
}

static void
wait_answer_cb (GObject      *object,
                GAsyncResult *result,
                gpointer      data)
{
  Tracked *tracked = data;
  g_autoptr(GError) error = NULL;
  gboolean success;

  success = afork_process_wait_finish (AFORK_PROCESS (object), result, &error);
  g_assert_true (success == (error == NULL));
  count_answer (error);
  tracked->n_wait_answers++;
}

static void
count_exited_cb (AForkProcess *process,
                 int           wait_status,
                 gpointer      data)
{
  Tracked *tracked = data;

  tracked->n_exited++;
}

static void
track (AForkProcess *process)
{
  Tracked *tracked = g_new0 (Tracked, 1);

  tracked->process = process;
  tracked->cancellable = g_cancellable_new ();
  /* A fork whose template has failed already could not be made, and this was reported before. */
  tracked->n_exited = afork_process_get_state (process) == AFORK_PROCESS_STATE_EXITED;
  g_signal_connect (process, "exited", G_CALLBACK (count_exited_cb), tracked);
  g_ptr_array_add (crowd.all, tracked);
}

static Tracked *
pick (void)
{
  return g_ptr_array_index (crowd.all, g_test_rand_int_range (0, (gint32) crowd.all->len));
}

static void
do_anything (AForkProcess *template)
{
  static const char * const functions[] = { "done", "until_closed", "no_such_function" };
  Tracked *tracked = crowd.all->len > 0 ? pick () : NULL;
  int what = g_test_rand_int_range (0, 20);

  if (tracked == NULL || tracked->process == NULL || what < 5)
    {
      if (tracked != NULL && tracked->process != NULL && !tracked->run_requested && what % 2 == 0)
        track (afork_process_fork (tracked->process));
      else
        track (what == 1 ? new_executed () : afork_process_fork (template));
      return;
    }

  switch (what)
    {
    case 5:
    case 6:
    case 7:
    case 8:
      tracked->run_requested = TRUE;
      tracked->n_runs++;
      afork_process_run_async (tracked->process,
                               functions[g_test_rand_int_range (0, G_N_ELEMENTS (functions))],
                               g_test_rand_bit () ? tracked->cancellable : NULL,
                               run_answer_cb, tracked);
      break;
    case 9:
    case 10:
      tracked->n_waits++;
      afork_process_wait_async (tracked->process, tracked->cancellable, wait_answer_cb, tracked);
      break;
    case 11:
      g_cancellable_cancel (tracked->cancellable);
      break;
    case 12:
      afork_process_force_exit (tracked->process);
      break;
    case 13:
      afork_process_send_signal (tracked->process, SIGTERM);
      break;
    case 14:
      g_clear_object (&tracked->process);
      break;
    default:
      g_main_context_iteration (NULL, FALSE);
      break;
    }
}

static void
test_any_order (Fixture       *fixture,
                   gconstpointer  data)
{
  guint n_steps = is_under_valgrind () ? 400 : 3000;
  guint n_runs = 0, n_waits = 0, n_exited = 0;

  crowd = (Crowd) { .all = g_ptr_array_new_with_free_func (g_free) };
  for (guint i = 0; i < n_steps; i++)
    do_anything (fixture->template);

  /* A process whose object is kept must exit. A process whose object was dropped exits when nothing
   * waits for it any more. */
  for (guint i = 0; i < crowd.all->len; i++)
    {
      Tracked *tracked = g_ptr_array_index (crowd.all, i);

      if (tracked->process != NULL)
        afork_process_force_exit (tracked->process);
      while (tracked->n_run_answers < tracked->n_runs)
        g_main_context_iteration (NULL, TRUE);
      g_clear_object (&tracked->connection);
      if (tracked->process == NULL)
        g_cancellable_cancel (tracked->cancellable);
    }
  for (guint i = 0; i < crowd.all->len; i++)
    {
      Tracked *tracked = g_ptr_array_index (crowd.all, i);

      if (tracked->process != NULL)
        await_end (tracked->process);
      while (tracked->n_wait_answers < tracked->n_waits)
        g_main_context_iteration (NULL, TRUE);
    }
  g_clear_object (&fixture->template);
  census_end (&fixture->census);
  iterate ();

  for (guint i = 0; i < crowd.all->len; i++)
    {
      Tracked *tracked = g_ptr_array_index (crowd.all, i);

      g_assert_cmpuint (tracked->n_run_answers, ==, tracked->n_runs);
      g_assert_cmpuint (tracked->n_wait_answers, ==, tracked->n_waits);
      g_assert_cmpuint (tracked->n_exited, <=, 1);
      if (tracked->process != NULL)
        g_assert_cmpuint (tracked->n_exited, ==, 1);
      n_runs += tracked->n_runs;
      n_waits += tracked->n_waits;
      n_exited += tracked->n_exited;
      g_clear_object (&tracked->process);
      g_object_unref (tracked->cancellable);
    }
  g_test_message ("%u processes, %u runs, %u waits, %u ends seen; "
                  "%u operations succeeded, %u failed, %u were cancelled",
                  crowd.all->len, n_runs, n_waits, n_exited,
                  crowd.n_succeeded, crowd.n_failed, crowd.n_cancelled);
  g_assert_cmpuint (crowd.n_succeeded + crowd.n_failed + crowd.n_cancelled, ==, n_runs + n_waits);
  g_clear_pointer (&crowd.all, g_ptr_array_unref);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_with_module ("/once/any-order", "lifecycle", test_any_order);

  return g_test_run ();
}
