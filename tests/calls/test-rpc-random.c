/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Calls, cancelling and kills in random order: each call ends exactly once. */

#include <signal.h>

#include "test-rpc-util.h"

enum { N_ROUNDS = 40, N_CALLS = 100 };

typedef struct
{
  guint n_ended;
  guint n_answered;
  guint n_cancelled;
  guint n_died;
} Counts;

typedef struct
{
  Counts       *counts;
  GCancellable *cancellable;
  gboolean      ended;
} Record;

static void
ended_cb (GObject      *object,
          GAsyncResult *result,
          gpointer      data)
{
  Record *record = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = afork_rpc_call_finish (AFORK_RPC (object), result, &error);

  g_assert_false (record->ended);
  record->ended = TRUE;
  record->counts->n_ended++;
  if (value != NULL)
    record->counts->n_answered++;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    record->counts->n_cancelled++;
  else
    {
      g_assert_error (error, AFORK_ERROR, AFORK_ERROR_SIGNALED);
      record->counts->n_died++;
    }
}

static void
do_round (gboolean  concurrent,
          Counts   *counts)
{
  g_autoptr(AForkRpc) rpc = concurrent ? new_rpc_concurrent () : new_rpc ("calls_echo");
  g_autofree Record *records = g_new0 (Record, N_CALLS);
  gboolean kills = g_test_rand_bit ();
  guint killed_at = (guint) g_test_rand_int_range (1, 2 * N_CALLS);
  guint n_before = counts->n_ended;

  for (guint i = 0; i < N_CALLS; i++)
    {
      records[i].counts = counts;
      records[i].cancellable = g_cancellable_new ();
      afork_rpc_call_async (rpc, do_args (g_test_rand_bit () ? "now" : "after",
                                          (guint32) g_test_rand_int_range (0, 5)),
                            records[i].cancellable, ended_cb, &records[i]);
      if (g_test_rand_int_range (0, 4) == 0)
        g_cancellable_cancel (records[g_test_rand_int_range (0, (int) i + 1)].cancellable);
      if (g_test_rand_int_range (0, 8) == 0)
        g_main_context_iteration (NULL, FALSE);
      if (kills && i == killed_at)
        afork_process_send_signal (afork_rpc_get_process (rpc), SIGKILL);
    }
  if (g_test_rand_bit ())
    afork_rpc_close_async (rpc, NULL, NULL, NULL);
  if (kills && killed_at >= N_CALLS)
    afork_process_send_signal (afork_rpc_get_process (rpc), SIGKILL);

  /* Pending calls keep the object. */
  g_clear_object (&rpc);
  while (counts->n_ended - n_before < N_CALLS)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < N_CALLS; i++)
    g_clear_object (&records[i].cancellable);
}

static void
test_rpc_random (void)
{
  Counts counts = { 0 };

  for (guint i = 0; i < N_ROUNDS; i++)
    do_round (i % 2 == 0, &counts);
  g_test_message ("%u calls made; %u ended: %u answered, %u cancelled, %u of workers that died",
                  N_ROUNDS * N_CALLS, counts.n_ended, counts.n_answered, counts.n_cancelled,
                  counts.n_died);
  g_assert_cmpuint (counts.n_ended, ==, N_ROUNDS * N_CALLS);
  g_assert_cmpuint (counts.n_answered + counts.n_cancelled + counts.n_died, ==, counts.n_ended);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_test ("/rpc-random/once", test_rpc_random);

  return g_test_run ();
}
