/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "base/waiter.h"

G_BEGIN_DECLS

/* Has an object updated: in the next iteration of a main context, or at a time. Many requests in
 * one iteration cause one update.
 *
 * The object has this struct, and the struct holds no reference to the object. */
typedef void (*AForkUpdateFunc) (GObject *object);

typedef struct
{
  GObject         *object;
  AForkUpdateFunc  update;
  AForkWaiter     *soon;        /* for the next iteration, or NULL */
  AForkWaiter     *later;       /* for `time`, or NULL */
  gint64           time;        /* monotonic, in microseconds */
} AForkUpdater;

void _afork_updater_init       (AForkUpdater    *self,
                                GObject         *object,
                                AForkUpdateFunc  update);

/* Has the object updated in the next iteration of CONTEXT. */
void _afork_updater_request    (AForkUpdater    *self,
                                GMainContext    *context);
/* Has the object updated in CONTEXT at TIME, or before. If there is a request for an earlier time,
 * it stays, because most times are postponed again and again. */
void _afork_updater_request_at (AForkUpdater    *self,
                                GMainContext    *context,
                                gint64           time);
/* Moves the requests to CONTEXT. */
void _afork_updater_move       (AForkUpdater    *self,
                                GMainContext    *context);
/* Ends the requests. */
void _afork_updater_clear      (AForkUpdater    *self);

G_END_DECLS
