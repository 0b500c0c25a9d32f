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
#include <afork/worker/afork-call.h>

G_BEGIN_DECLS

#define AFORK_TYPE_POOL (afork_pool_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkPool, afork_pool, AFORK, POOL, GObject)

AFORK_AVAILABLE_IN_ALL
AForkPool    *afork_pool_new               (AForkProcess          *process,
                                            const char            *function)
                                            G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkPool    *afork_pool_new_for_func      (AForkProcess          *process,
                                            AForkCallFunc          func)
                                            G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkPool    *afork_pool_new_for_funcs     (AForkProcess          *process,
                                            AForkCallFunc          func,
                                            AForkCallInitFunc      init_func,
                                            AForkCallDoneFunc      done_func)
                                            G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
void          afork_pool_add_template      (AForkPool             *self,
                                            AForkProcess          *process,
                                            guint                  max_workers);

AFORK_AVAILABLE_IN_ALL
void          afork_pool_call_async        (AForkPool             *self,
                                            GVariant              *args,
                                            GCancellable          *cancellable,
                                            GAsyncReadyCallback    callback,
                                            gpointer               user_data);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_pool_call_finish       (AForkPool             *self,
                                            GAsyncResult          *result,
                                            GError               **error);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_pool_call              (AForkPool             *self,
                                            GVariant              *args,
                                            GCancellable          *cancellable,
                                            GError               **error);

AFORK_AVAILABLE_IN_ALL
void          afork_pool_run_job_async     (AForkPool             *self,
                                            AForkJob              *job,
                                            GCancellable          *cancellable,
                                            GAsyncReadyCallback    callback,
                                            gpointer               user_data);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_pool_run_job_finish    (AForkPool             *self,
                                            GAsyncResult          *result,
                                            GError               **error);
AFORK_AVAILABLE_IN_ALL
GVariant     *afork_pool_run_job           (AForkPool             *self,
                                            AForkJob              *job,
                                            GCancellable          *cancellable,
                                            GError               **error);

AFORK_AVAILABLE_IN_ALL
void          afork_pool_shutdown_async    (AForkPool             *self,
                                            AForkShutdownMode      mode,
                                            GCancellable          *cancellable,
                                            GAsyncReadyCallback    callback,
                                            gpointer               user_data);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_shutdown_finish   (AForkPool             *self,
                                            GAsyncResult          *result,
                                            GError               **error);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_shutdown          (AForkPool             *self,
                                            AForkShutdownMode      mode,
                                            GCancellable          *cancellable,
                                            GError               **error);

AFORK_AVAILABLE_IN_ALL
AForkProcess *afork_pool_get_process       (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_pool_get_function      (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_pool_get_init_function (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
const char   *afork_pool_get_done_function (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_concurrent    (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_die_with_parent (AForkPool           *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_forward_stderr (AForkPool            *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_trusted       (AForkPool             *self);

AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_max_workers   (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_max_workers   (AForkPool             *self,
                                            guint                  max_workers);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_min_idle      (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_min_idle      (AForkPool             *self,
                                            guint                  min_idle);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_load          (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_load          (AForkPool             *self,
                                            guint                  load);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_start_delay   (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_start_delay   (AForkPool             *self,
                                            guint                  start_delay);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_stop_delay    (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_stop_delay    (AForkPool             *self,
                                            guint                  stop_delay);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_max_calls     (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_max_calls     (AForkPool             *self,
                                            guint                  max_calls);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_max_age       (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_max_age       (AForkPool             *self,
                                            guint                  max_age);
AFORK_AVAILABLE_IN_ALL
guint64       afork_pool_get_max_memory    (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_max_memory    (AForkPool             *self,
                                            guint64                max_memory);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_queue_limit   (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_queue_limit   (AForkPool             *self,
                                            guint                  queue_limit);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_timeout       (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_timeout       (AForkPool             *self,
                                            guint                  timeout);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_grace         (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_grace         (AForkPool             *self,
                                            guint                  grace);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_quarantine_time (AForkPool           *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_quarantine_time (AForkPool           *self,
                                              guint                quarantine_time);

AFORK_AVAILABLE_IN_ALL
GMemoryMonitor *
              afork_pool_get_memory_monitor (AForkPool            *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_memory_monitor (AForkPool            *self,
                                             GMemoryMonitor       *memory_monitor);
AFORK_AVAILABLE_IN_ALL
GPowerProfileMonitor *
              afork_pool_get_power_monitor (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_power_monitor (AForkPool             *self,
                                            GPowerProfileMonitor  *power_monitor);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_adaptive      (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
void          afork_pool_set_adaptive      (AForkPool             *self,
                                            gboolean               adaptive);

AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_n_workers     (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_n_idle        (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_n_queued      (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
guint         afork_pool_get_n_running     (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
gboolean      afork_pool_get_unhealthy     (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
const GError *afork_pool_get_last_error    (AForkPool             *self);

AFORK_AVAILABLE_IN_ALL
GVariant     *afork_pool_get_stats         (AForkPool             *self);
AFORK_AVAILABLE_IN_ALL
GListModel   *afork_pool_get_workers       (AForkPool             *self);

G_END_DECLS
