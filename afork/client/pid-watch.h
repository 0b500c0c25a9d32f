/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "death-pipe.h"
#include "host.h"

G_BEGIN_DECLS

/* The watch of one process: its pid, its pidfd and its exit status. It outlives the AForkProcess,
 * because a child has to be reaped even if the program has dropped its object.
 *
 * At first the pid is not known. Then the process is either a child of this one, which is watched
 * and reaped here, or a fork whose parent reports its exit. EXITED is called once. */
typedef struct _AForkPidWatch AForkPidWatch;

typedef void (*AForkPidWatchExitedFunc) (AForkPidWatch *pid_watch,
                                         gpointer       data);

/* The result of a kill that was not known at once. ERROR says why the process cannot be killed; it
 * is NULL if the process was killed. */
typedef void (*AForkPidWatchKilledFunc) (AForkPidWatch *pid_watch,
                                         const GError  *error,
                                         gpointer       data);

/* Asks the process of REPORTER to send SIGNAL to its fork NUMBER. Returns false if it cannot be
 * asked. */
typedef gboolean (*AForkPidWatchSignalFunc) (gpointer reporter,
                                             guint32  number,
                                             int      signal);

AForkPidWatch  *_afork_pid_watch_new                (GMainContext             *context);
AForkPidWatch  *_afork_pid_watch_ref                (AForkPidWatch            *self);
void            _afork_pid_watch_unref              (AForkPidWatch            *self);
/* Sets both functions, or clears both. KILLED may be called from within a function that kills. */
void            _afork_pid_watch_set_funcs          (AForkPidWatch            *self,
                                                     AForkPidWatchExitedFunc   exited,
                                                     AForkPidWatchKilledFunc   killed,
                                                     gpointer                  data);
/* Watches the process in CONTEXT from now on. */
void            _afork_pid_watch_set_context        (AForkPidWatch            *self,
                                                     GMainContext             *context);

/* Kills CHILD and reaps it in CONTEXT. Opens no descriptor. */
void            _afork_pid_watch_discard_child      (GMainContext             *context,
                                                     GPid                      child);

/* The pid of the process is known: it is a child of this process, or a fork of another one. Both
 * take PIDFD, which is -1 if there is none. */
void            _afork_pid_watch_watch_child        (AForkPidWatch            *self,
                                                     GPid                      pid,
                                                     int                       pidfd);
void            _afork_pid_watch_confirm_fork       (AForkPidWatch            *self,
                                                     GPid                      pid,
                                                     int                       pidfd);

/* The parent of the process reports its exit: WAIT_STATUS is as from waitpid(), or -1 if the parent
 * does not know it. */
void            _afork_pid_watch_set_exited         (AForkPidWatch            *self,
                                                     int                       wait_status,
                                                     guint64                   user_usec,
                                                     guint64                   system_usec,
                                                     guint64                   max_rss_kib);

/* The process that had to report the exit is gone. The exit is watched here, if the kernel allows
 * it. */
void            _afork_pid_watch_set_unreported     (AForkPidWatch            *self);

/* The context is gone, so the process counts as exited, and can only be signalled. Another watch
 * goes on in the default context, with a child, which has to be reaped, and with a process that has
 * a death pipe, which must stay open until the process has exited. */
void            _afork_pid_watch_lose_context       (AForkPidWatch            *self);

/* Once the main context is gone, the process has this time to exit before it is killed, provided
 * that the default context is iterated. 0 is no limit. */
void            _afork_pid_watch_kill_after_context (AForkPidWatch            *self,
                                                     guint                     ms);

/* SIGNAL_FUNC is called to signal the process if this process may not do that. It may be NULL. */
void            _afork_pid_watch_set_reporter       (AForkPidWatch            *self,
                                                     AForkPidWatchSignalFunc   signal_func,
                                                     gpointer                  reporter,
                                                     guint32                   number);
/* Returns the reporter, and sets *NUMBER, or returns NULL if there is none. */
gpointer        _afork_pid_watch_get_reporter       (AForkPidWatch            *self,
                                                     guint32                  *number);

/* Sends SIGNAL at once, or as soon as the pid is known. */
void            _afork_pid_watch_send_signal        (AForkPidWatch            *self,
                                                     int                       signal);
/* The reporter was asked to send SIGNAL, and has replied: ERROR is 0 or an errno. */
void            _afork_pid_watch_signal_replied     (AForkPidWatch            *self,
                                                     int                       signal,
                                                     int                       error);
/* Kills the process because it has closed its socket, if it has not exited in MS milliseconds. As a
 * rule it is exiting, so it is reported as one that cannot be killed only if it has not exited some
 * seconds later. */
void            _afork_pid_watch_kill_closed        (AForkPidWatch            *self,
                                                     guint                     ms);
/* Why the process cannot be killed, or NULL. */
const GError   *_afork_pid_watch_get_kill_error     (AForkPidWatch            *self);
/* Whether the result of a kill is not known yet. */
gboolean        _afork_pid_watch_is_being_killed    (AForkPidWatch            *self);

/* From now on a fork of this process may take its place before that is known here, so all signals
 * are kept for it. */
void            _afork_pid_watch_keep_signals       (AForkPidWatch            *self);
/* SELF takes the place of OTHER, and gets the signals that were kept. Call it before the pid of
 * SELF is set. */
void            _afork_pid_watch_take_signals       (AForkPidWatch            *self,
                                                     AForkPidWatch            *other);

/* Keeps DEATH_PIPE open until the process has exited. */
void            _afork_pid_watch_set_death_pipe     (AForkPidWatch            *self,
                                                     AForkDeathPipe           *death_pipe);
AForkDeathPipe *_afork_pid_watch_get_death_pipe     (AForkPidWatch            *self);

/* The process is on another host, and its pid means something there only. Call this before the pid
 * is known. */
void            _afork_pid_watch_set_host           (AForkPidWatch            *self,
                                                     AForkHost                *host);
AForkHost      *_afork_pid_watch_get_host           (AForkPidWatch            *self);

/* Returns 0 for a process on another host. */
GPid            _afork_pid_watch_get_pid            (AForkPidWatch            *self);
/* Returns 0 for a process on this host. */
int             _afork_pid_watch_get_remote_pid     (AForkPidWatch            *self);
/* The name of the process at the beginning of a message. */
char           *_afork_pid_watch_get_name           (AForkPidWatch            *self);
/* Why its exit status is unknown. */
GError         *_afork_pid_watch_new_unknown_error  (AForkPidWatch            *self);
gboolean        _afork_pid_watch_is_known           (AForkPidWatch            *self);
gboolean        _afork_pid_watch_is_context_lost    (AForkPidWatch            *self);
gboolean        _afork_pid_watch_has_exited         (AForkPidWatch            *self);
/* Whether the process has exited by now, even if EXITED has not been called yet. */
gboolean        _afork_pid_watch_poll_exited        (AForkPidWatch            *self);
/* Returns -1 if it is unknown. */
int             _afork_pid_watch_get_wait_status    (AForkPidWatch            *self);
/* The process was ended because of the system call NUMBER. Its parent reports this before the
 * exit. */
void            _afork_pid_watch_set_refused_call   (AForkPidWatch            *self,
                                                     guint32                   number);
gboolean        _afork_pid_watch_get_refused_call   (AForkPidWatch            *self,
                                                     guint32                  *number);
gboolean        _afork_pid_watch_get_usage          (AForkPidWatch            *self,
                                                     guint64                  *user_usec,
                                                     guint64                  *system_usec,
                                                     guint64                  *max_rss_kib);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkPidWatch, _afork_pid_watch_unref)

G_END_DECLS
