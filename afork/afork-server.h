/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#if !defined (AFORK_INSIDE) && !defined (AFORK_COMPILATION)
# error "Only <afork/afork.h> can be included directly."
#endif

#include <gio/gio.h>

#include <afork/afork-version-macros.h>
#include <afork/worker/afork-call.h>

G_BEGIN_DECLS

#define AFORK_TYPE_SERVER (afork_server_get_type ())

AFORK_AVAILABLE_IN_ALL
G_DECLARE_DERIVABLE_TYPE (AForkServer, afork_server, AFORK, SERVER, GObject)

/**
 * AForkServerClass:
 * @parent_class: the parent class
 * @set_module_path: sets the directories in which modules are searched first
 * @require: loads a module
 * @eval: runs code
 * @call: calls a function before the process is run
 * @set_variable: sets or unsets an environment variable
 * @before_fork: is called before the threads of the process are counted
 * @describe_threads: describes the threads that prevent a fork
 * @fork: forks the process
 * @forked: is called in a process that was just forked
 * @find: finds a function
 * @enter: runs a function
 * @before_exec: is called before the process executes a program
 * @leave: is called before the process exits
 * @init_calls: calls the init-function of a worker that serves calls
 * @serve: serves a call
 * @serve_concurrently: begins to serve a call
 * @run_loop: iterates the default main context of a worker that serves many calls at a time
 * @done_calls: calls the done-function of a worker that serves calls
 * @require_file: loads a module from a file
 *
 * What a language implements. All functions are called in the main thread of the process. Only
 * those that the language needs must be there: each says what happens without it.
 *
 * Since: 0.1
 */
struct _AForkServerClass
{
  GObjectClass parent_class;

  gboolean    (*set_module_path)    (AForkServer         *self,
                                     const char * const  *directories,
                                     GError             **error);
  gboolean    (*require)            (AForkServer         *self,
                                     const char          *module,
                                     GError             **error);
  gboolean    (*eval)               (AForkServer         *self,
                                     const char          *code,
                                     const char * const  *args,
                                     GError             **error);
  gboolean    (*call)               (AForkServer         *self,
                                     const char          *function,
                                     const char * const  *args,
                                     GError             **error);
  gboolean    (*set_variable)       (AForkServer         *self,
                                     GBytes              *name,
                                     GBytes              *value,
                                     GError             **error);

  void        (*before_fork)        (AForkServer         *self);
  char       *(*describe_threads)   (AForkServer         *self);
  int         (*fork)               (AForkServer         *self);
  void        (*forked)             (AForkServer         *self);

  guint       (*find)               (AForkServer         *self,
                                     const char          *function,
                                     GError             **error);
  int         (*enter)              (AForkServer         *self,
                                     guint                function,
                                     int                  socket);
  void        (*before_exec)        (AForkServer         *self);
  void        (*leave)              (AForkServer         *self,
                                     int                  status);

  gboolean    (*init_calls)         (AForkServer         *self,
                                     guint                function,
                                     GError             **error);
  GVariant   *(*serve)              (AForkServer         *self,
                                     guint                function,
                                     AForkCall           *call,
                                     GVariant            *args,
                                     GError             **error);
  void        (*serve_concurrently) (AForkServer         *self,
                                     guint                function,
                                     AForkCall           *call,
                                     GVariant            *args);
  void        (*run_loop)           (AForkServer         *self,
                                     GMainLoop           *loop);
  int         (*done_calls)       (AForkServer         *self,
                                     guint                function);
  gboolean    (*require_file)       (AForkServer         *self,
                                     const char          *path,
                                     const char          *name,
                                     GError             **error);

  /*< private >*/
  gpointer padding[7];
};

AFORK_AVAILABLE_IN_ALL
void    afork_server_run                (AForkServer *self,
                                         int          socket);
AFORK_AVAILABLE_IN_ALL
void    afork_server_exit               (AForkServer *self,
                                         int          status);
AFORK_AVAILABLE_IN_ALL
guint   afork_server_get_n_items        (AForkServer *self);
AFORK_AVAILABLE_IN_ALL
GBytes *afork_server_dup_item           (AForkServer *self,
                                         guint        index);
AFORK_AVAILABLE_IN_ALL
int     afork_server_get_item_fd        (AForkServer *self,
                                         guint        index);
AFORK_AVAILABLE_IN_ALL
gboolean afork_server_get_item_is_string (AForkServer *self,
                                          guint        index);

G_END_DECLS
