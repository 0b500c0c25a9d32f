/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "job-identity.h"

G_BEGIN_DECLS

/* The jobs that a pool refuses for a while, because they have ended two workers. Exits are counted
 * by the identity of the job: a program that runs an equal job again after each failure has the
 * same job end one worker after the other.
 *
 * An exit is forgotten after the quarantine time, or when an equal job ends and its worker goes on.
 * The quarantine has at most AFORK_QUARANTINE_MAX_JOBS jobs and AFORK_QUARANTINE_MAX_SIZE bytes. If
 * there would be more, the oldest exits are forgotten.
 *
 * The quarantine has no clock and no timer: times are arguments, monotonic and in microseconds.
 * What is too old is freed when the quarantine is used next. */
enum
{
  AFORK_QUARANTINE_MAX_JOBS = 256,
  AFORK_QUARANTINE_MAX_SIZE = 4 * 1024 * 1024,
};

typedef struct
{
  gint64      time;             /* how long a job is refused; 0: never */
  GHashTable *suspects;         /* of AForkJobIdentity to Suspect; NULL if there are none */
  GQueue      order;            /* of Suspect, by the time of the last exit */
  gsize       size;             /* of the suspects, in bytes */
  guint32     n_refused;        /* how many jobs have been put into quarantine so far */
} AForkQuarantine;

void        _afork_quarantine_init     (AForkQuarantine *self,
                                        gint64           time);
void        _afork_quarantine_clear    (AForkQuarantine *self);
/* Jobs that are in quarantine stay there for this time in all. */
void        _afork_quarantine_set_time (AForkQuarantine *self,
                                        gint64           time);

/* A worker has exited because of a job with ARGS, as REASON says. JOB is NULL for a plain call.
 * EARLIER is how another worker has exited because of the same job, or NULL if that is not known
 * here. Returns how the first worker has exited if this is not the first one, or NULL. */
const char *_afork_quarantine_add_exit (AForkQuarantine *self,
                                        GVariant        *args,
                                        AForkJob        *job,
                                        const char      *earlier,
                                        const char      *reason,
                                        gint64           now);
/* A job has ended, and its worker goes on. */
void        _afork_quarantine_absolve  (AForkQuarantine *self,
                                        GVariant        *args,
                                        AForkJob        *job);
/* Returns an error if a job is in quarantine, or NULL. */
GError     *_afork_quarantine_check    (AForkQuarantine *self,
                                        GVariant        *args,
                                        AForkJob        *job,
                                        gint64           now);

G_END_DECLS
