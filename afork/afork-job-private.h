/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "afork-job.h"

G_BEGIN_DECLS

/* The blobs of afork_job_add_blob(), as GBytes, or NULL. */
GPtrArray    *_afork_job_get_blobs       (AForkJob      *self);
/* Whether afork_job_cancel() was called. For any thread. */
gboolean      _afork_job_is_cancelled    (AForkJob      *self);
/* Calls FUNC with DATA when the job is cancelled, at once if it is already: in the thread that
 * cancels, and with a lock held, so that FUNC must not use the job. When this function returns, no
 * FUNC that was set before is called any more. FUNC may be NULL. */
void          _afork_job_watch_cancel    (AForkJob      *self,
                                          void         (*func) (gpointer data),
                                          gpointer       data);
void          _afork_job_set_begun       (AForkJob      *self);
void          _afork_job_set_state       (AForkJob      *self,
                                          AForkJobState  state);
/* Ends the job with VALUE or ERROR. The other one is NULL. */
void          _afork_job_set_end         (AForkJob      *self,
                                          GVariant      *value,
                                          const GError  *error);
/* Calls FUNC with DATA when the priority of the job is changed. FUNC may be NULL. */
void          _afork_job_watch_priority  (AForkJob      *self,
                                          void         (*func) (gpointer data),
                                          gpointer       data);
/* Calls FUNC with DATA, once, when the job has its result or its error, and before handlers are
 * notified. FUNC calls no code of the program. It may be NULL. */
void          _afork_job_watch_end       (AForkJob      *self,
                                          void         (*func) (gpointer data),
                                          gpointer       data);
void          _afork_job_set_index       (AForkJob      *self,
                                          guint          index);
/* Whether a handler may be called when a property of the job changes. */
gboolean      _afork_job_is_observed     (AForkJob      *self);
void          _afork_job_set_results     (AForkJob      *self,
                                          GUnixFDList   *fds,
                                          GPtrArray     *blobs);
/* The job gets the descriptors that came for OTHER, and has begun if OTHER has. It gets BLOBS, or
 * those that came for OTHER if that is NULL. */
void          _afork_job_copy_results    (AForkJob      *self,
                                          AForkJob      *other,
                                          GPtrArray     *blobs);
void          _afork_job_emit_progress   (AForkJob      *self,
                                          GVariant      *progress);

G_END_DECLS
