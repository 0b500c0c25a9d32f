/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* How long the main loop is kept at a time. */

#pragma once

#include "test-util.h"

G_BEGIN_DECLS

/* Has the C library handle small pieces of memory when they are freed, and not many of them at once
 * later, and not overwrite them as Meson asks for. To be called by main(). */
void      meter_prepare_memory (void);

/* Measures, in that time, from one iteration of the main context to the next. */
typedef struct
{
  GSource parent;
  gint64  last;
  gint64  longest;
} Meter;

Meter    *meter_new     (GMainContext *context);
/* Ends the meter, and returns how long the longest iteration has taken, in microseconds. */
gint64    meter_end     (Meter        *self);

G_END_DECLS
