/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-pool-worker.h"

G_BEGIN_DECLS

/* The values that a pool sets. */
typedef struct
{
  GPid                 pid;
  AForkPoolWorkerState state;
  guint                calls;
  guint                n_jobs;
  guint64              rss;
} AForkPoolWorkerValues;

AForkPoolWorker *_afork_pool_worker_new        (AForkProcess                *process);
/* Sets the values. The changes are notified when the notifications of the object are thawed. */
void             _afork_pool_worker_set_values (AForkPoolWorker             *self,
                                                const AForkPoolWorkerValues *values);

/* The worker has exited. */
void             _afork_pool_worker_set_exited (AForkPoolWorker             *self);

G_END_DECLS
