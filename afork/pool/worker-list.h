/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "afork-pool-worker.h"

G_BEGIN_DECLS

/* The workers of a pool as a GListModel of AForkPoolWorker. Workers are added at the end.
 *
 * Changes become visible in _afork_worker_list_publish(), which emits GListModel::items-changed. A
 * handler may do anything, such as dropping the list or ending workers. If it leads to more changes
 * while another signal of the list is emitted, these become visible after that, so that all
 * handlers see all changes in the same order. */
#define AFORK_TYPE_WORKER_LIST (_afork_worker_list_get_type ())
G_DECLARE_FINAL_TYPE (AForkWorkerList, _afork_worker_list, AFORK, WORKER_LIST, GObject)

AForkWorkerList *_afork_worker_list_new     (void);
void             _afork_worker_list_add     (AForkWorkerList *self,
                                             AForkPoolWorker *worker);
void             _afork_worker_list_remove  (AForkWorkerList *self,
                                             AForkPoolWorker *worker);
void             _afork_worker_list_clear   (AForkWorkerList *self);
void             _afork_worker_list_publish (AForkWorkerList *self);

G_END_DECLS
