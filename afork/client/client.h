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

/* The other process as the protocol sees it: its channel, its pid watch, its forks, and what became
 * of it. An AForkProcess is its face; when that is gone, the client goes on until what was queued
 * is done and its forks have ended. */
typedef struct _AForkClient AForkClient;

/* OWNER is the object given to _afork_client_new(). These are called in the main context. */
typedef struct
{
  /* Its pid is known, or another one than before. */
  void (*known)  (GObject      *owner);
  /* A function of it is about to be entered, or a program was executed, and has the other end of
   * SOCKET; or it has given that up to another caller. */
  void (*ready)  (GObject      *owner,
                  GSocket      *socket);
  /* No function of it will be entered. */
  void (*failed) (GObject      *owner,
                  const GError *error);
  /* What became of killing it, where that was not certain: ERROR says why it cannot be killed, and
   * is NULL where it was killed after all. NULL if nobody cares. */
  void (*killed) (GObject      *owner,
                  const GError *error);
  /* It has ended. Nothing is called after this. */
  void (*exited) (GObject      *owner);
} AForkClientEvents;

/* Part of the handling of an event that calls handlers of the program. */
typedef void (*AForkClientNotifyFunc) (gpointer  client,
                                       GObject  *owner,
                                       gpointer  data);

/* Has FUNC called after the event that is being handled and after the functions that its handling
 * has added before, but before any other event. Keeps DATA, an object or NULL, until then. With
 * AT_ONCE, this is in the same iteration of the main context, however long that takes. */
void         _afork_client_notify_next         (AForkClient             *self,
                                                AForkClientNotifyFunc    func,
                                                gpointer                 data,
                                                gboolean                 at_once);

AForkClient *_afork_client_new                 (AForkContext            *context,
                                                const AForkClientEvents *events,
                                                GObject                 *owner);
AForkClient *_afork_client_ref                 (AForkClient             *self);
void         _afork_client_unref               (AForkClient             *self);

/* One that was made without an owner gets one. */
void         _afork_client_set_owner           (AForkClient             *self,
                                                const AForkClientEvents *events,
                                                GObject                 *owner);

/* How it comes to be: executed with these arguments (see spawn.h), forked off this program, or
 * forked. HINT is what an error adds if the program does not answer as a server: a static string or
 * NULL. Where that fails at once, the client has failed when the function returns, and its end is
 * told when its context is iterated: so is all that comes before _afork_client_set_started(). */
void         _afork_client_set_started         (AForkClient             *self);
/* How long the handshake with what is executed, forked off this program or taken over may last, in
 * milliseconds, or 0 for no limit. To be called before these. */
void         _afork_client_set_start_timeout   (AForkClient             *self,
                                                guint                    timeout);
void         _afork_client_spawn               (AForkClient             *self,
                                                const char * const      *argv,
                                                const char * const      *environment,
                                                const char              *working_directory,
                                                AForkSpawnSocket         how,
                                                const char              *hint);
void         _afork_client_fork_program        (AForkClient             *self);
void         _afork_client_fork                (AForkClient             *self,
                                                AForkClient             *template);

/* It exists, and another caller gave it away: takes FD, its command socket. */
void         _afork_client_attach_fd           (AForkClient             *self,
                                                int                      fd);

/* Puts an array of strings, or NULL for none, in the form that a frame has them. They point into
 * the memory that is returned. */
guint8      *_afork_client_pack_strings        (const char * const      *strings,
                                                AForkStrings            *packed);

/* Queues a command; takes FD, unless it is -1. */
void         _afork_client_send                (AForkClient             *self,
                                                const AForkFrame        *frame,
                                                int                      fd);
/* Why a frame that is over the protocol's limit cannot be sent. */
GError      *_afork_client_new_size_error      (const AForkFrame        *frame);
void         _afork_client_send_item           (AForkClient             *self,
                                                GBytes                  *bytes);
/* Makes it end, with those that will be forked from it, when this process ends. */
void         _afork_client_set_die_with_parent (AForkClient             *self);
/* Queues the last command. */
void         _afork_client_run                 (AForkClient             *self,
                                                const char              *function,
                                                const char              *title);

/* The same for a function at OFFSET in OBJECT, see server/objects.h. */
void         _afork_client_run_func            (AForkClient             *self,
                                                const char              *object,
                                                guint64                  offset,
                                                const char              *title);

/* Queues, as the last command, that it executes a program. */
void         _afork_client_exec                (AForkClient             *self,
                                                const char * const      *argv);

/* Queues, as the last command, that its socket goes to another caller. */
void         _afork_client_detach              (AForkClient             *self);

/* TEMPLATE has failed before it was forked from it, and so it never comes to be. */
void         _afork_client_fail_like_template  (AForkClient             *self,
                                                AForkClient             *template);

/* Gives it up: kills it if it lives, and takes ERROR as the reason unless there is one. */
void         _afork_client_kill_with_error     (AForkClient             *self,
                                                const GError            *error);
/* Sends it SIGNAL. A server ignores SIGINT and SIGTERM: both are kept until something else runs. */
void         _afork_client_send_signal         (AForkClient             *self,
                                                int                      signal);
/* Its owner is gone: what was queued is still done. */
void         _afork_client_release             (AForkClient             *self);

/* Drops the events that were to be reported when the context is iterated. */
void         _afork_client_drop_notifications  (AForkClient             *self);

/* Serves this client, and those whose reports it depends on, in another context for a while.
 * Returns them, to be given back to where they were: an array of AForkBorrowedClient. */
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
/* NULL unless it has failed. */
GError        *_afork_client_get_failure        (AForkClient  *self);
/* Whether it still takes commands. */
gboolean       _afork_client_is_open            (AForkClient  *self);
AForkContext  *_afork_client_get_home           (AForkClient  *self);
/* Whether it is lost to this program, with its context, or since it is the one of the program that
 * this one was forked from. */
gboolean       _afork_client_is_context_lost    (AForkClient  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkClient, _afork_client_unref)

G_END_DECLS
