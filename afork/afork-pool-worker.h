/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-enums.h>
#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

#define AFORK_TYPE_POOL_WORKER (afork_pool_worker_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkPoolWorker, afork_pool_worker, AFORK, POOL_WORKER, GObject)

AFORK_AVAILABLE_IN_ALL
AForkProcess         *afork_pool_worker_get_process (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
GPid                  afork_pool_worker_get_pid     (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
const char           *afork_pool_worker_get_host    (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
AForkPoolWorkerState  afork_pool_worker_get_state   (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
guint                 afork_pool_worker_get_calls   (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
guint                 afork_pool_worker_get_n_jobs  (AForkPoolWorker *self);
AFORK_AVAILABLE_IN_ALL
guint64               afork_pool_worker_get_rss     (AForkPoolWorker *self);

G_END_DECLS
