/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Events, progress and answers arrive in the order in which the worker made them, over all of its
 * calls, sizes and threads. */

#include <unistd.h>

#include "test-rpc-util.h"

/* Scripts that send in this order, and what arrives. */
static void
check_scripts (gboolean            concurrent,
               const char * const *scripts)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  for (gsize i = 0; scripts[i] != NULL; i++)
    {
      begin_script (rpc, scripts[i], log);
      g_string_append_printf (expected, "%s ", scripts[i]);
    }
  g_string_ascii_down (expected);
  await_log (log, expected->str);
  close_rpc (rpc);
}

static void
test_order_exact (gboolean concurrent)
{
  static const char * const scripts[] = {
    "e1 p2 r3", "r4", "p5 p6 e7 r8", "e9 e10 r11", "p12 r13", NULL,
  };

  check_scripts (concurrent, scripts);
}

/* Large messages are read and sent in another way than small ones. */
static void
test_order_large (gboolean concurrent)
{
  static const char * const scripts[] = {
    "E1 p2 e3 P4 E5 r6", "p7 R8", "R9", "e10 P11 R12", "r13", "E14 r15", NULL,
  };

  check_scripts (concurrent, scripts);
}

/* Answers of quick calls are gathered, together with messages between them. */
static void
test_order_many (gboolean concurrent)
{
  enum { N_CALLS = 1000 };
  g_autoptr(GPtrArray) scripts = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_CALLS; i++)
    {
      GString *script = g_string_new (NULL);

      if (i % 7 == 0)
        g_string_append_printf (script, "e%u ", i);
      if (i % 5 == 0)
        g_string_append_printf (script, "p%u ", i);
      g_string_append_printf (script, "r%u", i);
      g_ptr_array_add (scripts, g_string_free (script, FALSE));
    }
  g_ptr_array_add (scripts, NULL);
  check_scripts (concurrent, (const char * const *) scripts->pdata);
}

static void
test_order_random (gboolean concurrent)
{
  enum { N_CALLS = 150, MAX_STEPS = 6 };
  static const char kinds[] = "eeeeeeeeppppppppEP";
  g_autoptr(GPtrArray) scripts = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < N_CALLS; i++)
    {
      GString *script = g_string_new (NULL);

      for (int j = g_test_rand_int_range (0, MAX_STEPS); j > 0; j--)
        g_string_append_printf (script, "%c%d ",
                                kinds[g_test_rand_int_range (0, sizeof kinds - 1)], j);
      g_string_append_printf (script, g_test_rand_int_range (0, 50) == 0 ? "R%u" : "r%u", i);
      g_ptr_array_add (scripts, g_string_free (script, FALSE));
    }
  g_ptr_array_add (scripts, NULL);
  check_scripts (concurrent, (const char * const *) scripts->pdata);
}

/* Many calls at a time, which continue in timeouts and threads: the worker numbers its messages. */
static void
test_order_interleaved (void)
{
  enum { N_CALLS = 60, N_EACH = 7 };
  static const char * const scripts[] = {
    "e+ w1 p+ p+ w2 e+ p+ w1 e+ r+",
    "p+ t e+ w1 p+ e+ w1 p+ e+ r+",
    "t e+ E+ p+ P+ e+ p+ R+",
    "e+ p+ e+ p+ w1 e+ p+ r+",
  };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  g_auto(GStrv) entries = NULL;
  guint n_answers = 0;

  for (guint i = 0; i < N_CALLS; i++)
    begin_script (rpc, scripts[i % G_N_ELEMENTS (scripts)], log);
  begin_close (rpc, NULL, log);
  await_text (log, "closed ok ");

  entries = g_strsplit (log->str, " ", -1);
  g_assert_cmpuint (g_strv_length (entries), ==, N_CALLS * N_EACH + 3);
  for (guint i = 0; i < N_CALLS * N_EACH; i++)
    {
      g_assert_cmpuint (g_ascii_strtoull (entries[i] + 1, NULL, 10), ==, i);
      n_answers += entries[i][0] == 'r';
    }
  g_assert_cmpuint (n_answers, ==, N_CALLS);
}

/* Calls end in another order than they were begun. */
static void
test_order_reversed (void)
{
  enum { N_CALLS = 10 };
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (TRUE, log);
  int gates[N_CALLS];

  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autofree char *script = g_strdup_printf ("e%u g p%u r%u", i, i, i);

      begin_script_full (rpc, script, 0, &gates[i], log);
      g_string_append_printf (expected, "e%u ", i);
    }
  await_log (log, expected->str);
  for (guint i = N_CALLS; i > 0; i--)
    {
      close (gates[i - 1]);
      g_string_append_printf (expected, "p%u r%u ", i - 1, i - 1);
      await_log (log, expected->str);
    }
  close_rpc (rpc);
}

/* Events without a handler, and progress of plain calls, do not disturb the others. */
static void
test_order_unobserved (gboolean concurrent)
{
  g_autoptr(GString) log = g_string_new (NULL);
  g_autoptr(AForkRpc) rpc = new_script_rpc (concurrent, log);

  g_signal_handlers_disconnect_by_func (rpc, append_text_cb, log);
  begin_plain_script (rpc, "e1 p2 r3", NULL, log);
  begin_script (rpc, "e4 p5 r6", log);
  begin_plain_script (rpc, "E7 P8 R9", NULL, log);
  await_log (log, "r3 p5 r6 r9 ");
  close_rpc (rpc);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add_for_both ("/rpc-order/exact", test_order_exact);
  add_for_both ("/rpc-order/large", test_order_large);
  add_for_both ("/rpc-order/many", test_order_many);
  add_for_both ("/rpc-order/random", test_order_random);
  add_for_both ("/rpc-order/unobserved", test_order_unobserved);
  add_test ("/rpc-order/interleaved", test_order_interleaved);
  add_test ("/rpc-order/reversed", test_order_reversed);

  return g_test_run ();
}
