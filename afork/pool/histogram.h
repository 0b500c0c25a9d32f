/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How often which duration occurred, in microseconds. A bucket counts durations that are close to
 * each other: durations below 16 have buckets of their own, and from there on each power of two is
 * divided into 16 buckets. So a quantile is wrong by at most 1/32 of its value. A duration of 2³⁶
 * microseconds, 19 hours, or more counts as slightly less than that.
 *
 * A histogram that is filled with zeros is empty. */
enum
{
  AFORK_HISTOGRAM_SUB_BITS = 4,
  AFORK_HISTOGRAM_MAX_BITS = 36,
  AFORK_HISTOGRAM_N_BUCKETS = (AFORK_HISTOGRAM_MAX_BITS - AFORK_HISTOGRAM_SUB_BITS + 1)
                              << AFORK_HISTOGRAM_SUB_BITS,
};

typedef struct
{
  guint64 n_values;
  guint64 total;
  guint64 max;
  guint64 buckets[AFORK_HISTOGRAM_N_BUCKETS];
} AForkHistogram;

/* Adds a duration. A negative one counts as 0. */
void    _afork_histogram_add          (AForkHistogram       *self,
                                       gint64                duration);
/* Returns a duration that PERCENT of the durations do not exceed, or 0 if there are none. PERCENT
 * is from 1 to 100. */
guint64 _afork_histogram_get_quantile (const AForkHistogram *self,
                                       guint                 percent);

G_END_DECLS
