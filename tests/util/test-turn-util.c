/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "test-turn-util.h"

#include <malloc.h>

void
meter_prepare_memory (void)
{
  mallopt (M_PERTURB, 0);
  mallopt (M_MXFAST, 0);
}

static void
meter_look (Meter *self)
{
  gint64 now = get_own_time ();

  self->longest = MAX (self->longest, now - self->last);
  self->last = now;
}

static gboolean
meter_prepare (GSource *source,
               int     *timeout)
{
  *timeout = -1;
  meter_look ((Meter *) source);
  return FALSE;
}

static GSourceFuncs meter_funcs = { .prepare = meter_prepare };

Meter *
meter_new (GMainContext *context)
{
  Meter *self = (Meter *) g_source_new (&meter_funcs, sizeof (Meter));

  g_source_set_priority (&self->parent, G_PRIORITY_HIGH);
  self->last = get_own_time ();
  g_source_attach (&self->parent, context);
  return self;
}

gint64
meter_end (Meter *self)
{
  gint64 longest;

  meter_look (self);
  longest = self->longest;
  g_test_message ("The longest iteration took %.1f ms", longest / 1e3);
  g_source_destroy (&self->parent);
  g_source_unref (&self->parent);
  return longest;
}
