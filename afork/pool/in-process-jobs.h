/*
 * Copyright 2026 The AFork authors
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#pragma once

#include "self/in-process.h"
#include "shared-job.h"

G_BEGIN_DECLS

/* Jobs of a pool that run in this process, for debuggers. */

/* Returns what runs the jobs of a pool that has the template PROCESS and SETUP. Returns NULL if
 * AFORK_INPROCESS is not set, or with a warning if such jobs can run only in workers. */
AForkInProcess *_afork_in_process_jobs_new          (AForkProcess            *process,
                                                     const AForkSlotSetup    *setup);

/* Whether JOB, which waits, will end because it was cancelled. */
gboolean        _afork_in_process_jobs_is_cancelled (AForkPoolJob            *job);

/* Runs JOB, and returns its value, or NULL and an error. The function of the job may iterate the
 * main context. EVENT_FUNC gets the events that it emits. */
GVariant       *_afork_in_process_jobs_run          (AForkInProcess          *self,
                                                     AForkPoolJob            *job,
                                                     AForkInProcessEventFunc  event_func,
                                                     gpointer                 data,
                                                     GError                 **error);

G_END_DECLS
