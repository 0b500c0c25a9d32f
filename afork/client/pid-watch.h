/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "death-pipe.h"

G_BEGIN_DECLS

/* The watch of one process: its pid and pidfd, and how it ended. It outlives the AForkProcess, for
 * a child is reaped even if nobody looks at it any more.
 *
 * A watch begins unknown; then it is adopted (a child of ours, which we reap) or born (somebody
 * else's child, whose parent reports its end). It ends once, and EXITED is called then. */
typedef struct _AForkPidWatch AForkPidWatch;

typedef void (*AForkPidWatchExitedFunc) (AForkPidWatch *pid_watch,
                                         gpointer       data);

/* What became of killing it, where that could not be told at once: ERROR says why it cannot be
 * killed, and is NULL where it was killed after all. */
typedef void (*AForkPidWatchKilledFunc) (AForkPidWatch *pid_watch,
                                         const GError  *error,
                                         gpointer       data);

/* Asks the parent of a process, which is REPORTER's, to send SIGNAL to its fork NUMBER. False if it
 * cannot be asked. */
typedef gboolean (*AForkPidWatchRequestFunc) (gpointer reporter,
                                              guint32  number,
                                              int      signal);

AForkPidWatch  *_afork_pid_watch_new                (GMainContext             *context);
AForkPidWatch  *_afork_pid_watch_ref                (AForkPidWatch            *self);
void            _afork_pid_watch_unref              (AForkPidWatch            *self);
/* Both functions or none. KILLED may be called while the process is being killed. */
void            _afork_pid_watch_set_funcs          (AForkPidWatch            *self,
                                                     AForkPidWatchExitedFunc   exited,
                                                     AForkPidWatchKilledFunc   killed,
                                                     gpointer                  data);
/* The context in which it is watched from now on. */
void            _afork_pid_watch_set_context        (AForkPidWatch            *self,
                                                     GMainContext             *context);

/* Kills CHILD, in which nobody is interested, and reaps it in CONTEXT. Takes no descriptor. */
void            _afork_pid_watch_discard_child      (GMainContext             *context,
                                                     GPid                      child);

/* Both take PIDFD. A child of which none could be had has -1. */
void            _afork_pid_watch_watch_child        (AForkPidWatch            *self,
                                                     GPid                      pid,
                                                     int                       pidfd);
void            _afork_pid_watch_confirm_fork       (AForkPidWatch            *self,
                                                     GPid                      pid,
                                                     int                       pidfd);

/* How it ended, as its parent reports: a status as of waitpid(), or -1 if not even that knows. */
void            _afork_pid_watch_set_exited         (AForkPidWatch            *self,
                                                     int                       wait_status,
                                                     guint64                   user_usec,
                                                     guint64                   system_usec,
                                                     guint64                   max_rss_kib);

/* Whoever had to report its end is gone. It is watched from here, as far as the kernel lets. */
void            _afork_pid_watch_orphan             (AForkPidWatch            *self);

/* Its context is gone, and nothing more will be known of it: as far as anybody here can tell, it
 * has ended. The default context goes on watching a child, which has to be reaped, and a process
 * with a death pipe, which is to have that until its end. Only signals still reach it. */
void            _afork_pid_watch_lose_context       (AForkPidWatch            *self);

/* When its main context has gone, the process has so long to exit before it is killed, if the
 * default context is iterated; 0 is for ever. */
void            _afork_pid_watch_kill_after_context (AForkPidWatch            *self,
                                                     guint                     ms);

/* Whom to ask where the process may not be signalled from here, until it is orphaned; or NULL. */
void            _afork_pid_watch_set_reporter       (AForkPidWatch            *self,
                                                     AForkPidWatchRequestFunc  request,
                                                     gpointer                  reporter,
                                                     guint32                   number);

/* Sends SIGNAL: at once, or as soon as the process is known. */
void            _afork_pid_watch_send_signal        (AForkPidWatch            *self,
                                                     int                       signal);
/* The reporter was asked to send SIGNAL, and this came of it: 0 or an errno. */
void            _afork_pid_watch_signal_replied     (AForkPidWatch            *self,
                                                     int                       signal,
                                                     int                       error);
/* Kills it because it has closed its socket, and so is about to end as a rule. That it cannot be
 * killed counts only if it has not ended some seconds later. */
void            _afork_pid_watch_kill_closed        (AForkPidWatch            *self);
/* Why it cannot be killed, or NULL. */
const GError   *_afork_pid_watch_get_kill_error     (AForkPidWatch            *self);
/* Whether it is still open whether it can be killed. */
gboolean        _afork_pid_watch_is_being_killed    (AForkPidWatch            *self);

/* From now on another process may take the place of this one, which perhaps has heard nothing of it
 * yet: the signals for this one are kept … */
void            _afork_pid_watch_keep_signals       (AForkPidWatch            *self);
/* … for SELF, who has taken the place of OTHER and is about to become known. */
void            _afork_pid_watch_take_signals       (AForkPidWatch            *self,
                                                     AForkPidWatch            *other);

/* What it hangs on, kept until it has ended; NULL for nothing. */
void            _afork_pid_watch_set_death_pipe     (AForkPidWatch            *self,
                                                     AForkDeathPipe           *death_pipe);
AForkDeathPipe *_afork_pid_watch_get_death_pipe     (AForkPidWatch            *self);

GPid            _afork_pid_watch_get_pid            (AForkPidWatch            *self);
/* What it is called at the beginning of a message. */
char           *_afork_pid_watch_get_name           (AForkPidWatch            *self);
/* Why its exit status is unknown. */
GError         *_afork_pid_watch_new_loss_error     (AForkPidWatch            *self);
gboolean        _afork_pid_watch_is_known           (AForkPidWatch            *self);
gboolean        _afork_pid_watch_is_context_lost    (AForkPidWatch            *self);
gboolean        _afork_pid_watch_has_exited         (AForkPidWatch            *self);
/* Whether it has ended by now, even if EXITED has not been called yet. */
gboolean        _afork_pid_watch_poll_exited        (AForkPidWatch            *self);
/* -1 if nobody knows. */
int             _afork_pid_watch_get_wait_status    (AForkPidWatch            *self);
gboolean        _afork_pid_watch_get_usage          (AForkPidWatch            *self,
                                                     guint64                  *user_usec,
                                                     guint64                  *system_usec,
                                                     guint64                  *max_rss_kib);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkPidWatch, _afork_pid_watch_unref)

G_END_DECLS
