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
#include <afork/worker/afork-worker.h>

G_BEGIN_DECLS

#define AFORK_TYPE_PROCESS (afork_process_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkProcess, afork_process, AFORK, PROCESS, GObject)

AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_new             (void) G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_new_for_runtime (AForkRuntime         *runtime)
                                                  G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_new_exec        (AForkRuntime         *runtime)
                                                  G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_new_template    (GError              **error)
                                                  G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_new_from_fd     (int                   fd)
                                                  G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_fork            (AForkProcess         *self)
                                                  G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_recreate        (AForkProcess         *self,
                                                  GError              **error)
                                                  G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_require         (AForkProcess         *self,
                                                  const char           *module);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_require_file    (AForkProcess         *self,
                                                  GFile                *file);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_eval            (AForkProcess         *self,
                                                  const char           *code,
                                                  const char * const   *args);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_call            (AForkProcess         *self,
                                                  const char           *function,
                                                  const char * const   *args);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_send_arg        (AForkProcess         *self,
                                                  const char           *arg);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_send_bytes      (AForkProcess         *self,
                                                  GBytes               *bytes);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_send_fd         (AForkProcess         *self,
                                                  int                   fd);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_setenv          (AForkProcess         *self,
                                                  const char           *name,
                                                  const char           *value);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_chdir           (AForkProcess         *self,
                                                  const char           *path);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_map_fd          (AForkProcess         *self,
                                                  int                   fd,
                                                  int                   target);
AFORK_AVAILABLE_IN_ALL
AForkProcess      *afork_process_restrict        (AForkProcess         *self,
                                                  AForkSandbox         *sandbox);

AFORK_AVAILABLE_IN_ALL
void               afork_process_run_async       (AForkProcess         *self,
                                                  const char           *function,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GSocketConnection *afork_process_run_finish      (AForkProcess         *self,
                                                  GAsyncResult         *result,
                                                  GError              **error);
AFORK_AVAILABLE_IN_ALL
GSocketConnection *afork_process_run             (AForkProcess         *self,
                                                  const char           *function,
                                                  GCancellable         *cancellable,
                                                  GError              **error);

AFORK_AVAILABLE_IN_ALL
void               afork_process_run_func_async  (AForkProcess         *self,
                                                  AForkRunFunc          func,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GSocketConnection *afork_process_run_func_finish (AForkProcess         *self,
                                                  GAsyncResult         *result,
                                                  GError              **error);

AFORK_AVAILABLE_IN_ALL
void               afork_process_exec_async      (AForkProcess         *self,
                                                  const char * const   *argv,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
GSocketConnection *afork_process_exec_finish     (AForkProcess         *self,
                                                  GAsyncResult         *result,
                                                  GError              **error);
AFORK_AVAILABLE_IN_ALL
GSocketConnection *afork_process_exec            (AForkProcess         *self,
                                                  const char * const   *argv,
                                                  GCancellable         *cancellable,
                                                  GError              **error);

AFORK_AVAILABLE_IN_ALL
void               afork_process_detach_async    (AForkProcess         *self,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
int                afork_process_detach_finish   (AForkProcess         *self,
                                                  GAsyncResult         *result,
                                                  GError              **error);
AFORK_AVAILABLE_IN_ALL
int                afork_process_detach          (AForkProcess         *self,
                                                  GCancellable         *cancellable,
                                                  GError              **error);

AFORK_AVAILABLE_IN_ALL
AForkRuntime      *afork_process_get_runtime     (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
GPid               afork_process_get_pid         (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
char              *afork_process_dup_host        (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
int                afork_process_get_remote_pid  (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
AForkProcessState  afork_process_get_state       (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
const char        *afork_process_get_title       (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
void               afork_process_set_title       (AForkProcess         *self,
                                                  const char           *title);
AFORK_AVAILABLE_IN_ALL
const char        *afork_process_get_function    (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
GVariant          *afork_process_get_confinement (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_get_die_with_parent (AForkProcess     *self);
AFORK_AVAILABLE_IN_ALL
void               afork_process_set_die_with_parent (AForkProcess     *self,
                                                      gboolean          die_with_parent);
AFORK_AVAILABLE_IN_ALL
guint              afork_process_get_spare       (AForkProcess         *self);
AFORK_AVAILABLE_IN_ALL
void               afork_process_set_spare       (AForkProcess         *self,
                                                  guint                 spare);

AFORK_AVAILABLE_IN_ALL
void               afork_process_wait_async      (AForkProcess         *self,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_wait_finish     (AForkProcess         *self,
                                                  GAsyncResult         *result,
                                                  GError              **error);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_wait            (AForkProcess         *self,
                                                  GCancellable         *cancellable,
                                                  GError              **error);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_get_exit_status (AForkProcess         *self,
                                                  int                  *exit_status);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_get_term_signal (AForkProcess         *self,
                                                  int                  *signal);
AFORK_AVAILABLE_IN_ALL
gboolean           afork_process_get_usage       (AForkProcess         *self,
                                                  guint64              *user_usec,
                                                  guint64              *system_usec,
                                                  guint64              *max_rss_kib);
AFORK_AVAILABLE_IN_ALL
void               afork_process_send_signal     (AForkProcess         *self,
                                                  int                   signal);
AFORK_AVAILABLE_IN_ALL
void               afork_process_force_exit      (AForkProcess         *self);

G_END_DECLS
