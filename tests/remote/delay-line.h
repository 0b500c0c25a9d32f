/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/* Two networks with one address each, and a process between them that delays each packet: two hosts
 * that are far apart. */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define DELAY_LINE_NEAR "10.77.0.1"
#define DELAY_LINE_FAR "10.77.0.2"

typedef struct
{
  int  far_network;     /* the namespace of the far network */
  GPid pid;             /* of the process between them, which is a child */
} DelayLine;

/* Moves this process to the near network. A packet takes MS milliseconds in each direction. Returns
 * why this cannot be done, or NULL. */
char *delay_line_start (DelayLine *self,
                        guint      ms);

G_END_DECLS
