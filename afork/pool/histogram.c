/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "histogram.h"

enum
{
  SUB_BITS = AFORK_HISTOGRAM_SUB_BITS,
  N_SUB = 1 << SUB_BITS,
};

/* Returns the bucket of DURATION. In binary, the bucket is the position of the first 1, followed by
 * the SUB_BITS digits behind this 1. */
static guint
find_bucket (guint64 duration)
{
  guint shift;

  if (duration < N_SUB)
    return (guint) duration;

  shift = g_bit_storage (duration) - 1 - SUB_BITS;
  return (shift << SUB_BITS) + (guint) (duration >> shift);
}

/* Returns the duration in the middle of a bucket. */
static guint64
get_middle (guint bucket)
{
  guint64 digits;
  guint shift;

  if (bucket < 2 * N_SUB)
    return bucket;

  shift = (bucket >> SUB_BITS) - 1;
  digits = N_SUB + (bucket & (N_SUB - 1));
  return (digits << shift) + ((guint64) 1 << (shift - 1));
}

void
_afork_histogram_add (AForkHistogram *self,
                      gint64          duration)
{
  const guint64 max = (G_GUINT64_CONSTANT (1) << AFORK_HISTOGRAM_MAX_BITS) - 1;
  const guint64 value = duration > 0 ? MIN ((guint64) duration, max) : 0;

  self->n_values++;
  self->total += value;
  self->max = MAX (self->max, value);
  self->buckets[find_bucket (value)]++;
}

guint64
_afork_histogram_get_quantile (const AForkHistogram *self,
                               guint                 percent)
{
  const guint64 n_below = self->n_values / 100 * percent
    + (self->n_values % 100 * percent + 99) / 100;
  guint64 n_seen = 0;

  g_assert (percent >= 1 && percent <= 100);

  for (guint i = 0; i < AFORK_HISTOGRAM_N_BUCKETS; i++)
    {
      n_seen += self->buckets[i];
      if (n_seen >= n_below && n_seen > 0)
        return MIN (get_middle (i), self->max);
    }

  return 0;
}
