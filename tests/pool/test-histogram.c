/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* The histogram of durations: its quantiles are close to the exact ones. */

#include "pool/histogram.h"

static int
compare_cb (gconstpointer a,
            gconstpointer b)
{
  const gint64 *left = a;
  const gint64 *right = b;

  return (*left > *right) - (*left < *right);
}

/* Adds VALUES, and compares each quantile with the exact one. */
static void
check (GArray *values)
{
  g_autofree AForkHistogram *histogram = g_new0 (AForkHistogram, 1);
  guint64 total = 0;

  for (guint i = 0; i < values->len; i++)
    {
      _afork_histogram_add (histogram, g_array_index (values, gint64, i));
      total += (guint64) g_array_index (values, gint64, i);
    }
  g_array_sort (values, compare_cb);

  for (guint percent = 1; percent <= 100; percent++)
    {
      const guint index = (values->len * percent + 99) / 100 - 1;
      const guint64 exact = (guint64) g_array_index (values, gint64, index);
      const guint64 got = _afork_histogram_get_quantile (histogram, percent);

      g_assert_cmpuint (got, <=, exact + exact / 32);
      g_assert_cmpuint (got, >=, exact - exact / 32);
    }
  g_assert_cmpuint (histogram->n_values, ==, values->len);
  g_assert_cmpuint (histogram->total, ==, total);
  g_assert_cmpint ((gint64) histogram->max, ==,
                   g_array_index (values, gint64, values->len - 1));
}

static void
test_empty (void)
{
  g_autofree AForkHistogram *histogram = g_new0 (AForkHistogram, 1);

  for (guint percent = 1; percent <= 100; percent++)
    g_assert_cmpuint (_afork_histogram_get_quantile (histogram, percent), ==, 0);
}

static void
test_one (void)
{
  for (gint64 value = 0; value < 5000; value++)
    {
      g_autoptr(GArray) values = g_array_new (FALSE, FALSE, sizeof (gint64));

      g_array_append_val (values, value);
      check (values);
    }
}

static void
test_random (void)
{
  for (guint i = 0; i < 200; i++)
    {
      g_autoptr(GArray) values = g_array_new (FALSE, FALSE, sizeof (gint64));
      const guint n = (guint) g_test_rand_int_range (1, 2000);
      const int max_bits = g_test_rand_int_range (1, AFORK_HISTOGRAM_MAX_BITS + 1);

      for (guint j = 0; j < n; j++)
        {
          const int n_bits = g_test_rand_int_range (0, max_bits);
          const gint64 value = (gint64) g_test_rand_double_range (0, (double) (1LL << n_bits));

          g_array_append_val (values, value);
        }
      check (values);
    }
}

/* Durations outside the range count as the nearest one in it. */
static void
test_limits (void)
{
  g_autofree AForkHistogram *histogram = g_new0 (AForkHistogram, 1);
  const guint64 max = (G_GUINT64_CONSTANT (1) << AFORK_HISTOGRAM_MAX_BITS) - 1;

  _afork_histogram_add (histogram, -1);
  _afork_histogram_add (histogram, G_MININT64);
  _afork_histogram_add (histogram, G_MAXINT64);
  _afork_histogram_add (histogram, (gint64) max + 1);
  g_assert_cmpuint (_afork_histogram_get_quantile (histogram, 50), ==, 0);
  g_assert_cmpuint (_afork_histogram_get_quantile (histogram, 51), >=, max - max / 32);
  g_assert_cmpuint (histogram->max, ==, max);
  g_assert_cmpuint (histogram->total, ==, 2 * max);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/histogram/empty", test_empty);
  g_test_add_func ("/histogram/one", test_one);
  g_test_add_func ("/histogram/random", test_random);
  g_test_add_func ("/histogram/limits", test_limits);

  return g_test_run ();
}
