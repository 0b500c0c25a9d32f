/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <gio/gio.h>

#include "base/context.h"
#include "pid-watch.h"
#include "spawn.h"
#include "wire/afork-confinement.h"
#include "wire/afork-frame.h"

G_BEGIN_DECLS

/* The client of one server process. It has the channel and the pid watch of the process, the pid
 * watches of its forks, and the outcome. Its owner is an AForkProcess, the public object. When the
 * owner is gone, the client continues until the process has done the queued commands and its forks
 * have exited. */
typedef struct _AForkClient AForkClient;

/* Functions of the owner. They are called in the main context. Each may be NULL. */
typedef struct
{
  /* The pid is known, or has changed because another process has taken the place of the first. */
  void (*known)  (GObject      *owner);
  /* The process runs its function or program, or was detached. SOCKET is connected to it. */
  void (*ready)  (GObject      *owner,
                  GSocket      *socket);
  /* The process will not run, because of ERROR. */
  void (*failed) (GObject      *owner,
                  const GError *error);
  /* The result of a kill that was not known at once: ERROR says why the process cannot be killed,
   * and is NULL if it was killed. */
  void (*killed) (GObject      *owner,
                  const GError *error);
  /* The process has exited. No function is called after this. */
  void (*exited) (GObject      *owner);
} AForkClientEvents;

/* The resident memory of a process is BYTES, or unknown if that is 0. */
typedef void (*AForkMeasuredFunc) (guint64  bytes,
                                   gpointer data);

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
/* Makes a client for a relay, by which the processes that are forked from it are on the host
 * NAME. It has no owner, and ends with the last of them. */
AForkClient *_afork_client_new_connection      (AForkContext            *context,
                                                const char              *name);
AForkClient *_afork_client_ref                 (AForkClient             *self);
void         _afork_client_unref               (AForkClient             *self);

/* Sets the owner of a client, or clears it. */
void         _afork_client_set_owner           (AForkClient             *self,
                                                const AForkClientEvents *events,
                                                GObject                 *owner);

/* Call it when the owner is constructed. Events before this call are reported when the context is
 * iterated. */
void         _afork_client_set_started         (AForkClient             *self);
/* Sets how long the handshake may take, in milliseconds; 0 is no limit. It applies to a process
 * that is executed, forked off this program or taken over. Call it before the process is
 * started. */
void         _afork_client_set_start_timeout   (AForkClient             *self,
                                                guint                    timeout);
/* These three start the process: they execute a program (see spawn.h for the arguments), fork this
 * program, or fork TEMPLATE. HINT is a static string that is added to the error if the program does
 * not answer as a server, or NULL. If the start fails at once, the client has failed when the
 * function returns, and the exit is reported when the context is iterated. */
void         _afork_client_spawn               (AForkClient             *self,
                                                const char * const      *argv,
                                                const char * const      *environment,
                                                const char              *working_directory,
                                                AForkSpawnSocket         how,
                                                const char              *hint);
void         _afork_client_fork_program        (AForkClient             *self);
void         _afork_client_fork                (AForkClient             *self,
                                                AForkClient             *template);

/* Takes over a process that another caller has detached. Takes FD, its command socket. */
void         _afork_client_attach_fd           (AForkClient             *self,
                                                int                      fd);

/* Packs an array of strings, which may be NULL, for a frame. PACKED points into the returned
 * memory. */
guint8      *_afork_client_pack_strings        (const char * const      *strings,
                                                AForkStrings            *packed);

/* Queues a command. Takes FD, which is -1 if the frame has none. */
void         _afork_client_send                (AForkClient             *self,
                                                const AForkFrame        *frame,
                                                int                      fd);
/* Returns an error for a frame that is too large. */
GError      *_afork_client_new_size_error      (const AForkFrame        *frame);
void         _afork_client_send_item           (AForkClient             *self,
                                                GBytes                  *bytes);
/* Makes the process, and those that will be forked from it, exit when this process exits. */
void         _afork_client_set_die_with_parent (AForkClient             *self);
/* These queue the last command, to run a function: that with a name, or that at OFFSET in OBJECT,
 * see server/objects.h. */
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

/* Queues the last command, to serve another caller. */
void         _afork_client_detach              (AForkClient             *self);
/* Whether that is the last command. */
gboolean     _afork_client_is_detached         (AForkClient             *self);

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
/* Asks the process that reports this one, as a rule its template, for its resident memory, in units
 * of 1 KiB and at most 4 TiB. The caller could read the memory of another process that has got the
 * pid. It is unknown if no process reports this one: see afork_process_new_exec() and
 * afork_process_new_from_fd(). Calls FUNC once, in the main context or when that is gone, perhaps
 * within this call. FUNC must not use the client. */
void         _afork_client_measure             (AForkClient             *self,
                                                AForkMeasuredFunc        func,
                                                gpointer                 data);
/* Call it when the owner is gone. The process still does the queued commands, and then exits. */
void         _afork_client_release             (AForkClient             *self);

/* Drops the events that were not reported yet. */
void         _afork_client_drop_notifications  (AForkClient             *self);

/* Serves this client and its templates in CONTEXT, until _afork_client_give_back() is called with
 * the array of AForkBorrowedClient that this returns. */
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
/* What the process has reported to be in force, or NULL if it was not run or is not confined. */
const AForkConfinementReport *_afork_client_get_confinement (AForkClient *self);
/* Why the client has failed, or NULL. */
GError        *_afork_client_get_failure        (AForkClient  *self);
/* Whether the process takes more commands. */
gboolean       _afork_client_is_open            (AForkClient  *self);
AForkContext  *_afork_client_get_home           (AForkClient  *self);
/* Whether the context is gone, or the client is inherited. */
gboolean       _afork_client_is_context_lost    (AForkClient  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkClient, _afork_client_unref)

G_END_DECLS
