/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A stand-in for a worker: this process calls a worker function itself, and is no worker. What the
 * function emits goes to the stand-in. */
typedef struct
{
  void   (*emit) (GVariant *event,
                  gpointer  data);
  gpointer data;
} AForkStandIn;

/* Sets the stand-in of this thread, or NULL. Returns the one before. */
const AForkStandIn *_afork_stand_in_set  (const AForkStandIn *stand_in);
/* Emits EVENT for the stand-in of this thread. Returns false if there is none. */
gboolean            _afork_stand_in_emit (GVariant           *event);
/* Whether this thread has a stand-in. */
gboolean            _afork_stand_in_is_set (void);

G_END_DECLS
