/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Memory whose size another process decides. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "afork/base/memory.h"

enum { LARGE = 100 * 1024 * 1024 };

static gboolean
is_mapped (gpointer data)
{
  unsigned char in_core;

  return mincore (data, 1, &in_core) == 0;
}

static gboolean
free_cb (gpointer data)
{
  _afork_memory_free (data, LARGE);
  return G_SOURCE_REMOVE;
}

/* Frees DATA in an iteration of CONTEXT. */
static void
free_in (GMainContext *context,
         gpointer      data)
{
  GSource *source = g_idle_source_new ();

  g_source_set_callback (source, free_cb, data, NULL);
  g_source_attach (source, context);
  g_source_unref (source);
  g_main_context_iteration (context, FALSE);
}

/* Large memory is unmapped from its end, one piece in each iteration. */
static void
test_pieces (void)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  char *data = _afork_memory_new (LARGE);
  guint n_iterations = 0;

  g_assert_nonnull (data);
  free_in (context, data);
  g_assert_true (is_mapped (data));
  while (is_mapped (data))
    {
      g_assert_true (g_main_context_iteration (context, FALSE));
      n_iterations++;
    }
  g_assert_cmpuint (n_iterations, >=, 2);
  g_assert_false (is_mapped (data + LARGE - 1 - (LARGE - 1) % 65536));
  g_assert_false (g_main_context_iteration (context, FALSE));
}

/* The rest is unmapped with the context. */
static void
test_context_gone (void)
{
  GMainContext *context = g_main_context_new ();
  char *data = _afork_memory_new (LARGE);

  free_in (context, data);
  g_assert_true (is_mapped (data));
  g_main_context_unref (context);
  g_assert_false (is_mapped (data));
}

/* If no context dispatches the caller, it is unmapped at once. */
static void
test_at_once (void)
{
  char *data = _afork_memory_new (LARGE);

  _afork_memory_free (data, LARGE);
  g_assert_false (is_mapped (data));
}

static void
test_grow (void)
{
  const gsize sizes[] = { 1, 1000, 1024 * 1024, 32 * 1024 * 1024, LARGE };
  guint8 *data = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      data = _afork_memory_grow (data, i > 0 ? sizes[i - 1] : 0, sizes[i]);
      g_assert_nonnull (data);
      if (i > 0)
        g_assert_cmpuint (data[sizes[i - 1] - 1], ==, i);
      data[sizes[i] - 1] = (guint8) (i + 1);
    }
  _afork_memory_free (data, LARGE);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/memory/pieces", test_pieces);
  g_test_add_func ("/memory/context-gone", test_context_gone);
  g_test_add_func ("/memory/at-once", test_at_once);
  g_test_add_func ("/memory/grow", test_grow);

  return g_test_run ();
}
