/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <afork/afork.h>
#include <gtk/gtk.h>

/* Shows the workers of a pool and what they do, and has buttons that disturb them. */
#define POOL_PANE_TYPE (pool_pane_get_type ())
G_DECLARE_FINAL_TYPE (PoolPane, pool_pane, PICTURES, POOL_PANE, GtkWidget)

GtkWidget *pool_pane_new  (AForkPool *pool);

/* The same as the buttons. */
void       pool_pane_kill_worker (PoolPane *self);
void       pool_pane_hang_worker (PoolPane *self);
void       pool_pane_flood_queue (PoolPane *self);
