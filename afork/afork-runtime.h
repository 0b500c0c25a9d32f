/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-types.h>
#include <afork/afork-version-macros.h>

G_BEGIN_DECLS

#define AFORK_TYPE_RUNTIME (afork_runtime_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (AForkRuntime, afork_runtime, AFORK, RUNTIME, GObject)

AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_get_native            (void);
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_get_gjs               (void);
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_get_python            (void);
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_get_self              (void);
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_get_default           (void);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_default           (AForkRuntime       *runtime);
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_new_command           (const char         *name,
                                                         const char * const *argv)
                                                         G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_new_agent             (const char         *name,
                                                         const char * const *argv)
                                                         G_GNUC_WARN_UNUSED_RESULT;
AFORK_AVAILABLE_IN_ALL
AForkRuntime       *afork_runtime_new_ssh               (const char         *destination)
                                                         G_GNUC_WARN_UNUSED_RESULT;

AFORK_AVAILABLE_IN_ALL
AForkProcess       *afork_runtime_get_template          (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_template          (AForkRuntime       *self,
                                                         AForkProcess       *process);

AFORK_AVAILABLE_IN_ALL
const char         *afork_runtime_get_name              (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
char              **afork_runtime_dup_argv              (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_argv              (AForkRuntime       *self,
                                                         const char * const *argv);
AFORK_AVAILABLE_IN_ALL
char               *afork_runtime_dup_executable        (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_executable        (AForkRuntime       *self,
                                                         const char         *executable);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_runtime_set_interpreter       (AForkRuntime       *self,
                                                         const char         *executable,
                                                         const char * const *options,
                                                         const char * const *search_path);
AFORK_AVAILABLE_IN_ALL
char              **afork_runtime_dup_environ           (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_environ           (AForkRuntime       *self,
                                                         const char * const *environment);
AFORK_AVAILABLE_IN_ALL
char               *afork_runtime_dup_working_directory (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_working_directory (AForkRuntime       *self,
                                                         const char         *working_directory);
AFORK_AVAILABLE_IN_ALL
char              **afork_runtime_dup_module_path       (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_module_path       (AForkRuntime       *self,
                                                         const char * const *module_path);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_runtime_get_can_fork          (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
gboolean            afork_runtime_get_can_pass_fds      (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
guint               afork_runtime_get_start_timeout     (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_start_timeout     (AForkRuntime       *self,
                                                         guint               timeout);
AFORK_AVAILABLE_IN_ALL
guint               afork_runtime_get_keepalive         (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_keepalive         (AForkRuntime       *self,
                                                         guint               keepalive);
AFORK_AVAILABLE_IN_ALL
char              **afork_runtime_dup_ssh_options       (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_ssh_options       (AForkRuntime       *self,
                                                         const char * const *options);
AFORK_AVAILABLE_IN_ALL
char               *afork_runtime_dup_server_path       (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_server_path       (AForkRuntime       *self,
                                                         const char         *path);

AFORK_AVAILABLE_IN_ALL
char               *afork_runtime_dup_remote_runtime    (AForkRuntime       *self);
AFORK_AVAILABLE_IN_ALL
void                afork_runtime_set_remote_runtime    (AForkRuntime       *self,
                                                         const char         *name);

G_END_DECLS
