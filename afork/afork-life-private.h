/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include <glib.h>

#include "afork-lifeline-private.h"

G_BEGIN_DECLS

/* The life of one process: its pid and pidfd, and how it ended. It outlives the AForkProcess, for
 * a child is reaped even if nobody looks at it any more.
 *
 * A life begins unknown; then it is adopted (a child of ours, which we reap) or born (somebody
 * else's child, whose parent reports its end). It ends once, and ENDED is called then. */
typedef struct _AForkLife AForkLife;

typedef void (*AForkLifeEndedFunc) (AForkLife *life,
                                    gpointer   data);

AForkLife *_afork_life_new             (GMainContext       *context);
AForkLife *_afork_life_ref             (AForkLife          *self);
void       _afork_life_unref           (AForkLife          *self);
void       _afork_life_set_ended_func  (AForkLife          *self,
                                        AForkLifeEndedFunc  ended,
                                        gpointer            data);
/* The context in which it is watched from now on. */
void       _afork_life_set_context     (AForkLife          *self,
                                        GMainContext       *context);

/* Both take PIDFD. A child of which none could be had has -1. */
void       _afork_life_adopt           (AForkLife          *self,
                                        GPid                pid,
                                        int                 pidfd);
void       _afork_life_bear            (AForkLife          *self,
                                        GPid                pid,
                                        int                 pidfd);

/* How it ended, as its parent reports: a status as of waitpid(), or -1 if not even that knows. */
void       _afork_life_end             (AForkLife          *self,
                                        int                 wait_status,
                                        guint64             user_usec,
                                        guint64             system_usec,
                                        guint64             max_rss_kib);

/* Whoever had to report its end is gone. It is watched from here, as far as the kernel lets. */
void       _afork_life_orphan          (AForkLife          *self);

/* Its context is gone, and nothing more will be known of it: as far as anybody here can tell, it
 * has ended. The default context goes on watching a child, which has to be reaped, and a process
 * with a lifeline, which is to have that until its end. Only signals still reach it. */
void       _afork_life_strand          (AForkLife          *self);

/* Sends SIGNAL: at once, or as soon as the process is known. */
void       _afork_life_send_signal     (AForkLife          *self,
                                        int                 signal);

/* From now on another process may take the place of this one, which perhaps has heard nothing of it
 * yet: the signals for this one are kept … */
void       _afork_life_keep_signals    (AForkLife          *self);
/* … for SELF, who has taken the place of OTHER and is about to become known. */
void       _afork_life_take_signals    (AForkLife          *self,
                                        AForkLife          *other);

/* What it hangs on, kept until it has ended; NULL for nothing. */
void           _afork_life_set_lifeline (AForkLife         *self,
                                         AForkLifeline     *lifeline);
AForkLifeline *_afork_life_get_lifeline (AForkLife         *self);

GPid       _afork_life_get_pid         (AForkLife          *self);
/* What it is called at the beginning of a message. */
char      *_afork_life_get_name        (AForkLife          *self);
gboolean   _afork_life_is_known        (AForkLife          *self);
gboolean   _afork_life_is_stranded     (AForkLife          *self);
gboolean   _afork_life_has_ended       (AForkLife          *self);
/* Whether it has ended by now, even if ENDED has not been called yet. */
gboolean   _afork_life_is_over         (AForkLife          *self);
/* -1 if nobody knows. */
int        _afork_life_get_wait_status (AForkLife          *self);
gboolean   _afork_life_get_usage       (AForkLife          *self,
                                        guint64            *user_usec,
                                        guint64            *system_usec,
                                        guint64            *max_rss_kib);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AForkLife, _afork_life_unref)

G_END_DECLS
