/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"
#include "pid-watch.h"
#include "spawn.h"
#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* A client of one server process: it has the channel, the pid watch, the forks and the outcome. An
 * AForkProcess is the public object in front of it. When that is gone, the client goes on until the
 * queued commands have been done and its forks have exited. */
typedef struct _AForkClient AForkClient;

/* Called in the main context. OWNER is the object that was given to _afork_client_new(). Each of
 * them may be NULL. */
typedef struct
{
  /* The pid is known, or has changed. */
  void (*known)  (GObject      *owner);
  /* The function that is about to be entered, the program that was executed, or another caller has
   * the other end of SOCKET. */
  void (*ready)  (GObject      *owner,
                  GSocket      *socket);
  /* No function will be entered. */
  void (*failed) (GObject      *owner,
                  const GError *error);
  /* The result of a kill that was not known at once: ERROR says why the process cannot be killed,
   * and is NULL if it was killed. */
  void (*killed) (GObject      *owner,
                  const GError *error);
  /* The process has exited. Nothing is called after this. */
  void (*exited) (GObject      *owner);
} AForkClientEvents;

/* A part of the handling of an event, such as one that calls handlers of the program. */
typedef void (*AForkClientNotifyFunc) (gpointer  client,
                                       GObject  *owner,
                                       gpointer  data);

/* Called by the handler of an event. FUNC is called after this event and after the functions that
 * its handler has inserted before, but before the next event. Keeps DATA, an object or NULL, until
 * then. If AT_ONCE is true, FUNC is called in the same iteration of the main context, even if the
 * time for that is over. */
void         _afork_client_insert_notification (AForkClient             *self,
                                                AForkClientNotifyFunc    func,
                                                gpointer                 data,
                                                gboolean                 at_once);

AForkClient *_afork_client_new                 (AForkContext            *context,
                                                const AForkClientEvents *events,
                                                GObject                 *owner);
AForkClient *_afork_client_ref                 (AForkClient             *self);
void         _afork_client_unref               (AForkClient             *self);

/* For a client that was made without an owner. */
void         _afork_client_set_owner           (AForkClient             *self,
                                                const AForkClientEvents *events,
                                                GObject                 *owner);

/* The owner is complete. What happens before this call is reported when the context is iterated. */
void         _afork_client_set_started         (AForkClient             *self);
/* Limits the handshake with a process that is executed, forked off this program or taken over, in
 * milliseconds; 0 is no limit. Call it before the functions that start the process. */
void         _afork_client_set_start_timeout   (AForkClient             *self,
                                                guint                    timeout);
/* Start the process: execute a program with these arguments (see spawn.h), fork this program, or
 * fork TEMPLATE. HINT is added to the error if the program does not answer as a server: a static
 * string, or NULL. If that fails at once, the client has failed when the function returns, and its
 * exit is reported when the context is iterated. */
void         _afork_client_spawn               (AForkClient             *self,
                                                const char * const      *argv,
                                                const char * const      *environment,
                                                const char              *working_directory,
                                                AForkSpawnSocket         how,
                                                const char              *hint);
void         _afork_client_fork_program        (AForkClient             *self);
void         _afork_client_fork                (AForkClient             *self,
                                                AForkClient             *template);

/* Uses a process that another caller has given away. Takes FD, its command socket. */
void         _afork_client_attach_fd           (AForkClient             *self,
                                                int                      fd);

/* Packs an array of strings, which may be NULL, as a frame has them. PACKED points into the memory
 * that is returned. */
guint8      *_afork_client_pack_strings        (const char * const      *strings,
                                                AForkStrings            *packed);

/* Queues a command; takes FD, unless it is -1. */
void         _afork_client_send                (AForkClient             *self,
                                                const AForkFrame        *frame,
                                                int                      fd);
/* An error for a frame that exceeds the protocol's limit. */
GError      *_afork_client_new_size_error      (const AForkFrame        *frame);
void         _afork_client_send_item           (AForkClient             *self,
                                                GBytes                  *bytes);
/* Makes the process, and those that will be forked from it, exit when this process exits. */
void         _afork_client_set_die_with_parent (AForkClient             *self);
/* Queue the last command, to run a function: one with a name, or the one at OFFSET in OBJECT, see
 * server/objects.h. */
void         _afork_client_run                 (AForkClient             *self,
                                                const char              *function,
                                                const char              *title);
void         _afork_client_run_func            (AForkClient             *self,
                                                const char              *object,
                                                guint64                  offset,
                                                const char              *title);

/* Queues the last command, to execute a program. */
void         _afork_client_exec                (AForkClient             *self,
                                                const char * const      *argv);

/* Queues the last command, to go on for another caller. */
void         _afork_client_detach              (AForkClient             *self);

/* TEMPLATE has failed before it could fork the process. */
void         _afork_client_fail_like_template  (AForkClient             *self,
                                                AForkClient             *template);

/* Kills the process, if there is one. The client fails with ERROR, unless it has failed before. */
void         _afork_client_kill_with_error     (AForkClient             *self,
                                                const GError            *error);
/* Sends SIGNAL. A server ignores SIGINT and SIGTERM, so these are kept until a function or a
 * program runs. */
void         _afork_client_send_signal         (AForkClient             *self,
                                                int                      signal);
/* The owner is gone. Queued commands are still done. */
void         _afork_client_release             (AForkClient             *self);

/* Drops the events that were to be reported when the context is iterated. */
void         _afork_client_drop_notifications  (AForkClient             *self);

/* Serves this client and its templates in CONTEXT. Returns an array of AForkBorrowedClient, for
 * _afork_client_give_back(), which serves them where they were before. */
typedef struct
{
  AForkClient  *client;
  GMainContext *context;
} AForkBorrowedClient;

GArray        *_afork_client_borrow             (AForkClient  *self,
                                                 GMainContext *context);
void           _afork_client_give_back          (GArray       *borrowed);

/* See _afork_pid_watch_kill_after_context(). */
void           _afork_client_kill_after_context (AForkClient  *self,
                                                 guint         ms);
AForkPidWatch *_afork_client_get_pid_watch      (AForkClient  *self);
/* Why the client has failed, or NULL. */
GError        *_afork_client_get_failure        (AForkClient  *self);
/* Whether more commands can be queued. */
gboolean       _afork_client_is_open            (AForkClient  *self);
AForkContext  *_afork_client_get_home           (AForkClient  *self);
/* Whether the context is gone, or the client belongs to the program that this one was forked
 * from. */
gboolean       _afork_client_is_context_lost    (AForkClient  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkClient, _afork_client_unref)

G_END_DECLS
