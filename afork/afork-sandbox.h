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

#define AFORK_TYPE_SANDBOX (afork_sandbox_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkSandbox, afork_sandbox, AFORK, SANDBOX, GObject)

AFORK_AVAILABLE_IN_ALL
AForkSandbox       *afork_sandbox_new                 (void) G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkSandbox       *afork_sandbox_new_for_decoding    (void) G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_memory          (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_memory          (AForkSandbox       *self,
                                                       gint64              memory);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_resident_memory (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_resident_memory (AForkSandbox       *self,
                                                       gint64              resident_memory);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_cpu_time        (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_cpu_time        (AForkSandbox       *self,
                                                       gint64              cpu_time);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_open_files      (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_open_files      (AForkSandbox       *self,
                                                       gint64              open_files);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_file_size       (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_file_size       (AForkSandbox       *self,
                                                       gint64              file_size);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_processes       (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_processes       (AForkSandbox       *self,
                                                       gint64              processes);
AFORK_AVAILABLE_IN_ALL
gint64              afork_sandbox_get_core_size       (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_core_size       (AForkSandbox       *self,
                                                       gint64              core_size);
AFORK_AVAILABLE_IN_ALL
guint               afork_sandbox_get_nice            (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_nice            (AForkSandbox       *self,
                                                       guint               nice);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_sandbox_get_idle_scheduling (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_idle_scheduling (AForkSandbox       *self,
                                                       gboolean            idle_scheduling);
AFORK_AVAILABLE_IN_ALL
guint               afork_sandbox_get_oom_score_adj   (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_oom_score_adj   (AForkSandbox       *self,
                                                       guint               oom_score_adj);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_sandbox_get_network         (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_network         (AForkSandbox       *self,
                                                       gboolean            network);
AFORK_AVAILABLE_IN_ALL
const char * const *afork_sandbox_get_read_paths      (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_read_paths      (AForkSandbox       *self,
                                                       const char * const *read_paths);
AFORK_AVAILABLE_IN_ALL
const char * const *afork_sandbox_get_write_paths     (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_write_paths     (AForkSandbox       *self,
                                                       const char * const *write_paths);
AFORK_AVAILABLE_IN_ALL
AForkSystemCalls    afork_sandbox_get_system_calls    (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_system_calls    (AForkSandbox       *self,
                                                       AForkSystemCalls    system_calls);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_sandbox_get_best_effort     (AForkSandbox       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_sandbox_set_best_effort     (AForkSandbox       *self,
                                                       gboolean            best_effort);

G_END_DECLS
