/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "limits.h"

AForkLimits *
_afork_limits_new (void)
{
  AForkLimits *self = g_new (AForkLimits, 1);

  *self = (AForkLimits) {
    .memory = -1,
    .cpu_time = -1,
    .open_files = -1,
    .file_size = -1,
  };
  g_atomic_ref_count_init (&self->ref_count);
  return self;
}

AForkLimits *
_afork_limits_ref (AForkLimits *self)
{
  if (self != NULL)
    g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
_afork_limits_unref (AForkLimits *self)
{
  if (self != NULL && g_atomic_ref_count_dec (&self->ref_count))
    g_free (self);
}

static void
add (gint64 *limit,
     gint64  other)
{
  if (other >= 0 && (*limit < 0 || other < *limit))
    *limit = other;
}

static void
add_all (AForkLimits       *self,
         const AForkLimits *other)
{
  add (&self->memory, other->memory);
  add (&self->cpu_time, other->cpu_time);
  add (&self->open_files, other->open_files);
  add (&self->file_size, other->file_size);
  self->has_filter = self->has_filter || other->has_filter;
}

AForkLimits *
_afork_limits_merge (const AForkLimits *self,
                     const AForkLimits *other)
{
  AForkLimits *merged = _afork_limits_new ();

  if (self != NULL)
    add_all (merged, self);
  if (other != NULL)
    add_all (merged, other);
  return merged;
}
